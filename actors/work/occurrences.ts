/**
 * The times of a run policy, whichever it is, as one ascending row that can be entered anywhere. No
 * question costs more for a row that is long. Which of the times are due is `due.ts`.
 */
import type { RunPolicy } from "../../schema/run_policy.ts";
import { calendarOf, lastOccurrence, nextOccurrence } from "./calendar.ts";

export interface Occurrences {
  /** The first one after an instant. */
  readonly next: (after: number) => number | undefined;
  /** The last one after one instant and before another. */
  readonly last: (after: number, before: number) => number | undefined;
  /** How many there are between; at least so many, if counting ends with more to come. */
  readonly count: (after: number, before: number, most: number) => {
    readonly count: number;
    readonly more: boolean;
  };
  /** The number that its time alone gives an occurrence, if it does. */
  readonly numberOf: (at: number) => number | undefined;
}

const repeated = (count: number, intervalMs: number, base: number): Occurrences => {
  /** How many come up to an instant. */
  const upTo = (instant: number): number =>
    Math.min(Math.max(Math.floor((instant - base) / intervalMs) + 1, 0), count);
  const at = (number: number): number => base + number * intervalMs;
  return {
    next: (after) => upTo(after) < count ? at(upTo(after)) : undefined,
    last: (after, before) => upTo(before - 1) > upTo(after) ? at(upTo(before - 1) - 1) : undefined,
    count: (after, before) => ({ count: Math.max(upTo(before - 1) - upTo(after), 0), more: false }),
    numberOf: (at) => (at - base) / intervalMs,
  };
};

const calendared = (policy: RunPolicy & { readonly type: "cron" }): Occurrences => {
  const calendar = calendarOf(policy);
  return {
    next: (after) => nextOccurrence(calendar, after),
    last: (after, before) => lastOccurrence(calendar, after, before),
    count: (after, before, most) => {
      let count = 0;
      let at = nextOccurrence(calendar, after);
      for (; at !== undefined && at < before && count < most; count++) {
        at = nextOccurrence(calendar, at);
      }
      return { count, more: at !== undefined && at < before };
    },
    numberOf: () => undefined,
  };
};

/** The times of a policy that begins at an instant. */
export const occurrencesOf = (policy: RunPolicy, base: number): Occurrences =>
  policy.type === "cron"
    ? calendared(policy)
    : policy.type === "repeat"
    ? repeated(policy.count, policy.intervalMs, base)
    : repeated(1, 1, base);
