import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { named } from "../chaos/seed.ts";
import { Choices, shrink } from "./choices.ts";
import { problemOf } from "./schedule.ts";

const schedules = process.env["WEIR_TEST_FULL"] === undefined ? 10_000 : 50_000;

describe("the core, whatever happens to its owners", () => {
  it(`comes to the same end in ${schedules} schedules, ${named}`, () => {
    for (let i = 0; i < schedules; i++) {
      const choices = Choices.random(`schedule ${i}`);
      if (problemOf(choices) === undefined) continue;
      const smallest = shrink(choices.made, (choices) => problemOf(choices) !== undefined);
      assert.fail(`schedule ${i}, ${named}, in short:\n${problemOf(Choices.repeated(smallest))}`);
    }
  });
});
