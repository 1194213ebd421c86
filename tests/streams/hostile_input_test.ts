/** Names and payloads that somebody will bring sooner or later, on a real server. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { makeEvents } from "../../actors/events.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { ExecutionId, parse, Tenant, WorkerInstanceId } from "../../schema/ids.ts";
import { EventStore } from "../../streams/event_store.ts";
import { type Lease, Leases } from "../../streams/lease.ts";
import { Log, type Message } from "../../streams/log.ts";
import * as Namespace from "../../streams/namespace.ts";
import { Sessions } from "../../streams/session.ts";
import { executionFilter, streamName, subjectOf } from "../../streams/subjects.ts";
import { custom, customs, said } from "../conformance/event_store/matter.ts";
import {
  body,
  tenant,
  uniqueExecution,
  uniqueTenant,
  uniqueWorker,
} from "../conformance/subject_matter.ts";
import { hostileIds, noIds } from "../fixtures/hostile_ids.ts";
import {
  acquire,
  addressOf,
  newAddress,
  scratchNamespace,
  work,
} from "../fixtures/scratch_namespace.ts";
import { leftovers } from "../fixtures/server.ts";

const kibibyte = 1024;
const maxPayloadBytes = 2 * kibibyte * kibibyte;

const tenants = ["a.c*m>e", "é 漢/=%\n", ".".repeat(64)].map((id) => Tenant.make(id));

const bytes = (size: number) => new Uint8Array(size).map((_, i) => i * 31);

const assertSame = (actual: Uint8Array, expected: Uint8Array) =>
  assert.ok(Buffer.compare(actual, expected) === 0, `${actual.length} bytes are not the expected`);

describe("hostile input", () => {
  const { api, runtime, server, test } = scratchNamespace({ shards: 2, maxPayloadBytes });

  /** What the server holds of everything: changes if anything at all was stored. */
  const stored = Effect.promise(async () => {
    const streams = await api().streamNames(">");
    const infos = await Promise.all([...streams].sort().map((stream) => api().streamInfo(stream)));
    return infos.map(({ config, state }) => [config.name, state.last_seq]);
  });

  describe("in names", () => {
    test("an event store keeps every execution of every tenant apart, and lists it", () =>
      Effect.gen(function* () {
        const store = yield* EventStore;
        const eventOf = (owner: Tenant, id: ExecutionId) => custom(JSON.stringify([owner, id]));
        yield* Effect.forEach(
          tenants,
          (owner) =>
            Effect.forEach(
              hostileIds,
              (id) => store.append(id, owner, eventOf(owner, id), { expectedSequence: 0 }),
              {
                concurrency: "unbounded",
              },
            ),
          { concurrency: "unbounded" },
        );
        for (const owner of tenants) {
          for (const id of hostileIds) {
            const [event, ...others] = yield* store.loadEvents(id, owner);
            assert.deepEqual(event?.event, eventOf(owner, id));
            assert.deepEqual([event?.executionId, event?.tenant, event?.sequence], [id, owner, 1]);
            assert.deepEqual(others, []);
          }
          const listed = yield* store.listExecutions(owner, 1_000, 0);
          assert.deepEqual(
            listed.map(({ executionId }) => executionId).sort(),
            [...hostileIds].sort(),
          );
        }
      }));

    test("a lease is that of its execution and its tenant alone", () =>
      Effect.gen(function* () {
        const leases = yield* Leases;
        const log = yield* Log;
        for (const id of hostileIds) {
          const claimed: Array<Lease> = [];
          for (const owner of tenants) {
            const execution = yield* addressOf(id, owner);
            assert.ok(Option.isNone(yield* leases.current(execution)));
            claimed.push(yield* acquire(execution, uniqueWorker()));
          }
          yield* leases.release(claimed[0]!);
          assert.equal((yield* Effect.flip(work(claimed[0]!)))._tag, "StaleFence");
          for (const lease of claimed.slice(1)) {
            yield* work(lease);
            const state = Option.getOrThrow(yield* leases.current(lease.execution));
            assert.equal(state.record.workerInstanceId, lease.worker);
            const logged = executionFilter(lease.execution, "log");
            assert.equal((yield* Stream.runCollect(log.read(logged))).length, 1);
          }
        }
      }));

    test("a worker owns and keeps a session, whatever it is called", () =>
      Effect.gen(function* () {
        const sessions = yield* Sessions;
        const leases = yield* Leases;
        const isWorker = (id: string) => id.length <= 40;
        for (const id of [...hostileIds.filter(isWorker), "🙂".repeat(32)]) {
          const worker = WorkerInstanceId.make(id);
          const execution = yield* newAddress;
          yield* Effect.scoped(Effect.gen(function* () {
            yield* sessions.open({ worker, ttl: "1 minute" });
            assert.equal(yield* sessions.isOpen(worker), true);
            yield* leases.acquire(execution, { worker, ttl: "30 seconds", session: true });
            assert.equal(yield* leases.expireIfDue(execution), "held");
          }));
          assert.equal(yield* sessions.isOpen(worker), false);
          assert.equal(yield* leases.expireIfDue(execution), "expired");
        }
      }));

    test("the longest names fit subjects, headers, batches, timers and objects", () =>
      Effect.gen(function* () {
        const log = yield* Log;
        for (const id of [".".repeat(200), "é".repeat(100), `order/${"🙂".repeat(48)}`]) {
          const owner = Tenant.make(" ".repeat(64));
          const execution = yield* addressOf(ExecutionId.make(id), owner);
          const { fence } = yield* acquire(execution, WorkerInstanceId.make("*".repeat(128)));
          const timer: Message = { kind: "timer", key: "/".repeat(200), body: body("timer") };
          const large = bytes(200 * kibibyte);
          yield* log.append(execution, { ...timer, guard: fence });
          yield* log.appendBatch(execution, [
            { kind: "log", body: body("step"), guard: fence },
            { kind: "log", body: large, guard: fence },
          ]);
          const read = yield* Stream.runCollect(log.read(executionFilter(execution, "log")));
          assertSame(read[0]!.body, body("step"));
          assertSame(read[1]!.body, large);
          const timers = {
            shard: execution.shard,
            subject: subjectOf(execution, "timer", timer.key!),
          };
          assert.equal((yield* Stream.runCollect(log.read(timers))).length, 1);
        }
      }));

    test("what is no id is refused by name before anything is stored", () =>
      Effect.gen(function* () {
        const events = makeEvents(runtime(), tenant);
        const before = yield* stored;
        const event = custom("x");
        const good = uniqueExecution();
        const refusal = (call: () => Promise<unknown>) =>
          Effect.promise(async () => {
            const error = await call().then(() => undefined, (error: unknown) => error);
            assert.ok(error instanceof InvalidInput, String(error));
            assert.ok(error.message.isWellFormed());
            assert.ok(error.message.length < 500, error.message);
            return error.what;
          });
        for (const id of noIds) {
          const calls = [
            () => events.append(id, tenant, event),
            () => events.appendBatch(id, tenant, [event]),
            () => events.loadEvents(id, tenant),
            () => events.loadEventsAfter(id, 0, tenant),
            () => events.latestSequence(id, tenant),
            () => events.executionExists(id, tenant),
            () => events.countEvents(id, tenant),
            () => events.iterate(id, { tenant })[Symbol.asyncIterator]().next(),
          ];
          for (const call of calls) assert.equal(yield* refusal(call), "execution id");
          const eventId = () => events.append(good, tenant, event, { eventId: id });
          assert.equal(yield* refusal(eventId), "event id");
        }
        for (const owner of [...noIds, "t".repeat(65)]) {
          const calls = [
            () => events.append(good, owner, event),
            () => events.loadEvents(good, owner),
            () => events.listExecutions(owner, 10, 0),
            () => events.pageExecutions(owner, { limit: 10 }),
          ];
          for (const call of calls) assert.equal(yield* refusal(call), "tenant");
          const worker = yield* Effect.flip(parse(WorkerInstanceId, "worker", `${owner}${owner}`));
          assert.equal(worker._tag, "InvalidInput");
        }
        assert.deepEqual(yield* stored, before);
      }));

    test("another tenant sees nothing, and changes nothing", () =>
      Effect.gen(function* () {
        const store = yield* EventStore;
        const leases = yield* Leases;
        const [owner, stranger] = [uniqueTenant(), uniqueTenant()];
        const id = uniqueExecution();
        yield* store.appendBatch(id, owner, customs("a", "b"));
        const lease = yield* acquire(yield* addressOf(id, owner), uniqueWorker());

        assert.deepEqual(yield* store.loadEvents(id, stranger), []);
        assert.deepEqual(yield* store.loadEventsAfter(id, 1, stranger), []);
        assert.ok(Option.isNone(yield* store.latestSequence(id, stranger)));
        assert.equal(yield* store.executionExists(id, stranger), false);
        assert.equal(yield* store.countEvents(id, stranger), 0);
        assert.deepEqual(yield* store.listExecutions(stranger, 10, 0), []);
        assert.deepEqual(yield* store.pageExecutions(stranger, { limit: 10 }), { executions: [] });
        const theirs = yield* addressOf(id, stranger);
        assert.ok(Option.isNone(yield* leases.current(theirs)));
        assert.equal(
          (yield* Effect.flip(leases.revoke(theirs, { by: "operator" })))._tag,
          "LeaseNotHeld",
        );

        yield* acquire(theirs, uniqueWorker());
        assert.equal(yield* store.append(id, stranger, custom("x"), { expectedSequence: 0 }), 1);
        yield* work(lease);
        assert.deepEqual(said(yield* store.loadEvents(id, owner)), ["a", "b"]);
      }));
  });

  describe("in payloads", () => {
    /** The sizes at which something else happens, and whether the body leaves the stream. */
    const sizes: ReadonlyArray<[number, boolean]> = [
      [0, false],
      [1, false],
      [128 * kibibyte, false],
      [128 * kibibyte + 1, true],
      [kibibyte * kibibyte, true],
      [kibibyte * kibibyte + 1, true],
      [maxPayloadBytes, true],
    ];
    for (const [size, isSpilled] of sizes) {
      test(`${size} bytes are kept ${isSpilled ? "in the object store" : "in the stream"}`, () =>
        Effect.gen(function* () {
          const log = yield* Log;
          const execution = yield* newAddress;
          const { sequence } = yield* log.append(execution, { kind: "log", body: bytes(size) });
          const entry = Option.getOrThrow(yield* log.last(execution, "log"));
          assertSame(entry.body, bytes(size));
          const { message } = yield* Effect.promise(() =>
            api().done<{ message: { hdrs?: string } }>(
              `STREAM.MSG.GET.${streamName(log.layout, execution.shard)}`,
              { seq: sequence },
            )
          );
          assert.equal(atob(message.hdrs ?? "").includes("\r\nWeir-Object: "), isSpilled);
        }));
    }

    test("one byte more than the limit is refused, alone and in a batch, and leaves nothing", () =>
      Effect.gen(function* () {
        const log = yield* Log;
        const execution = yield* newAddress;
        const before = yield* stored;
        const large: Message = { kind: "log", body: bytes(maxPayloadBytes + 1) };
        for (const append of [log.append(execution, large), log.appendBatch(execution, [large])]) {
          const error = yield* Effect.flip(append);
          assert.ok(error._tag === "PayloadTooLarge", String(error));
          assert.deepEqual([error.sizeBytes, error.limitBytes], [
            maxPayloadBytes + 1,
            maxPayloadBytes,
          ]);
        }
        assert.deepEqual(yield* stored, before);
      }));

    test("a limit below the spill threshold holds, too", () =>
      Effect.gen(function* () {
        const options = { servers: server().url, maxPayloadBytes: 1_000 };
        yield* Effect.gen(function* () {
          const log = yield* Log;
          const execution = yield* newAddress;
          yield* log.append(execution, { kind: "log", body: bytes(1_000) });
          const error = yield* Effect.flip(
            log.append(execution, { kind: "log", body: bytes(1_001) }),
          );
          assert.equal(error._tag, "PayloadTooLarge");
        }).pipe(Effect.provide(Namespace.layer(options)));
      }));

    test("a threshold above what the server takes in one message is not believed", () =>
      Effect.gen(function* () {
        const options = { servers: server().url, spillThresholdBytes: 64 * kibibyte * kibibyte };
        yield* Effect.gen(function* () {
          const log = yield* Log;
          const execution = yield* newAddress;
          for (const size of [512 * kibibyte, 512 * kibibyte + 1, 3 * kibibyte * kibibyte]) {
            yield* log.append(execution, { kind: "log", body: bytes(size) });
            const entry = Option.getOrThrow(yield* log.last(execution, "log"));
            assertSame(entry.body, bytes(size));
          }
        }).pipe(Effect.provide(Namespace.layer(options)));
      }));
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
