import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { LeaseHistoryEvent } from "../../schema/lease_history.ts";
import { familyEvent, leaseId, reread, unknownFamilyObject, worker } from "./arbitraries.ts";

const { cases, discriminants } = LeaseHistoryEvent;
const { decode, encode } = reread(LeaseHistoryEvent);
const holder = familyEvent({}, { leaseId, workerInstanceId: worker });

const event: fc.Arbitrary<LeaseHistoryEvent> = fc.oneof(
  holder.map((fields) => cases.acquired.make(fields)),
  holder.map((fields) => cases.renewed.make(fields)),
  familyEvent({}, { previousOwner: worker }).map((fields) => cases.expired.make(fields)),
  familyEvent({}, { newLeaseId: leaseId, newOwner: worker }).map((fields) =>
    cases.reclaimed.make(fields)
  ),
  familyEvent({ revokedBy: fc.string() }, { leaseId }).map((fields) => cases.revoked.make(fields)),
  holder.map((fields) => cases.released.make(fields)),
);
const unknown = unknownFamilyObject(discriminants.filter((type) => type !== "other"));

describe("lease history events", () => {
  it("round-trip for every type", () => {
    fc.assert(fc.property(event, (event) => assert.deepEqual(decode(encode(event)), event)));
  });

  it("are on the wire as they are in memory", () => {
    fc.assert(fc.property(event, (event) => assert.deepEqual(encode(event), { ...event })));
  });

  it("of unknown types are kept with their fields, and written back unchanged", () => {
    fc.assert(fc.property(unknown, ({ wire, common, raw }) => {
      const event = decode(wire);
      assert.deepEqual(event, { type: "other", ...common, raw });
      assert.deepEqual(encode(event), wire);
    }));
  });

  it("of a known type never hide in other", () => {
    fc.assert(fc.property(event, unknown, ({ type, ...known }, { common }) => {
      assert.throws(() => cases.other.make({ ...common, raw: { ...known, type } }));
      assert.throws(() => cases.other.make({ ...common, raw: { type: "lent", at: 1 } }));
    }));
  });

  it("whose known fields are broken are refused", () => {
    const [common] = fc.sample(familyEvent({}, {}), 1);
    for (const broken of [{ leaseId: 7 }, { leaseId: "" }, { at: "now" }, { executionId: "" }]) {
      assert.throws(() => decode({ type: "acquired", ...common, ...broken }));
    }
    assert.throws(() => decode({ type: "revoked", ...common }), /revokedBy/);
    assert.throws(() => decode({ type: "lent" }), /cursor/);
  });
});
