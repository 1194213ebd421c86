import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as fc from "fast-check";
import { ExecutionSnapshot, snapshotRecord } from "../../schema/execution_snapshot.ts";
import { ExecutionId, Tenant, Timestamp } from "../../schema/ids.ts";
import { executionId, fields, json, natural, tenant, timestamp, utf16 } from "./arbitraries.ts";

const location = { subject: "snapshot.acme.o-1", sequence: 7 };
const decode = (body: Uint8Array) => Effect.runSync(snapshotRecord.decode(body, location));
const encoded = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

describe("snapshot records", () => {
  it("round-trip", () => {
    const values = fc.dictionary(fc.string(), json, { noNullPrototype: true });
    const snapshot = fields(
      {
        executionId,
        tenantId: tenant,
        state: fc.oneof(fc.constantFrom("running", "waiting"), fc.string()),
        stepOutputs: values,
        variables: values,
        timestamp,
        sequenceNumber: natural,
      },
      { userId: utf16, currentStepId: utf16 },
    );
    fc.assert(fc.property(snapshot, (snapshot) => {
      const record = { kind: "snapshot", incarnation: "0123456789abcdef", snapshot } as const;
      assert.deepEqual(decode(snapshotRecord.encode(record)), record);
    }));
  });

  it("have a version and a kind, and fields that people can read", () => {
    const snapshot = ExecutionSnapshot.make({
      executionId: ExecutionId.make("order/o-1"),
      tenantId: Tenant.make("acme"),
      state: "waiting",
      stepOutputs: { charge: { receipt: 1 } },
      variables: {},
      timestamp: Timestamp.make(5),
      sequenceNumber: 3,
    });
    assert.equal(
      new TextDecoder().decode(
        snapshotRecord.encode({ kind: "snapshot", incarnation: "00", snapshot }),
      ),
      '{"v":1,"kind":"snapshot","incarnation":"00","snapshot":{"executionId":"order/o-1",' +
        '"tenantId":"acme","state":"waiting","stepOutputs":{"charge":{"receipt":1}},' +
        '"variables":{},"timestamp":5,"sequenceNumber":3}}',
    );
  });

  it("of a later version are not taken for something else", () => {
    const error = Effect.runSync(
      Effect.flip(snapshotRecord.decode(encoded({ v: 2, kind: "snapshot" }), location)),
    );
    assert.equal(error._tag, "UnsupportedRecordVersion");
  });

  it("with fields that a later release added are read", () => {
    const snapshot = {
      executionId: "o",
      tenantId: "t",
      state: "dreaming",
      stepOutputs: {},
      variables: {},
      timestamp: 0,
      sequenceNumber: 0,
      mood: "good",
    };
    const { mood: _, ...known } = snapshot;
    assert.deepEqual(
      decode(encoded({ v: 1, kind: "snapshot", incarnation: "", snapshot })).snapshot,
      known,
    );
  });
});
