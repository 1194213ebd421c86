/**
 * Which runs of a policy are to be created now, and what is to be remembered about it. The answer is
 * a function of what is stored and of the instant asked about, so that it is the same after a crash,
 * and the work for it is bounded however much was missed. Nothing is created here, and no clock read.
 *
 * An occurrence is on time until it is later than the grace; then it is missed, and the misfire policy
 * decides. Runs that are on time are created whatever becomes of missed ones before them.
 */
import type { Misfire } from "../../schema/misfire.ts";
import type { RunPolicy } from "../../schema/run_policy.ts";
import { type Occurrences, occurrencesOf } from "./occurrences.ts";

/** One run, and when its time was. */
export interface Run {
  /** From 0. Of a repeat it tells the time too; of a cron it counts what was created. */
  readonly number: number;
  readonly at: number;
}

/** What is stored about a schedule between two looks at it. */
export interface Progress {
  /** When it begins: the time of `once` and of a repeat's run 0; a cron may come then or later. */
  readonly base: number;
  /** How many runs were created. */
  readonly created: number;
  /** No occurrence up to this instant is to be looked at again; nothing before the first. */
  readonly doneTo?: number;
}

/** When a schedule is looked at, and what becomes of what was missed. */
export interface Look {
  readonly now: number;
  readonly misfire: Misfire;
  /** How late an occurrence may be and yet be on time; a minute, if left out. */
  readonly graceMs?: number;
}

export interface Due {
  /** The runs to create, ascending. */
  readonly create: ReadonlyArray<Run>;
  /** How many were missed for good since the last look, or at least as many if `skippedMore`. */
  readonly skipped: number;
  /** Of a cron that missed more than a thousand, the rest is not counted. */
  readonly skippedMore: boolean;
  /** To be stored in one write with the runs; the same object if nothing was due. */
  readonly progress: Progress;
  /** When to look again: at once if it has passed already, never if there is none. */
  readonly next: number | undefined;
}

/** So many runs are created on time by one look, or counted as missed. */
const mostAtOnce = 1000;

/** How many missed runs are made up for. */
const madeUpFor = (misfire: Misfire): number =>
  misfire.type === "fire-all" ? misfire.limit : misfire.type === "fire-once" ? 1 : 0;

/** The first occurrences after one instant and up to another. */
const oldest = (
  occurrences: Occurrences,
  after: number,
  upTo: number,
  most: number,
): Array<number> => {
  const found: Array<number> = [];
  for (let at = occurrences.next(after); at !== undefined && at <= upTo;) {
    if (found.length >= most) break;
    found.push(at);
    at = occurrences.next(at);
  }
  return found;
};

/** The last occurrences between two instants, ascending. */
const newest = (
  occurrences: Occurrences,
  after: number,
  before: number,
  most: number,
): Array<number> => {
  if (most === 0) return [];
  // Looking back costs many times what going forward does, so it is left to what is long.
  const all = oldest(occurrences, after, before - 1, mostAtOnce);
  if (all.length < mostAtOnce) return all.slice(-most);
  const found: Array<number> = [];
  for (let end: number | undefined = before; found.length < most;) {
    end = occurrences.last(after, end);
    if (end === undefined) break;
    found.push(end);
  }
  return found.reverse();
};

/** Which runs of a policy that has come so far are due. */
export const due = (policy: RunPolicy, progress: Progress, look: Look): Due => {
  const { base, created, doneTo = base - 1 } = progress;
  const { now, misfire, graceMs = 60_000 } = look;
  const most = policy.type === "cron" ? policy.maxOccurrences ?? Infinity : Infinity;
  const left = Math.max(most - created, 0);
  const occurrences = occurrencesOf(policy, base);
  const over = { create: [], skipped: 0, skippedMore: false, progress, next: undefined };
  if (left === 0) return over;

  const onTime = Math.max(now - graceMs, doneTo + 1);
  const missed = occurrences.count(doneTo, onTime, mostAtOnce);
  const late = newest(occurrences, doneTo, onTime, madeUpFor(misfire));
  const punctual = oldest(occurrences, onTime - 1, now, mostAtOnce);
  const times = [...late, ...punctual].slice(0, left);
  const isUntouched = missed.count === 0 && times.length === 0;
  const after = isUntouched ? progress : {
    base,
    created: created + times.length,
    doneTo: punctual.at(-1) ?? onTime - 1,
  };
  return {
    create: times.map((at, i) => ({ number: occurrences.numberOf(at) ?? created + i, at })),
    skipped: missed.count - late.length,
    skippedMore: missed.more,
    progress: after,
    next: left > times.length ? occurrences.next(after.doneTo ?? doneTo) : undefined,
  };
};
