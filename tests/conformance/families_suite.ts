/** The contract of `Families` on any log, each test on a log of its own. */
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import type { Run } from "./subject_matter.ts";
import { cursorCases } from "./families/cursor.ts";
import { filterCases } from "./families/filters.ts";
import { pressureCases } from "./families/pressure.ts";
import { removalCases } from "./families/removal.ts";
import type { Services, Test } from "./families/scene.ts";
import { tickCases } from "./families/ticks.ts";
import { transitionCases } from "./families/transitions.ts";
import { unknownCases } from "./families/unknown.ts";

export const familiesSuite = (
  name: string,
  run: Run<Services>,
  /** How much is written while a reader stands still. */
  writtenMeanwhile = 10_000,
): void => {
  const test: Test = (title, effect) => {
    it(title, () => run(Effect.asVoid(Effect.suspend(effect))));
  };
  describe(`${name}: the families' events`, () => transitionCases(test));
  describe(`${name}: what the families do not know`, () => unknownCases(test));
  describe(`${name}: the families' cursors`, () => cursorCases(test));
  describe(`${name}: the families and what is removed`, () => removalCases(test));
  describe(`${name}: the families' filters`, () => filterCases(test));
  describe(`${name}: the families' ticks`, () => tickCases(test));
  describe(`${name}: the families' slow readers`, () => pressureCases(test, writtenMeanwhile));
};
