/** The event store where only a real server tells: restarts, damage, memory, replicas. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { EventId, type ExecutionId } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { EventStore, layer } from "../../streams/event_store.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import { executionAddress, executionFilter, streamName } from "../../streams/subjects.ts";
import { engineOn } from "../conformance/event_store/engine.ts";
import {
  assertGapless,
  custom,
  customs,
  newStore,
  said,
} from "../conformance/event_store/matter.ts";
import { tenant, uniqueExecution } from "../conformance/subject_matter.ts";
import {
  leftovers,
  type ScratchCluster,
  scratchCluster,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

type Services = Connection.Connection | Log | EventStore;
type Runtime = ManagedRuntime.ManagedRuntime<Services, unknown>;

const open = (
  servers: string | ReadonlyArray<string>,
  options: { readonly durability: Durability; readonly replicas?: number },
): Runtime =>
  ManagedRuntime.make(layer.pipe(
    Layer.provideMerge(layerJetStream(options)),
    Layer.provideMerge(Connection.layer({ servers, ...options })),
  ));

const testing =
  (runtime: () => Runtime) =>
  (title: string, effect: () => Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => runtime().runPromise(Effect.asVoid(Effect.suspend(effect))));

for (const durability of ["bounded", "power-safe"] as const) {
  describe(`an event store on a server that restarts, ${durability}`, () => {
    let server: ScratchServer;
    let runtime: Runtime;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = open(server.url, { durability });
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    const test = testing(() => runtime);

    for (
      const [how, restart] of [
        ["ended", () => server.restart()],
        ["was killed", async () => {
          await server.kill();
          await server.restart();
        }],
      ] as const
    ) {
      test(`what was appended is there after the server ${how}, and ids are known`, () =>
        Effect.gen(function* () {
          const store = yield* EventStore;
          const execution = uniqueExecution();
          const single = { eventId: EventId.make("a") };
          const batch = { eventIds: [EventId.make("b"), EventId.make("c")] };
          yield* store.append(execution, tenant, custom("a"), single);
          yield* store.appendBatch(execution, tenant, customs("b", "c"), batch);
          yield* Effect.promise(restart);
          for (const each of [store, yield* newStore(yield* Log)]) {
            assert.equal(yield* each.append(execution, tenant, custom("a"), single), 1);
            assert.equal(yield* each.appendBatch(execution, tenant, customs("b", "c"), batch), 2);
          }
          yield* store.append(execution, tenant, custom("d"));
          assert.deepEqual(
            said(yield* store.loadEvents(execution, tenant)),
            ["a", "b", "c", "d"],
          );
        }));
    }
  });
}

describe("an event store on a server", () => {
  let server: ScratchServer;
  let runtime: Runtime;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = open(server.url, { durability: "bounded" });
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  const test = testing(() => runtime);

  test("a long history arrives while it is read, not before", () =>
    Effect.gen(function* () {
      const store = yield* EventStore;
      const { nats } = yield* Connection.Connection;
      const execution = uniqueExecution();
      for (let batch = 0; batch < 5; batch++) {
        const events = Array.from({ length: 1000 }, (_, i) =>
          custom(`${batch * 1000 + i} ${"x".repeat(1000)}`));
        yield* store.appendBatch(execution, tenant, events);
      }
      const receivedBy = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          const before = nats.stats().inBytes;
          return { value: yield* effect, bytes: nats.stats().inBytes - before };
        });
      const events = store.events(execution, tenant);
      const whole = yield* receivedBy(Stream.runCollect(events));
      assertGapless(whole.value, 5000);
      assert.ok(whole.bytes > 5_000_000);
      for (const count of [1, 1000]) {
        const part = yield* receivedBy(Stream.runCollect(Stream.take(events, count)));
        assertGapless(part.value, count);
        assert.ok(part.bytes < (count + 512) * 1200, `${part.bytes} bytes for ${count} events`);
      }
      const last = yield* Stream.runLast(events);
      assert.equal(Option.getOrThrow(last).sequence, 5000);
    }));

  for (const isRun of [false, true]) {
    const whose = isRun ? "an execution of the engine" : "an execution";
    test(`the history of ${whose} with an event that was deleted is not cut short`, () =>
      Effect.gen(function* () {
        const store = yield* EventStore;
        const log = yield* Log;
        const { manager } = yield* Connection.Connection;
        for (const deleted of [0, 1, 2]) {
          const execution = uniqueExecution();
          const address = executionAddress(log.layout, tenant, execution);
          if (isRun) yield* engineOn(log, address).start();
          yield* store.append(execution, tenant, custom("a"));
          yield* store.appendBatch(execution, tenant, customs("b", "c", "d"));
          const stored = yield* Stream.runCollect(log.read(executionFilter(address, "event")));
          const { sequence } = stored[deleted]!;
          yield* Effect.promise(() =>
            manager.streams.deleteMessage(streamName(log.layout, address.shard), sequence)
          );
          const error = yield* Effect.flip(store.loadEvents(execution, tenant));
          assert.equal(error._tag, "CorruptRecord");
        }
      }));
  }

  test("an execution that was purged begins anew for who wrote it", () =>
    Effect.gen(function* () {
      const store = yield* EventStore;
      const { layout } = yield* Log;
      const { manager } = yield* Connection.Connection;
      const execution = uniqueExecution();
      const address = executionAddress(layout, tenant, execution);
      const purge = Effect.promise(() =>
        manager.streams.purge(streamName(layout, address.shard), {
          filter: `${address.root}.*.${address.tail}`,
        })
      );
      const options = { eventId: EventId.make("a") };
      for (
        const append of [
          store.append(execution, tenant, custom("a"), options),
          store.append(execution, tenant, custom("a")),
          store.append(execution, tenant, custom("a"), { expectedSequence: 0 }),
        ]
      ) {
        yield* store.append(execution, tenant, custom("a"), options);
        yield* store.appendBatch(execution, tenant, customs("b", "c"));
        yield* purge;
        assert.equal(yield* store.executionExists(execution, tenant), false);
        assert.equal(yield* append, 1);
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["a"]);
        yield* purge;
      }
    }));
});

describe("an event store and the lives of an execution", () => {
  let server: ScratchServer;
  let runtime: Runtime;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = open(server.url, { durability: "bounded" });
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  const test = testing(() => runtime);

  const acquaintances = {
    "has appended to it": (store: EventStore["Service"], execution: ExecutionId) =>
      store.append(execution, tenant, custom("a"), { eventId: EventId.make("a") }),
    "was refused by it": (store: EventStore["Service"], execution: ExecutionId) =>
      Effect.flip(store.append(execution, tenant, custom("a"), { expectedSequence: 7 })),
    "has counted it": (store: EventStore["Service"], execution: ExecutionId) =>
      store.countEvents(execution, tenant),
  };
  for (const [how, meet] of Object.entries(acquaintances)) {
    test(`after a purge it begins anew for who ${how}`, () =>
      Effect.gen(function* () {
        const store = yield* EventStore;
        const log = yield* Log;
        const { manager } = yield* Connection.Connection;
        for (const [isStarted, first] of [[true, 2], [false, 1]] as const) {
          const execution = uniqueExecution();
          const address = executionAddress(log.layout, tenant, execution);
          yield* engineOn(log, address).start();
          yield* meet(store, execution);
          yield* Effect.promise(() =>
            manager.streams.purge(streamName(log.layout, address.shard), {
              filter: `${address.root}.*.${address.tail}`,
            })
          );
          if (isStarted) yield* engineOn(log, address).start();
          const options = { eventId: EventId.make("a") };
          for (const each of [store, yield* newStore(log)]) {
            assert.equal(yield* each.append(execution, tenant, custom("a"), options), first);
            assert.equal(yield* each.countEvents(execution, tenant), first);
          }
          assert.equal(yield* store.append(execution, tenant, custom("b")), first + 1);
          assertGapless(yield* store.loadEvents(execution, tenant), first + 1);
        }
      }));
  }
});

describe("an event store with three replicas", () => {
  let cluster: ScratchCluster;
  let runtime: Runtime;
  before(async () => {
    cluster = await scratchCluster({ durability: "bounded" });
    runtime = open(cluster.urls, { durability: "bounded", replicas: 3 });
  });
  after(async () => {
    await runtime.dispose();
    await cluster.stop();
  });
  const test = testing(() => runtime);

  test("what was just appended is read, whichever replica answers", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const [one, other] = [yield* newStore(log), yield* newStore(log)];
      const execution = uniqueExecution();
      for (let i = 0; i < 150; i++) {
        const eventId = EventId.make(`id ${i}`);
        const first = yield* one.append(execution, tenant, custom(i), { eventId });
        assert.equal(first, i + 1);
        assertGapless(yield* other.loadEvents(execution, tenant), first);
        assert.equal(yield* other.append(execution, tenant, custom(i), { eventId }), first);
        assert.equal(yield* (yield* newStore(log)).countEvents(execution, tenant), first);
      }
    }));

  test("what the engine just recorded is read and counted, whichever replica answers", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const store = yield* newStore(log);
      const execution = uniqueExecution();
      const engine = engineOn(log, executionAddress(log.layout, tenant, execution));
      const { write } = engine.owner();
      yield* engine.start();
      for (let i = 1; i <= 100; i++) {
        yield* write({ kind: "noted", key: `now ${i}`, what: "now", value: i });
        assertGapless(yield* store.loadEvents(execution, tenant), 2 * i);
        assert.equal(yield* store.append(execution, tenant, custom(i)), 2 * i + 1);
        assert.equal(yield* store.countEvents(execution, tenant), 2 * i + 1);
      }
    }));

  test("writers that race are ordered without a gap", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const execution = uniqueExecution();
      const stores = yield* Effect.all([newStore(log), newStore(log), newStore(log)]);
      yield* Effect.forEach(stores, (store, writer) =>
        Effect.forEach(
          Array.from({ length: 20 }, (_, i) => i),
          (i) =>
            store.appendBatch(execution, tenant, customs(`${writer} ${i}`, `${writer} ${i} too`)),
        ), {
        concurrency: "unbounded",
      });
      const events = yield* stores[0].loadEvents(execution, tenant);
      assertGapless(events, 120);
      for (let i = 0; i < 120; i += 2) {
        assert.equal(said(events)[i + 1], `${said(events)[i]} too`);
      }
    }));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
