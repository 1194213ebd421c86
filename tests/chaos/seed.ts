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
export const chance = (purpose: string): Chance => {
  let state = seed;
  for (const character of purpose) state = Math.imul(state ^ character.charCodeAt(0), 0x01000193);
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
};

/** Where to kill: after the count-th append was handed over, or after it was acknowledged. */
export interface Point {
  readonly count: number;
  readonly moment: "handed" | "acked";
  /** How often the event loop turns first, so that bytes may leave and answers may come. */
  readonly turns: number;
}

const maxTurns = 6;

/** Points in ascending order, spread over all appends, with the first and the last among them. */
export const pointsAmong = (appends: number, points: number, chance: Chance): Array<Point> => {
  const pick = (count: number, moment = (["handed", "acked"] as const)[chance(2)]!): Point => ({
    count,
    moment,
    turns: chance(maxTurns),
  });
  const ends = points >= 8
    ? {
      first: [pick(1, "handed"), pick(1, "acked")],
      last: [pick(appends, "handed"), pick(appends, "acked")],
    }
    : { first: [pick(1)], last: [pick(appends)] };
  const between = points - ends.first.length - ends.last.length;
  const stride = (appends - 2) / between;
  const inner = Array.from(
    { length: between },
    (_, i) => pick(2 + Math.floor(i * stride) + chance(Math.floor(stride))),
  );
  return [...ends.first, ...inner, ...ends.last];
};
