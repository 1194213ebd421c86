/** Effect's queue on JetStream: what a suite that any store passes cannot see. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import { PersistedQueueStore } from "effect/persistence/PersistedQueue";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import * as Connection from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { layer as layerStore } from "../../streams/persistence/persisted_queue_store.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { persistedQueueStoreSuite } from "../../testing/suites/persisted_queue_store.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const lockExpiration = "2 seconds";
const takeOptions = {
  name: "jobs",
  maxAttempts: 3,
  retryDelay: () => Effect.succeed(Duration.zero),
};
const large = "x".repeat(300_000);

describe("a persisted queue on JetStream, 2 shards", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const newNamespace = () => `t${randomUUID().slice(24)}`;
  const layerOf = (namespace: string) =>
    layerStore({ lockExpiration }).pipe(
      Layer.provideMerge(ServerClock.layer),
      Layer.provideMerge(layerJetStream({ namespace, shards: 2, giveUpAfter: "1 second" })),
      Layer.provideMerge(Connection.layer({ servers: server.url })),
    );
  persistedQueueStoreSuite("JetStream", () => layerOf(newNamespace()), { it });

  type Services = Layer.Success<ReturnType<typeof layerOf>>;

  /** What a process has: a connection of its own, and all that is on it. */
  const connected = (namespace: string) =>
    Effect.map(Layer.build(Layer.fresh(layerOf(namespace))), (context) => ({
      context,
      store: Context.get(context, PersistedQueueStore),
    }));

  const test = (title: string, effect: (namespace: string) => Effect.Effect<unknown, unknown>) =>
    it(title, () => Effect.runPromise(Effect.asVoid(effect(newNamespace()))));

  const offer = (store: PersistedQueueStore["Service"], element: unknown, id = "one") =>
    store.offer({ name: "jobs", id, element, isCustomId: true });

  test("what a process took that died is another's, and that counts", (namespace) =>
    Effect.gen(function* () {
      const { store } = yield* connected(namespace);
      yield* offer(store, "work");
      const scope = yield* Scope.make();
      const doomed = yield* connected(namespace).pipe(Scope.provide(scope));
      const taking = yield* Scope.make();
      const first = yield* doomed.store.take(takeOptions).pipe(Scope.provide(taking));
      assert.equal(first.attempts, 1);
      // Its connection is cut; what it says then reaches nobody.
      const { nats } = Context.get(doomed.context, Connection.Connection);
      yield* Effect.promise(() => nats.close());
      const second = yield* Effect.scoped(store.take(takeOptions));
      assert.deepEqual(second, { id: "one", attempts: 2, element: "work" });
      yield* Scope.close(taking, Exit.void);
      yield* Scope.close(scope, Exit.void);
    }).pipe(Effect.scoped));

  test("who was silent for too long settles nothing any more", (namespace) =>
    Effect.gen(function* () {
      const { store, context } = yield* connected(namespace);
      const log = Context.get(context, Log);
      yield* offer(store, "work");
      // A taker whose heartbeats do not arrive, as if its process stood still.
      const frozen = yield* frozenTaker(namespace);
      assert.equal(frozen.taken.attempts, 1);
      const taking = yield* Scope.make();
      const second = yield* store.take(takeOptions).pipe(Scope.provide(taking));
      assert.equal(second.attempts, 2);
      // It succeeds after all, and says so; the other fails.
      yield* frozen.thaw;
      yield* Scope.close(taking, Exit.fail("no"));
      const third = yield* Effect.scoped(store.take(takeOptions));
      assert.equal(third.attempts, 3);
      const tries = yield* Stream.runCollect(log.read({ shard: 0, subject: `${namespace}.try.>` }));
      const elsewhere = yield* Stream.runCollect(
        log.read({ shard: 1, subject: `${namespace}-1.try.>` }),
      );
      assert.equal(tries.length + elsewhere.length, 1);
    }).pipe(Effect.scoped));

  test("more can wait than a server keeps waiting unless it is told", (namespace) =>
    Effect.gen(function* () {
      const { store, context } = yield* connected(namespace);
      const { manager } = Context.get(context, Connection.Connection);
      const waiting = 600;
      const takers = yield* Effect.forEach(
        Array.from({ length: waiting }),
        () => Effect.forkScoped(Effect.scoped(store.take(takeOptions))),
      );
      const streams = [`KV_${namespace}`, `KV_${namespace}-1`];
      yield* Effect.promise(() =>
        eventually("all wait at the server", async () => {
          const listed = await Promise.all(
            streams.map((stream) => manager.consumers.list(stream).next()),
          );
          return listed.flat().some(({ num_waiting }) => num_waiting === waiting) || undefined;
        })
      );
      yield* Fiber.interruptAll(takers);
    }).pipe(Effect.scoped));

  const frozenTaker = Effect.fnUntraced(function* (namespace: string) {
    const { store } = yield* connected(namespace);
    const isTaken = yield* Deferred.make<{ readonly attempts: number }>();
    const goOn = yield* Deferred.make<void>();
    // The heartbeat's schedule runs by the clock of the taker, which stands still.
    const still = new Proxy(yield* Clock.Clock, {
      get: (clock, name) => name === "sleep" ? () => Effect.never : Reflect.get(clock, name),
    });
    const fiber = yield* Effect.scoped(Effect.gen(function* () {
      const taken = yield* store.take(takeOptions);
      yield* Deferred.succeed(isTaken, taken);
      yield* Deferred.await(goOn);
    })).pipe(Effect.provideService(Clock.Clock, still), Effect.forkScoped);
    return {
      taken: yield* Deferred.await(isTaken),
      thaw: Effect.andThen(Deferred.succeed(goOn, undefined), Fiber.join(fiber)),
    };
  });

  test("a taker that takes long keeps what it has", (namespace) =>
    Effect.gen(function* () {
      const { store } = yield* connected(namespace);
      yield* offer(store, "work");
      const other = yield* connected(namespace);
      yield* Effect.scoped(Effect.gen(function* () {
        yield* store.take(takeOptions);
        const stolen = yield* Effect.timeoutOption(
          Effect.scoped(other.store.take(takeOptions)),
          "5 seconds",
        );
        assert.equal(stolen._tag, "None");
      }));
    }).pipe(Effect.scoped));

  test("an element that is too large for the log is taken, and leaves nothing", (namespace) =>
    Effect.gen(function* () {
      const { store, context } = yield* connected(namespace);
      yield* offer(store, large);
      assert.equal((yield* Effect.scoped(store.take(takeOptions))).element, large);
      const { manager } = Context.get(context, Connection.Connection);
      const left = Effect.promise(async () => {
        let count = 0;
        for await (const { config, state } of manager.streams.list()) {
          const isOurs = [namespace, `${namespace}-1`].includes(config.name.slice("OBJ_".length));
          if (config.name.startsWith("OBJ_") && isOurs) count += state.messages;
        }
        return count;
      });
      assert.ok((yield* left) > 0);
      yield* store.cleanup({ timeToLive: Duration.zero, failedTimeToLive: undefined }).pipe(
        Effect.andThen(left),
        Effect.repeat({ until: (count) => count === 0, schedule: Schedule.spaced("1 second") }),
        Effect.timeout("60 seconds"),
      );
    }).pipe(Effect.scoped));

  test("a consumer that somebody deleted is made anew, and nothing done is done again", (namespace) =>
    Effect.gen(function* () {
      const { store, context } = yield* connected(namespace);
      yield* offer(store, "first");
      yield* Effect.scoped(store.take(takeOptions));
      const { manager } = Context.get(context, Connection.Connection);
      yield* Effect.promise(async () => {
        for (const stream of [`KV_${namespace}`, `KV_${namespace}-1`]) {
          for (const { name } of await manager.consumers.list(stream).next()) {
            await manager.consumers.delete(stream, name);
          }
        }
      });
      yield* offer(store, "second", "two");
      const { element, attempts } = yield* Effect.scoped(store.take(takeOptions));
      assert.deepEqual([element, attempts], ["second", 1]);
    }).pipe(Effect.scoped));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
