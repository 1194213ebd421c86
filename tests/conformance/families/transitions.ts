/** Every transition is an event, with the words of the schema and nothing left out. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { CompletionEvent } from "../../../schema/completion.ts";
import { SignalId } from "../../../schema/ids.ts";
import { InstanceTagEvent } from "../../../schema/instance_tags.ts";
import { LeaseHistoryEvent } from "../../../schema/lease_history.ts";
import type { OutcomeRecord } from "../../../schema/outcome_record.ts";
import { SignalDeliveryEvent } from "../../../schema/signal_delivery.ts";
import { Leases } from "../../../streams/lease.ts";
import { uniqueExecution, uniqueWorker } from "../subject_matter.ts";
import { bare, end, journal, own, place, readAll, tag, take, type Test, until } from "./scene.ts";

/** What is on the wire, as JSON has it. */
const wire = <S extends Schema.ConstraintCodec<unknown, unknown>>(
  schema: S,
  events: ReadonlyArray<S["Type"]>,
): ReadonlyArray<object> =>
  bare(JSON.parse(JSON.stringify(events.map((event) => Schema.encodeSync(schema)(event)))));

export const transitionCases = (test: Test): void => {
  test("7: a lease's whole history is there from earliest on, long after it has ended", () =>
    Effect.gen(function* () {
      const leases = yield* Leases;
      const execution = yield* place(uniqueExecution());
      const [first, second, third] = [uniqueWorker(), uniqueWorker(), uniqueWorker()];
      const lease = yield* leases.acquire(execution, { worker: first, ttl: "1 second" });
      yield* leases.renew(lease);
      yield* until(
        "the lease lapses",
        Effect.map(leases.expireIfDue(execution), (verdict) => verdict === "expired"),
      );
      const reclaimed = yield* leases.acquire(execution, { worker: second, ttl: "30 seconds" });
      yield* leases.revoke(execution, { by: "operator", reason: "it hangs" });
      const last = yield* leases.acquire(execution, { worker: third, ttl: "30 seconds" });
      yield* leases.release(last);
      const again = yield* leases.acquire(execution, { worker: first, ttl: "30 seconds" });
      yield* leases.release(again);

      const events = yield* readAll("leaseHistory", { after: "earliest" });
      assert.deepEqual(wire(LeaseHistoryEvent, events), [
        { type: "acquired", leaseId: lease.leaseId, workerInstanceId: first },
        { type: "renewed", leaseId: lease.leaseId, workerInstanceId: first },
        { type: "expired", leaseId: lease.leaseId, previousOwner: first },
        { type: "reclaimed", newLeaseId: reclaimed.leaseId, newOwner: second },
        { type: "revoked", leaseId: reclaimed.leaseId, revokedBy: "operator" },
        { type: "reclaimed", newLeaseId: last.leaseId, newOwner: third },
        { type: "released", leaseId: last.leaseId, workerInstanceId: third },
        { type: "acquired", leaseId: again.leaseId, workerInstanceId: first },
        { type: "released", leaseId: again.leaseId, workerInstanceId: first },
      ]);
      assert.deepEqual(
        new Set(events.map(({ executionId }) => executionId)),
        new Set([execution.label]),
      );
      assert.equal(new Set(events.map(({ cursor }) => cursor)).size, events.length);
      assert.deepEqual(events.map(({ at }) => at), events.map(({ at }) => at).toSorted());
    }));

  test("each outcome is a completion, however large its value", () =>
    Effect.gen(function* () {
      const outcomes: ReadonlyArray<OutcomeRecord> = [
        { type: "success", value: 1 },
        { type: "success", value: "x".repeat(300_000) },
        { type: "failure", failure: { name: "Error", message: "no", retryable: false } },
        { type: "cancelled", reason: "enough" },
        { type: "expired" },
        { type: "skipped", reason: "not now" },
      ];
      const ids: Array<string> = [];
      for (const outcome of outcomes) {
        const owned = yield* own();
        ids.push(owned.execution);
        yield* end(owned, outcome);
      }
      const events = yield* readAll("completions", { after: "earliest" });
      const byId = new Map(events.map((event) => [event.executionId as string, event]));
      assert.deepEqual(
        wire(CompletionEvent, ids.map((id) => byId.get(id)!)),
        ["success", "success", "failure", "cancelled", "expired", "skipped"].map((outcome) => ({
          outcome,
        })),
      );
      assert.deepEqual(byId.get(ids[4]!)!.outcome, { type: "other", raw: "expired" });
      assert.equal(events.length, ids.length);
    }));

  test("each signal says what became of it, and of which wait and sender", () =>
    Effect.gen(function* () {
      const owned = yield* own();
      const signal = { kind: "signal", name: "go", sequence: 1, count: 1 } as const;
      const [a, b] = [SignalId.make("a"), SignalId.make("b")];
      yield* journal(owned, {
        ...signal,
        signalId: a,
        effect: "satisfied",
        key: "wait#2",
        source: "ana",
      });
      yield* journal(owned, { ...signal, signalId: b, effect: "buffered" });
      yield* journal(owned, { ...signal, signalId: b, effect: "deduped", source: "ana" });
      const events = yield* take("signalDeliveries", 3, { after: "earliest" });
      assert.deepEqual(wire(SignalDeliveryEvent, events), [
        { signalId: "a", waitpointId: "wait#2", sourceIdentity: "ana", effect: "satisfied" },
        { signalId: "b", effect: "buffered" },
        { signalId: "b", sourceIdentity: "ana", effect: "deduped" },
      ]);
    }));

  test("tags come and go", () =>
    Effect.gen(function* () {
      const owned = yield* own();
      yield* tag(owned, "attached", "team.name", "checkout");
      yield* tag(owned, "attached", "team.name", "search");
      yield* tag(owned, "cleared", "team.name");
      const events = yield* take("instanceTags", 3, { after: "earliest" });
      assert.deepEqual(wire(InstanceTagEvent, events), [
        { type: "attached", tag: "team.name", value: "checkout" },
        { type: "attached", tag: "team.name", value: "search" },
        { type: "cleared", tag: "team.name" },
      ]);
      assert.equal(events[0]!.tenant, owned.tenant);
    }));
};
