/**
 * Which runs of a time that is over a schedule makes up for: each once, however often and in whatever
 * windows they are asked for. What it has made up for is kept as stretches of a policy's times, since
 * the times themselves would grow with every request. Pure: no clock is read here, so that a replay
 * comes to the same.
 */
import * as Schema from "effect/Schema";
import { RunPolicy } from "../../schema/run_policy.ts";
import { occurrencesOf } from "./occurrences.ts";

/** The most runs that one request makes up for. */
export const mostBackfilled = 1_000;

/** All times of a policy from one of them to another. */
export const StretchRecord = Schema.Struct({
  policy: RunPolicy,
  base: Schema.Number,
  from: Schema.Number,
  to: Schema.Number,
});
export type Stretch = typeof StretchRecord.Type;

/** What is asked for; both ends belong to it. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Backfill {
  /** The runs to create, ascending. */
  readonly create: ReadonlyArray<number>;
  /** How many are left out since there are too many; at least as many, if a thousand or more are. */
  readonly skipped: number;
  /** What is made up for then. */
  readonly done: ReadonlyArray<Stretch>;
}

/** Whether more runs are due in a window than one request makes up for. */
export const isTooMuch = (policy: RunPolicy, base: number, { from, to }: Window): boolean =>
  occurrencesOf(policy, base).count(from - 1, to + 1, mostBackfilled).more;

const policyText = ({ policy, base }: Stretch): string => JSON.stringify([policy, base]);

/** With one stretch more; what it continues becomes one with it, so that few are kept. */
const joined = (done: ReadonlyArray<Stretch>, added: Stretch): ReadonlyArray<Stretch> => {
  const text = policyText(added);
  const { next } = occurrencesOf(added.policy, added.base);
  const isSame = (stretch: Stretch) => policyText(stretch) === text;
  const same = [...done.filter(isSame), added].sort((a, b) => a.from - b.from);
  const merged: Array<Stretch> = [];
  for (const stretch of same) {
    const before = merged.at(-1);
    if (before !== undefined && (stretch.from <= before.to || next(before.to) === stretch.from)) {
      merged[merged.length - 1] = { ...before, to: Math.max(before.to, stretch.to) };
    } else merged.push(stretch);
  }
  return [...done.filter((stretch) => !isSame(stretch)), ...merged];
};

/** What a request for a window comes to, of a policy that begins at an instant. */
export const backfill = (
  policy: RunPolicy,
  base: number,
  { from, to }: Window,
  done: ReadonlyArray<Stretch>,
): Backfill => {
  const { next } = occurrencesOf(policy, base);
  const former = done.map(({ from, to, policy, base }) => ({
    has: (at: number) => from <= at && at <= to,
    ...occurrencesOf(policy, base),
  }));
  const isDone = (at: number) => former.some(({ has, next }) => has(at) && next(at - 1) === at);
  const create: Array<number> = [];
  const first = next(from - 1);
  let last: number | undefined;
  let skipped = 0;
  for (let at = first; at !== undefined && at <= to && skipped < mostBackfilled; at = next(at)) {
    if (!isDone(at)) {
      if (create.length < mostBackfilled) create.push(at);
      else skipped++;
    }
    if (skipped === 0) last = at;
  }
  return {
    create,
    skipped,
    done: first === undefined || last === undefined
      ? done
      : joined(done, { policy, base, from: first, to: last }),
  };
};
