/**
 * Chance that can be repeated: one seed per test process, shown in the names of the tests that use
 * it, and taken from `WEIR_TEST_SEED` when that is set. Points at which something is killed are
 * counts of appends and turns of the event loop, never times.
 */
import { randomInt } from "node:crypto";
import process from "node:process";

export const seed = Number(process.env["WEIR_TEST_SEED"] ?? randomInt(2 ** 31));

/** What a test's name ends with, so that whoever sees it fail can repeat it. */
export const named = `WEIR_TEST_SEED=${seed}`;

export type Chance = (below: number) => number;

/** Whole numbers that depend on the seed and on the purpose alone (mulberry32). */
export const chance = (purpose: string, from = seed): Chance => {
  let state = from;
  for (const character of purpose) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
};

/**
 * Where to kill: when the count-th append has been handed over, when since then some append has
 * been stored without its writer knowing, or when the count-th was acknowledged.
 */
export interface Point {
  readonly count: number;
  readonly moment: typeof moments[number];
  /** How often the event loop turns first, so that bytes may leave and answers may come. */
  readonly turns: number;
}

const moments = ["handed", "landed", "acked"] as const;
const maxTurns = 6;

/** Points in ascending order, spread over all appends, with the first and the last among them. */
export const pointsAmong = (appends: number, points: number, chance: Chance): Array<Point> => {
  const offset = chance(moments.length);
  const pick = (count: number, i: number): Point => ({
    count,
    moment: moments[(offset + i) % moments.length]!,
    turns: chance(maxTurns),
  });
  /** With many points, each end is met at every moment. */
  const atEach = points > 4 * moments.length ? moments.length : 1;
  const between = points - 2 * atEach;
  const stride = Math.floor((appends - 2) / between);
  return Array.from({ length: points }, (_, i) => {
    if (i < atEach) return pick(1, i);
    if (i >= points - atEach) return pick(appends, i);
    return pick(2 + (i - atEach) * stride + chance(stride), i);
  });
};
