/** That the table of what survives what says the truth: `deno task durability` prints it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { leftovers } from "../fixtures/server.ts";
import {
  type Failure,
  failures,
  failuresOf,
  measure,
  type Setting,
  settings,
} from "./durability.ts";

/** What is promised to be lost at most. */
const promised = (
  { replicas, syncInterval }: Setting,
  failure: Failure,
): "nothing" | "the end" | "something" => {
  const struck = failures[failure];
  if (struck === "client" || struck === "server") return "nothing";
  if (struck === "damage") return replicas === 3 ? "nothing" : "something";
  const isOnlyCopy = replicas === 1 || struck === "powerOfAll";
  return isOnlyCopy && syncInterval !== "always" ? "the end" : "nothing";
};

for (const setting of settings) {
  describe(`replicas ${setting.replicas}, sync_interval ${setting.syncInterval}`, () => {
    for (const failure of failuresOf(setting)) {
      const most = promised(setting, failure);
      it(`when ${failure}, ${most} of what was accepted is lost`, async () => {
        const cell = await measure(setting, failure, { forMs: 1_500 });
        const { accepted, lost, isPrefix } = cell;
        assert.ok(accepted > 100, `${accepted} were accepted`);
        if (most === "nothing") assert.equal(lost, 0);
        // A power cut takes nothing out of the middle, while what came later is there.
        if (failures[failure] !== "damage") assert.ok(isPrefix, JSON.stringify(cell));
      });
    }
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
