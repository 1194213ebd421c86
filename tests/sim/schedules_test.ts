import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { named, seed } from "../chaos/seed.ts";
import { simulations } from "./simulations.ts";
import { firstViolation, inShort } from "./simulate.ts";

const isFull = process.env["WEIR_TEST_FULL"] !== undefined;

describe("whatever happens", () => {
  for (const [name, { simulation, inGate, what }] of Object.entries(simulations)) {
    const count = isFull ? 5 * inGate : inGate;
    it(`${what}, in ${count} schedules, ${named}`, async () => {
      const found = await firstViolation(simulation, { seed, count });
      if (found === undefined) return;
      const again = `deno task sim --of ${name} --seed ${seed} --first ${found.run} --runs 1`;
      assert.fail(`in short:\n${await inShort(simulation, found)}\nagain: ${again}`);
    });
  }
});
