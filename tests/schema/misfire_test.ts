import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { type MisfireInput, parseMisfire } from "../../schema/misfire.ts";

const parsed = (input?: MisfireInput) => Effect.runSync(parseMisfire(input));

describe("a misfire policy", () => {
  it("is stored with its limit", () => {
    assert.deepEqual(parsed(), { type: "fire-once" });
    assert.deepEqual(parsed("skip"), { type: "skip" });
    assert.deepEqual(parsed("fire-all"), { type: "fire-all", limit: 100 });
    assert.deepEqual(parsed({ type: "fire-all" }), { type: "fire-all", limit: 100 });
    assert.deepEqual(parsed({ type: "fire-all", limit: 7 }), { type: "fire-all", limit: 7 });
  });

  it("is bounded, and one of three", () => {
    for (const limit of [0, -1, 1.5, 1001, NaN, "3"]) {
      const input = { type: "fire-all", limit } as MisfireInput;
      assert.equal(Effect.runSync(Effect.flip(parseMisfire(input))).what, "misfire policy");
    }
    for (const input of ["fire", "", {}, null, 3]) {
      const error = Effect.runSync(Effect.flip(parseMisfire(input as MisfireInput)));
      assert.equal(error.what, "misfire policy", JSON.stringify(input));
    }
  });
});
