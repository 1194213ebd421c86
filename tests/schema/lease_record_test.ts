import * as assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as fc from "fast-check";
import { LeaseId, WorkerInstanceId } from "../../schema/ids.ts";
import { expiresAt, isHeld, LeaseRecord, leaseRecord } from "../../schema/lease_record.ts";
import { fields, leaseId, natural, worker } from "./arbitraries.ts";

const location = { subject: "$KV.weir.lease.0.order.acme.o-1", sequence: 7 };
const verb = <const Kind extends string, Required, Optional>(
  kind: Kind,
  required: { [K in keyof Required]: fc.Arbitrary<Required[K]> },
  optional: { [K in keyof Optional]: fc.Arbitrary<Optional[K]> },
) =>
  fc.tuple(
    fields({
      leaseId,
      workerInstanceId: worker,
      epoch: natural,
      attempt: natural,
      ttlMs: natural,
      nonce: fc.string({ minLength: 1 }),
    }, { session: fc.boolean(), reclaims: natural }),
    fields(required, optional),
  ).map(([common, own]) => ({ kind, ...common, ...own }));

const anyRecord: fc.Arbitrary<LeaseRecord> = fc.oneof(
  verb("acquired", {}, {}),
  verb("renewed", {}, {}),
  verb("released", {}, {}),
  verb("expired", {}, { reason: fc.string() }),
  verb("reclaimed", {}, { previousLeaseId: leaseId, previousOwner: worker }),
  verb("revoked", { revokedBy: fc.string() }, { reason: fc.string() }),
);

const acquired = LeaseRecord.cases.acquired.make({
  leaseId: LeaseId.make("l-1"),
  workerInstanceId: WorkerInstanceId.make("w-1"),
  epoch: 1,
  attempt: 0,
  ttlMs: 30_000,
  nonce: "n",
});

describe("lease records", () => {
  it("round-trip for every verb", () => {
    fc.assert(fc.property(anyRecord, (record) => {
      const body = leaseRecord.encode(record);
      assert.deepEqual(Effect.runSync(leaseRecord.decode(body, location)), record);
    }));
  });

  it("read as JSON by a person with the NATS CLI", () => {
    assert.equal(
      new TextDecoder().decode(leaseRecord.encode(acquired)),
      '{"v":1,"kind":"acquired","leaseId":"l-1","workerInstanceId":"w-1","epoch":1,"attempt":0,' +
        '"ttlMs":30000,"nonce":"n"}',
    );
  });

  it("of a future version or an unknown verb are never taken for another", () => {
    const read = (fields: object) =>
      Effect.runSync(
        Effect.flip(
          leaseRecord.decode(
            new TextEncoder().encode(JSON.stringify({ ...acquired, ...fields })),
            location,
          ),
        ),
      )._tag;
    assert.equal(read({ v: 2 }), "UnsupportedRecordVersion");
    assert.equal(read({ v: 1, kind: "lent" }), "CorruptRecord");
    assert.equal(read({ v: 1, epoch: -1 }), "CorruptRecord");
    assert.equal(read({ v: 1, nonce: "" }), "CorruptRecord");
  });

  it("leave an owner after acquired, renewed and reclaimed only", () => {
    fc.assert(fc.property(anyRecord, (record) => {
      assert.equal(isHeld(record), ["acquired", "renewed", "reclaimed"].includes(record.kind));
    }));
  });

  it("lapse their time to live after the server stored them", () => {
    assert.equal(expiresAt(acquired, 1_700_000_000_000), 1_700_000_030_000);
  });
});
