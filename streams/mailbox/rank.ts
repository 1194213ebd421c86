/**
 * The order in which workers are offered the mail of one source: by rendezvous hashing, so that it
 * sticks to one worker, sources spread over all of them, and the loss of one moves only what it had.
 * Every worker computes the same order from the sessions that it knows; nobody relies on that.
 */
import { createHash } from "node:crypto";

const rememberedScores = 65_536;
const scores = new Map<string, number>();

/** Bare FNV would put nearly all sources on one worker. It is asked for again whenever one comes. */
const score = (source: string, worker: string): number => {
  const name = `${source}\n${worker}`;
  const known = scores.get(name);
  if (known !== undefined) return known;
  if (scores.size >= rememberedScores) scores.clear();
  const score = createHash("sha256").update(name).digest().readUIntBE(0, 6);
  scores.set(name, score);
  return score;
};

/** How many of the others come before a worker at a source. */
export const rankOf = (source: string, worker: string, others: Iterable<string>): number => {
  const own = score(source, worker);
  let rank = 0;
  for (const other of others) if (score(source, other) > own) rank++;
  return rank;
};

/**
 * `free` has room for more. `full` still takes what is for executions that it has. `forwarding` is
 * bound to lanes, and only passes on what lies in mailboxes.
 */
export type Standing = "free" | "full" | "forwarding";

/** The server knows ten priorities, the lowest first. */
const levels: Readonly<Record<Standing, { readonly first: number; readonly last: number }>> = {
  free: { first: 0, last: 3 },
  full: { first: 4, last: 6 },
  forwarding: { first: 7, last: 9 },
};

/** The priority of a worker's pulls; those behind the last level take turns. */
export const priorityOf = (standing: Standing, rank: number): number => {
  const { first, last } = levels[standing];
  return Math.min(first + rank, last);
};

/** Whether what comes under a priority came because no worker with room was waiting. */
export const isLastResort = (priority: number): boolean => priority > levels.free.last;
