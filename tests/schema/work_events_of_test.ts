/** What records beside those of executions tell of work. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Schema from "effect/Schema";
import { BudgetName } from "../../schema/budget.ts";
import { BudgetRecord } from "../../schema/budget_record.ts";
import { GrantRecord } from "../../schema/grant_record.ts";
import { Timestamp } from "../../schema/ids.ts";
import { LedgerRecord } from "../../schema/ledger_record.ts";
import { SessionRecord } from "../../schema/session_record.ts";
import { TenantRecord } from "../../schema/tenant_record.ts";
import {
  type OtherWorkFact,
  RecordedWorkEvent,
  workEventsAt,
  type WorkFact,
} from "../../schema/work_event.ts";
import { workOfGrant, workOfLedger, workOfTenant } from "../../schema/work_events_of_access.ts";
import { workOfBudget } from "../../schema/work_events_of_budget.ts";
import { workOfRemote } from "../../schema/work_events_of_remote.ts";
import { RemoteRecord } from "../../schema/remote_record.ts";
import { workOfSession } from "../../schema/work_events_of_session.ts";

const isEvent = Schema.is(RecordedWorkEvent);

/** Every fact is an event at some place. */
const told = (facts: ReadonlyArray<WorkFact | OtherWorkFact>) => {
  const events = workEventsAt({ sequence: 3, at: Timestamp.make(1) }, facts);
  for (const [ordinal, event] of events.entries()) {
    assert.ok(isEvent(event), JSON.stringify(event));
    assert.equal(event.ordinal, ordinal);
  }
  return facts;
};

describe("what a budget's record tells", () => {
  const name = BudgetName.make("task:t-1");
  const record = (events: ReadonlyArray<unknown>) =>
    Schema.decodeUnknownSync(BudgetRecord)({
      kind: "budget",
      events,
      dimensions: { tokens: { hard: 90, used: 0, since: 0 }, usd: { soft: 5, used: 0, since: 0 } },
      intervalStartedAt: 0,
      spendings: [],
      keys: [],
      life: 1,
      records: 1,
    });
  const of = (...events: ReadonlyArray<unknown>) => told(workOfBudget(name, record(events)));
  const tokens = { taskId: "task:t-1", dimension: "tokens" };
  const usd = { taskId: "task:t-1", dimension: "usd" };

  it("is told for each dimension, in the order in which it happened", () => {
    assert.deepEqual(
      of(
        { type: "allocated", limits: { tokens: { hard: 100 }, usd: { soft: 5 } } },
        { type: "consumed", amounts: { tokens: 7, usd: 1 }, execution: "order/o-1" },
        { type: "replenished", limits: { tokens: { hard: 90, soft: 80 } } },
        { type: "reset", dimensions: ["tokens", "usd"], by: "interval" },
      ),
      [
        { kind: "budgetAllocated", ...tokens, limit: 100 },
        { kind: "budgetAllocated", ...usd },
        { kind: "budgetConsumed", ...tokens, amount: 7 },
        { kind: "budgetConsumed", ...usd, amount: 1 },
        { kind: "budgetReplenished", ...tokens, newLimit: 90 },
        { kind: "budgetReplenished", ...tokens, newLimit: 90 },
        { kind: "budgetReplenished", ...usd },
      ],
    );
  });

  it("never says that it is exhausted, nor what changed nothing of a limit", () => {
    assert.deepEqual(
      of(
        { type: "breached", amounts: { tokens: 100 }, dimensions: ["tokens"] },
        { type: "released", amounts: { tokens: 7 }, execution: "order/o-1" },
        { type: "deleted" },
      ),
      [],
    );
  });

  it("of a later release is handed on as it is", () => {
    const later = { type: "borrowed", from: "task:t-2" };
    assert.deepEqual(of(later), [{ kind: "other", raw: { kind: "borrowed", event: later } }]);
  });
});

describe("what is told of tenants, grants and ledgers", () => {
  const grant = (change: object) =>
    told(workOfGrant(
      Schema.decodeUnknownSync(GrantRecord)({
        kind: "grant",
        principal: "ana",
        tenant: "acme",
        change,
        roles: [],
        granted: [],
        revoked: [],
      }),
    ));
  const of = { actorId: "ana", tenantId: "acme" };

  it("is one event for each record that has a word", () => {
    const tenant = { kind: "tenant", tenant: "acme", name: "Acme" };
    assert.deepEqual(told(workOfTenant(Schema.decodeUnknownSync(TenantRecord)(tenant))), [
      { kind: "tenantCreated", tenantId: "acme", name: "Acme" },
    ]);
    assert.deepEqual(
      grant({ type: "roleAssigned", role: { name: "operator", capabilities: ["submit"] } }),
      [{ kind: "roleAssigned", ...of, role: "operator" }],
    );
    for (const type of ["capabilityGranted", "capabilityRevoked"]) {
      assert.deepEqual(grant({ type, capability: "submit" }), [
        { kind: type, ...of, capability: "submit" },
      ]);
    }
    assert.deepEqual(grant({ type: "roleUnassigned", role: "operator" }), []);
    const entry = Schema.decodeUnknownSync(LedgerRecord)({
      kind: "entry",
      tenant: "acme",
      key: "order/o-1",
      id: "e-1",
      entry: "audit",
      by: "ana",
      payload: { ok: true },
    });
    assert.deepEqual(told(workOfLedger(entry)), [{
      kind: "ledgerEntryAppended",
      entryId: "e-1",
      tenantId: "acme",
      ledgerKey: "order/o-1",
      actorId: "ana",
      payload: { ok: true },
    }]);
  });
});

describe("what is told of a worker", () => {
  const session = Schema.decodeUnknownSync(SessionRecord)({
    kind: "session",
    worker: "worker-1",
    ttlMs: 9_000,
    capabilities: ["gpu"],
    lanes: ["night"],
    host: "host-1",
  });

  it("is that it came, is alive, and is gone, each once", () => {
    assert.deepEqual(told(workOfSession("worker-1", session, false)), [{
      kind: "actorRegistered",
      actorId: "worker-1",
      identity: "host-1",
      capabilities: ["gpu"],
      department: "night",
      heartbeatIntervalMs: 3_000,
    }]);
    assert.deepEqual(told(workOfSession("worker-1", session, true)), [
      { kind: "actorHeartbeat", actorId: "worker-1" },
    ]);
    assert.deepEqual(told(workOfSession("worker-1", undefined, true)), [
      { kind: "actorDeregistered", actorId: "worker-1" },
    ]);
    assert.deepEqual(told(workOfSession("worker-1", undefined, false)), []);
  });
});

describe("what is told of a remote worker", () => {
  const remote = Schema.decodeUnknownSync(RemoteRecord)({
    kind: "remote",
    state: "registered",
    tenant: "acme",
    worker: "w-1",
    session: "s",
    capabilities: ["gpu"],
    department: "lab",
    heartbeatMs: 3_000,
    registeredAt: 1,
  });

  it("is that it came, is alive, and is gone", () => {
    assert.deepEqual(told(workOfRemote(remote)), [{
      kind: "actorRegistered",
      actorId: "w-1",
      identity: "w-1",
      capabilities: ["gpu"],
      department: "lab",
      heartbeatIntervalMs: 3_000,
    }]);
    assert.deepEqual(told(workOfRemote({ ...remote, state: "alive" })), [
      { kind: "actorHeartbeat", actorId: "w-1" },
    ]);
    assert.deepEqual(told(workOfRemote({ ...remote, state: "gone", why: "silent" })), [
      { kind: "actorDeregistered", actorId: "w-1" },
    ]);
  });
});
