import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { CompletionEvent, Outcome } from "../../schema/completion.ts";
import { familyEvent, json, reread } from "./arbitraries.ts";

const known = ["success", "failure", "cancelled"] as const;
const { decode, encode } = reread(CompletionEvent);
const common = familyEvent({}, {});
const unknown = json.filter((raw) => !known.some((outcome) => outcome === raw));

describe("completion events", () => {
  it("round-trip for every outcome", () => {
    fc.assert(fc.property(common, fc.constantFrom(...known), (common, outcome) => {
      const event = CompletionEvent.make({ ...common, outcome });
      assert.deepEqual(encode(event), { ...common, outcome });
      assert.deepEqual(decode(encode(event)), event);
    }));
  });

  it("keep an unknown outcome raw, and write it back unchanged", () => {
    fc.assert(fc.property(common, unknown, (common, raw) => {
      const event = decode({ ...common, outcome: raw });
      assert.deepEqual(event.outcome, { type: "other", raw });
      assert.deepEqual(encode(event), { ...common, outcome: raw });
    }));
    assert.deepEqual(decode({ ...fc.sample(common, 1)[0], outcome: "skipped" }).outcome, {
      type: "other",
      raw: "skipped",
    });
  });

  it("cannot state a known outcome as an unknown one", () => {
    for (const raw of known) assert.throws(() => Outcome.make({ type: "other", raw }));
  });
});
