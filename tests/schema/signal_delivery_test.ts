import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { SignalDeliveryEvent, SignalEffect } from "../../schema/signal_delivery.ts";
import { familyEvent, json, reread, signalId, waitpointId } from "./arbitraries.ts";

const known = ["satisfied", "buffered", "deduped"] as const;
const { decode, encode } = reread(SignalDeliveryEvent);
const common = familyEvent({ signalId }, { waitpointId, sourceIdentity: fc.string() });
const unknown = json.filter((raw) => !known.some((effect) => effect === raw));

describe("signal delivery events", () => {
  it("round-trip for every effect", () => {
    fc.assert(fc.property(common, fc.constantFrom(...known), (common, effect) => {
      const event = SignalDeliveryEvent.make({ ...common, effect });
      assert.deepEqual(encode(event), { ...common, effect });
      assert.deepEqual(decode(encode(event)), event);
    }));
  });

  it("keep an unknown effect raw, and write it back unchanged", () => {
    fc.assert(fc.property(common, unknown, (common, raw) => {
      const event = decode({ ...common, effect: raw });
      assert.deepEqual(event.effect, { type: "other", raw });
      assert.deepEqual(encode(event), { ...common, effect: raw });
    }));
  });

  it("cannot state a known effect as an unknown one", () => {
    for (const raw of known) assert.throws(() => SignalEffect.make({ type: "other", raw }));
  });
});
