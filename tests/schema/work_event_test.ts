import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as fc from "fast-check";
import { Timestamp } from "../../schema/ids.ts";
import {
  decodeWorkEvent,
  OtherWorkEvent,
  RecordedWorkEvent,
  type WorkEventKind,
  workEventKinds,
  workEventNumbers,
  workEventRecord,
} from "../../schema/work_event.ts";
import { json } from "./arbitraries.ts";

/** The seed's kinds, in its order, which never changes. */
const inOrder = [
  "taskCreated",
  "runCreated",
  "runStateChanged",
  "attemptStarted",
  "attemptFinished",
  "taskCanceled",
  "runCanceled",
  "leaseAcquired",
  "leaseHeartbeat",
  "leaseExpired",
  "leaseReleased",
  "enginePaused",
  "engineResumed",
  "dependencyDeclared",
  "runSuspended",
  "runResumed",
  "budgetAllocated",
  "budgetConsumed",
  "budgetExhausted",
  "budgetReplenished",
  "subscriptionCreated",
  "subscriptionTriggered",
  "subscriptionCanceled",
  "actorRegistered",
  "actorDeregistered",
  "actorHeartbeat",
  "tenantCreated",
  "roleAssigned",
  "capabilityGranted",
  "capabilityRevoked",
  "ledgerEntryAppended",
];

const place = { sequence: 7, ordinal: 1, at: Timestamp.make(5_000) };
const location = { subject: "copies", sequence: 7 };
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const decode = (body: Uint8Array) => Effect.runSync(decodeWorkEvent(body, location));
const refusal = (value: unknown) =>
  Effect.runSync(Effect.flip(decodeWorkEvent(bytes(value), location)));
const read = Schema.decodeUnknownSync(RecordedWorkEvent);
const write = Schema.encodeSync(RecordedWorkEvent);

const run = { runId: "order/o-1" };
const attempt = { ...run, attemptId: "1.0" };
const lease = { ...run, owner: "worker-1", expiry: 35_000 };
const budget = { taskId: "task:t-1", dimension: "tokens" };
const grant = { actorId: "ana", tenantId: "acme" };

/** What an event of each kind says at the most, and at the least where that is less. */
const samples: { readonly [Kind in WorkEventKind]: ReadonlyArray<object> } = {
  taskCreated: [{
    taskSpec: {
      id: "order/o-1",
      payload: { cents: 4200 },
      runPolicy: { type: "repeat", count: 3, intervalMs: 60_000 },
      constraints: {
        maxAttempts: 3,
        timeoutMs: 1_000,
        concurrencyKey: "customer-7",
        safetyLevel: "idempotent",
        requiredCapabilities: ["gpu"],
      },
      metadata: { tags: { a: "b" }, priority: -1, description: "nightly" },
      parentTaskId: "batch/b-1",
    },
  }, {
    taskSpec: {
      id: "order/o-1",
      runPolicy: { type: "once" },
      constraints: {},
      metadata: { tags: {}, priority: 0 },
    },
  }],
  runCreated: [{
    run: {
      id: "order/o-1#2",
      taskId: "order/o-1",
      state: "scheduled",
      createdAt: 5_000,
      scheduledAt: 6_000,
      effectivePriority: 1,
    },
  }],
  runStateChanged: [{ ...run, previousState: "running", newState: "retryWait" }],
  attemptStarted: [attempt],
  attemptFinished: [
    { ...attempt, result: "success", output: [1, null] },
    { ...attempt, result: "timeout", error: "late" },
    { ...attempt, result: "suspended" },
  ],
  taskCanceled: [{ taskId: "order/o-1" }],
  runCanceled: [run],
  leaseAcquired: [lease],
  leaseHeartbeat: [lease],
  leaseExpired: [lease],
  leaseReleased: [lease],
  enginePaused: [{ tenantId: "acme", lane: "gpu", reason: "audit", actorId: "ana" }, {}],
  engineResumed: [{ lane: "gpu" }, {}],
  dependencyDeclared: [{ taskId: "order/o-2", dependsOn: ["order/o-1"] }],
  runSuspended: [{ ...run, reason: "wait approval" }, run],
  runResumed: [run],
  budgetAllocated: [{ ...budget, limit: 100 }, budget],
  budgetConsumed: [{ ...budget, amount: 7 }],
  budgetExhausted: [budget],
  budgetReplenished: [{ ...budget, newLimit: 200 }, budget],
  subscriptionCreated: [{ subscriptionId: "s-1", taskId: "order/o-1", filter: { key: "k" } }],
  subscriptionTriggered: [{ subscriptionId: "s-1" }],
  subscriptionCanceled: [{ subscriptionId: "s-1" }],
  actorRegistered: [
    {
      actorId: "worker-1",
      identity: "host-1",
      capabilities: ["gpu"],
      department: "night",
      heartbeatIntervalMs: 5_000,
    },
    { actorId: "worker-1", identity: "worker-1", capabilities: [], heartbeatIntervalMs: 1_000 },
  ],
  actorDeregistered: [{ actorId: "worker-1" }],
  actorHeartbeat: [{ actorId: "worker-1" }],
  tenantCreated: [{ tenantId: "acme", name: "Acme" }],
  roleAssigned: [{ ...grant, role: "operator" }, { actorId: "ana", role: "operator" }],
  capabilityGranted: [{ ...grant, capability: "canSubmit" }],
  capabilityRevoked: [{ ...grant, capability: "canSubmit" }],
  ledgerEntryAppended: [
    { entryId: "e-1", tenantId: "acme", ledgerKey: "order/o-1", actorId: "ana", payload: "AAEC" },
    { entryId: "e-1", tenantId: "acme", ledgerKey: "order/o-1", payload: null },
  ],
};

const placed = [
  place,
  { ...place, executionId: "order/o-1", tenant: "acme", cursor: "AwE" },
];

describe("events of work", () => {
  it("are of 31 kinds, each with the seed's number", () => {
    assert.deepEqual(workEventKinds, inOrder);
    assert.equal(workEventKinds.length, 31);
    inOrder.forEach((kind, number) => {
      assert.equal(workEventNumbers[kind as keyof typeof workEventNumbers], number, kind);
    });
  });

  for (const [kind, said] of Object.entries(samples)) {
    it(`${kind} is the same when it has been written and read`, () => {
      for (const fields of said) {
        for (const place of placed) {
          const plain = { kind, ...place, ...fields };
          const event = decode(bytes({ v: 1, ...plain }));
          assert.deepEqual(event, plain);
          const body = workEventRecord.encode(event);
          assert.deepEqual(body, bytes({ v: 1, ...plain }));
          assert.deepEqual(write(read(plain)), plain);
          assert.equal(read(plain).kind, kind);
        }
      }
    });

    it(`${kind} is refused if it does not say what it must`, () => {
      const [fields = {}] = said.slice(-1);
      for (const name of Object.keys(fields)) {
        const { [name]: _, ...rest } = fields as Record<string, unknown>;
        const isOptional = name === "tenantId" && kind !== "tenantCreated" &&
          kind !== "ledgerEntryAppended";
        if (isOptional) continue;
        assert.equal(refusal({ v: 1, kind, ...place, ...rest })._tag, "CorruptRecord", name);
      }
    });
  }

  it("of an unknown kind are refused by who must act on them, loudly", () => {
    const error = refusal({ v: 1, kind: "taskMoved", ...place, to: "there" });
    assert.ok(error._tag === "UnknownRecordKind");
    assert.deepEqual([error.kind, error.sequence], ["taskMoved", 7]);
    assert.equal(refusal({ v: 1, kind: "constructor", ...place })._tag, "UnknownRecordKind");
    assert.equal(refusal({ v: 2, kind: "runResumed", ...place })._tag, "UnsupportedRecordVersion");
  });

  it("that are damaged are refused, and not taken for unknown ones", () => {
    const { at: _, ...rest } = place;
    for (
      const value of [
        { v: 1, kind: "runResumed", ...place },
        { v: 1, kind: "runResumed", ...rest, runId: "order/o-1" },
        { v: 1, kind: "runStateChanged", ...place, runId: "r", previousState: "x", newState: "y" },
        { v: 1, ...place },
        null,
        [],
      ]
    ) assert.equal(refusal(value)._tag, "CorruptRecord", JSON.stringify(value));
  });

  it("of an unknown kind are kept by readers as they are, and written back unchanged", () => {
    const later = { kind: "taskMoved", ...place, to: { lane: "gpu" }, executionId: "order/o-1" };
    const other = read(later);
    assert.ok(other.kind === "other");
    assert.deepEqual(other, {
      kind: "other",
      ...place,
      executionId: "order/o-1",
      raw: { kind: "taskMoved", to: { lane: "gpu" } },
    });
    assert.deepEqual(write(other), later);
    fc.assert(fc.property(fc.dictionary(fc.string(), json), (fields) => {
      const wire = { ...fields, kind: "taskMoved", ...place };
      assert.deepEqual(
        JSON.parse(JSON.stringify(write(read(wire)))),
        JSON.parse(JSON.stringify(wire)),
      );
    }));
  });

  it("of a known kind never hide among the unknown", () => {
    const isOther = Schema.is(OtherWorkEvent);
    const raw = { kind: "runResumed", runId: "order/o-1" };
    assert.equal(isOther({ kind: "other", ...place, raw }), false);
    assert.equal(isOther({ kind: "other", ...place, raw: { kind: "taskMoved", at: 1 } }), false);
    assert.equal(isOther({ kind: "other", ...place, raw: { kind: "taskMoved" } }), true);
    assert.throws(() => read({ kind: "runResumed", ...place }));
  });
});
