import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { InstanceTagEvent } from "../../schema/instance_tags.ts";
import { familyEvent, reread, unknownFamilyObject } from "./arbitraries.ts";

const { cases } = InstanceTagEvent;
const { decode, encode } = reread(InstanceTagEvent);
const fields = familyEvent({ tag: fc.string() }, {});
const event: fc.Arbitrary<InstanceTagEvent> = fc.oneof(
  fields.map((fields) => cases.attached.make(fields)),
  fields.map((fields) => cases.cleared.make(fields)),
);

describe("instance tag events", () => {
  it("round-trip for every type", () => {
    fc.assert(fc.property(event, (event) => {
      assert.deepEqual(encode(event), { ...event });
      assert.deepEqual(decode(encode(event)), event);
    }));
  });

  it("of unknown types are kept with their fields, and written back unchanged", () => {
    fc.assert(fc.property(unknownFamilyObject(["attached", "cleared"]), ({ wire, common, raw }) => {
      const event = decode(wire);
      assert.deepEqual(event, { type: "other", ...common, raw });
      assert.deepEqual(encode(event), wire);
    }));
  });

  it("of a known type without a tag are refused", () => {
    const [common] = fc.sample(familyEvent({}, {}), 1);
    assert.throws(() => decode({ type: "attached", ...common }), /tag/);
  });
});
