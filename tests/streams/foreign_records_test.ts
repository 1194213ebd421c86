/** What other hands put under Weir's subjects, or take away, on a real server. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Kvm } from "@nats-io/kv";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { leaseRecord } from "../../schema/lease_record.ts";
import { Connection } from "../../streams/connection.ts";
import { EventStore } from "../../streams/event_store.ts";
import { Leases } from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { Sessions } from "../../streams/session.ts";
import {
  type Address,
  executionFilter,
  streamName,
  subjectOf,
  workerAddress,
} from "../../streams/subjects.ts";
import { countSkipped, custom, said } from "../conformance/event_store/matter.ts";
import {
  body,
  tenant,
  uniqueExecution,
  uniqueTenant,
  uniqueWorker,
} from "../conformance/subject_matter.ts";
import {
  acquire,
  addressOf,
  newAddress,
  publish,
  scratchNamespace,
  work,
} from "../fixtures/scratch_namespace.ts";
import { leftovers } from "../fixtures/server.ts";

const leaseHistory = (execution: Address) =>
  Effect.flatMap(Log, (log) =>
    log.read(executionFilter(execution, "lease")).pipe(
      Stream.filter((entry) => !entry.removed),
      Stream.mapEffect((entry) => Effect.option(leaseRecord.decode(entry.body, entry))),
      Stream.runCollect,
      Effect.map((records) => records.flatMap(Option.toArray)),
    ));

describe("records of other hands", () => {
  const { api, test } = scratchNamespace({ shards: 2 });

  const garbage: Readonly<Record<string, Uint8Array>> = {
    "of no bytes": new Uint8Array(),
    "that is no JSON": body("{"),
    "that is no UTF-8": new Uint8Array([0x7b, 0xff, 0x7d]),
    "that is null": body("null"),
    "that is a list": body("[]"),
    "without a version": body(`{"kind":"acquired"}`),
    "of version 0": body(`{"v":0,"kind":"acquired"}`),
    "of an unknown verb": body(`{"v":1,"kind":"stolen","leaseId":"l"}`),
    "with wrong fields": body(`{"v":1,"kind":"acquired","leaseId":1,"epoch":"x"}`),
    "with a prototype": body(`{"__proto__":{"v":1,"kind":"acquired"}}`),
    "of half a mebibyte": body(`"${"x".repeat(524_288)}"`),
    "nested deeply": body("[".repeat(100_000)),
  };

  for (const [what, record] of Object.entries(garbage)) {
    test(`a lease record ${what} ends the claim, and the next one goes on from before`, () =>
      Effect.gen(function* () {
        const leases = yield* Leases;
        const execution = yield* newAddress;
        const key = subjectOf(execution, "lease");
        const [former, next] = [uniqueWorker(), uniqueWorker()];
        const lease = yield* acquire(execution, former);
        yield* publish(key, record);

        assert.equal((yield* Effect.flip(work(lease)))._tag, "StaleFence");
        const { value, skipped } = yield* countSkipped(leases.current(execution));
        assert.ok(skipped > 0);
        const state = Option.getOrThrow(value);
        assert.deepEqual([state.held, state.record.workerInstanceId], [false, former]);
        assert.equal(yield* leases.expireIfDue(execution), "unheld");
        const revocation = yield* Effect.flip(leases.revoke(execution, { by: "operator" }));
        assert.equal(revocation._tag, "LeaseNotHeld");

        const claimed = yield* acquire(execution, next);
        assert.equal(claimed.epoch, lease.epoch + 1);
        assert.ok(claimed.record.kind === "reclaimed");
        assert.equal(claimed.record.previousOwner, former);
        yield* work(claimed);
        const history = yield* leaseHistory(execution);
        assert.deepEqual(history.map(({ kind }) => kind), ["acquired", "reclaimed"]);
      }));
  }

  test("a lease record of a later release is not taken for garbage", () =>
    Effect.gen(function* () {
      const execution = yield* newAddress;
      yield* acquire(execution, uniqueWorker());
      yield* publish(subjectOf(execution, "lease"), body(`{"v":2,"kind":"acquired"}`));
      const error = yield* Effect.flip(acquire(execution, uniqueWorker()));
      assert.equal(error._tag, "UnsupportedRecordVersion");
    }));

  test("a lease record that points to an object that is not there can be followed", () =>
    Effect.gen(function* () {
      const execution = yield* newAddress;
      const lease = yield* acquire(execution, uniqueWorker());
      const fields = { "Weir-Object": "missing" };
      yield* publish(subjectOf(execution, "lease"), body("{}"), fields);
      assert.equal((yield* acquire(execution, uniqueWorker())).epoch, lease.epoch + 1);
    }));

  test("a lease key that holds only garbage can be claimed", () =>
    Effect.gen(function* () {
      const leases = yield* Leases;
      const execution = yield* newAddress;
      yield* publish(subjectOf(execution, "lease"), body("garbage"));
      assert.ok(Option.isNone(yield* leases.current(execution)));
      const lease = yield* acquire(execution, uniqueWorker());
      assert.deepEqual([lease.record.kind, lease.epoch], ["acquired", 1]);
      yield* work(lease);
    }));

  const bucketOf = (execution: Address) =>
    Effect.flatMap(
      Connection,
      ({ jetStream }) => Effect.promise(() => new Kvm(jetStream).open(execution.root)),
    );
  const keyOf = (execution: Address) => `lease.${execution.tail}`;

  for (
    const [what, interfere, keepsHistory] of [
      [
        "deleted with `kv del`",
        (execution: Address) =>
          Effect.flatMap(
            bucketOf(execution),
            (bucket) => Effect.promise(() => bucket.delete(keyOf(execution))),
          ),
        true,
      ],
      [
        "overwritten with `kv put`",
        (execution: Address) =>
          Effect.flatMap(
            bucketOf(execution),
            (bucket) => Effect.promise(() => bucket.put(keyOf(execution), "mine now")),
          ),
        true,
      ],
      [
        "purged with `kv purge`",
        (execution: Address) =>
          Effect.flatMap(
            bucketOf(execution),
            (bucket) => Effect.promise(() => bucket.purge(keyOf(execution))),
          ),
        false,
      ],
      [
        "purged from the stream",
        (execution: Address) =>
          Effect.flatMap(
            Log,
            ({ layout }) =>
              Effect.promise(() =>
                api().done(`STREAM.PURGE.${streamName(layout, execution.shard)}`, {
                  filter: subjectOf(execution, "lease"),
                })
              ),
          ),
        false,
      ],
    ] as const
  ) {
    test(`a lease key that was ${what} shuts its owner out and can be claimed again`, () =>
      Effect.gen(function* () {
        const leases = yield* Leases;
        const execution = yield* newAddress;
        const former = yield* leases.renew(yield* acquire(execution, uniqueWorker()));
        yield* interfere(execution);

        assert.equal((yield* Effect.flip(work(former)))._tag, "StaleFence");
        const found = yield* leases.current(execution);
        assert.equal(Option.exists(found, ({ held }) => held), false);
        const claimed = yield* acquire(execution, uniqueWorker());
        yield* work(claimed);
        const history = yield* leaseHistory(execution);
        assert.deepEqual(
          history.map(({ kind, epoch }) => [kind, epoch]),
          keepsHistory ? [["acquired", 1], ["renewed", 1], ["reclaimed", 2]] : [["acquired", 1]],
        );
        assert.notEqual(claimed.fence.nonce, former.fence.nonce);
      }));
  }

  test("garbage in a worker's session neither ends nor prevents it", () =>
    Effect.gen(function* () {
      const sessions = yield* Sessions;
      const worker = uniqueWorker();
      const { layout } = yield* Log;
      const key = subjectOf(workerAddress(layout, worker), "worker");
      for (const record of Object.values(garbage)) {
        yield* publish(key, record);
        yield* sessions.isOpen(worker);
        yield* Effect.scoped(Effect.gen(function* () {
          yield* sessions.open({ worker, ttl: "1 minute" });
          yield* publish(key, record);
          assert.equal(yield* sessions.isOpen(worker), true);
        }));
      }
    }));

  test("garbage in the index lists nothing, hides nothing and stops nothing", () =>
    Effect.gen(function* () {
      const store = yield* EventStore;
      const owner = uniqueTenant();
      const execution = uniqueExecution();
      const address = yield* addressOf(execution, owner);
      const [token] = address.tail.split(".").slice(2);
      for (const record of Object.values(garbage)) {
        yield* publish(subjectOf(address, "index"), record);
      }
      assert.deepEqual(yield* store.listExecutions(owner, 10, 0), []);
      yield* store.append(execution, owner, custom("x"));
      const root = address.root;
      for (
        const tail of [
          `9.order.${token}.o-1`,
          `0.order.${token}.=zz`,
          `0.order.${token}.=FF`,
          `0.9x.${token}.o-1`,
          `x.order.${token}.o-1`,
          `0.order.${token}.${"x".repeat(900)}`,
          `0.order.${token}.${address.tail.split(".")[3]}`,
        ]
      ) {
        yield* publish(`${root}.index.${tail}`, body(`{"v":1,"kind":"index"}`));
      }
      const listed = yield* store.listExecutions(owner, 10, 0);
      assert.deepEqual(listed.map(({ executionId }) => executionId), [execution]);
      assert.equal((yield* store.pageExecutions(owner, { limit: 10 })).executions.length, 1);
    }));

  test("records on subjects that nobody reads disturb nobody", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const store = yield* EventStore;
      const execution = uniqueExecution();
      const address = yield* addressOf(execution);
      yield* store.append(execution, tenant, custom("a"));
      for (
        const subject of [
          "nonsense",
          `event`,
          `event.${address.tail}.more`,
          `nonsense.${address.tail}`,
          `log.${address.tail}`,
          `timer.${address.tail}`,
        ]
      ) yield* publish(`${address.root}.${subject}`, body("garbage"));
      for (const key of ["nonsense", "lease.x", "worker.a.b", `lease.${address.tail}.more`]) {
        yield* publish(`$KV.${address.root}.${key}`, body("garbage"));
      }
      const lease = yield* acquire(address, uniqueWorker());
      yield* work(lease);
      assert.equal(yield* store.append(execution, tenant, custom("b")), 2);
      assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["a", "b"]);
      assert.ok((yield* log.tail(address.shard)).sequence > 0);
    }));

  test("a record that refers to no object is a typed error, and its removal the cure", () =>
    Effect.gen(function* () {
      const store = yield* EventStore;
      const { layout } = yield* Log;
      const execution = uniqueExecution();
      const address = yield* addressOf(execution);
      yield* store.append(execution, tenant, custom("a"));
      for (const object of ["missing", "../../etc/passwd", "*", "a b"]) {
        const reference = { "Weir-Object": object };
        const { seq } = yield* publish(subjectOf(address, "event"), body("{}"), reference);
        const error = yield* Effect.flip(store.loadEvents(execution, tenant));
        assert.ok(error._tag === "CorruptRecord", String(error));
        assert.equal(error.sequence, seq);
        const stream = streamName(layout, address.shard);
        yield* Effect.promise(() => api().done(`STREAM.MSG.DELETE.${stream}`, { seq }));
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["a"]);
      }
    }));

  describe("attack 2", () => {
    test("a lease's history outlives every lease in it, owners and all", () =>
      Effect.gen(function* () {
        const leases = yield* Leases;
        const execution = yield* newAddress;
        const [first, second] = [uniqueWorker(), uniqueWorker()];
        const ttl = "1 second";
        const lapsed = leases.expireIfDue(execution).pipe(
          Effect.repeat({
            until: (verdict) => verdict === "expired",
            schedule: Schedule.spaced("20 millis"),
          }),
          Effect.timeout("60 seconds"),
        );
        const claim = yield* leases.acquire(execution, { worker: first, ttl });
        yield* leases.renew(claim);
        yield* lapsed;
        const reclaim = yield* leases.acquire(execution, { worker: second, ttl });
        yield* lapsed;

        const history = yield* leaseHistory(execution);
        assert.deepEqual(
          history.map((
            { kind, workerInstanceId, leaseId, epoch, attempt },
          ) => [kind, workerInstanceId, leaseId, epoch, attempt]),
          [
            ["acquired", first, claim.leaseId, 1, 0],
            ["renewed", first, claim.leaseId, 1, 0],
            ["expired", first, claim.leaseId, 1, 0],
            ["reclaimed", second, reclaim.leaseId, 2, 1],
            ["expired", second, reclaim.leaseId, 2, 1],
          ],
        );
        const reclaimed = history[3]!;
        assert.ok(reclaimed.kind === "reclaimed");
        assert.deepEqual([reclaimed.previousLeaseId, reclaimed.previousOwner], [
          claim.leaseId,
          first,
        ]);
      }));
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
