/** The contract of budgets, on whichever log. */
import { describe } from "node:test";
import { changing } from "./budgets/changing.ts";
import { limits } from "./budgets/limits.ts";
import { type Services, testsWith } from "./budgets/matter.ts";
import { refusing } from "./budgets/refusing.ts";
import { sharing } from "./budgets/sharing.ts";
import { spending } from "./budgets/spending.ts";
import type { Run } from "./subject_matter.ts";

export const budgetsSuite = (name: string, run: Run<Services>) => {
  const test = testsWith(run);
  describe(`budgets: ${name}`, () => {
    describe("limits", () => limits(test));
    describe("changes", () => changing(test));
    describe("spendings", () => spending(test));
    describe("many at once", () => sharing(test));
    describe("what is refused", () => refusing(test));
  });
};
