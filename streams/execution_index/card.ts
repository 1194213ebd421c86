/**
 * What the index knows of one life of an execution: enough to show it in a listing, and to follow its
 * records from there. A card is a value; `fold.ts` says how records change it.
 */
import type { ExecutionId, Tenant } from "../../schema/ids.ts";
import type { ExecutionStatus } from "./status.ts";

/** Where an execution is in its course; a pause is beside that. */
export type Phase = Exclude<ExecutionStatus, "paused">;

export type Tags = Readonly<Record<string, string>>;

export interface Card {
  /** The sequence of its start. */
  readonly life: number;
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly phase: Phase;
  readonly paused: boolean;
  /** Whether it next waits for the time to begin, or to try again. */
  readonly deferred: boolean;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly tags: Tags;
}

const live: ReadonlySet<Phase> = new Set<Phase>(["waiting", "delayed", "active", "suspended"]);

export const isLive = ({ phase }: Card): boolean => live.has(phase);

/** What a listing shows; an owner is still at work when a pause comes, until it lets go. */
export const statusOf = (card: Card): ExecutionStatus =>
  card.paused && isLive(card) && card.phase !== "active" ? "paused" : card.phase;

/** Pages of cards must fit into a message whatever tags people invent. */
const maxTags = 32;
const maxTagUnits = 512;

/** The tags with one more, or as they are if there is no room for it. */
export const withTag = (tags: Tags, name: string, value: string): Tags => {
  const next = { ...tags, [name]: value };
  const entries = Object.entries(next);
  const units = entries.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  return entries.length > maxTags || units > maxTagUnits ? tags : next;
};

export const withoutTag = (tags: Tags, name: string): Tags => {
  const { [name]: _, ...rest } = tags;
  return rest;
};
