/** Effect's stores on the log, by the suites that Effect's own stores in memory pass. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Kvm } from "@nats-io/kv";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import {
  KeyValueStore as KeyValue,
  layerMemory as layerKeyValueMemory,
} from "effect/persistence/KeyValueStore";
import { layerStoreMemory as layerQueueMemory } from "effect/persistence/PersistedQueue";
import { layerBackingMemory } from "effect/persistence/Persistence";
import { layerStoreMemory, RateLimiterStore as Rates } from "effect/persistence/RateLimiter";
import { Namespace } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as BackingPersistence from "../../streams/persistence/backing_persistence.ts";
import * as KeyValueStore from "../../streams/persistence/key_value_store.ts";
import * as RateLimiterStore from "../../streams/persistence/rate_limiter_store.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { backingPersistenceSuite } from "../../testing/suites/backing_persistence.ts";
import { keyValueStoreSuite } from "../../testing/suites/key_value_store.ts";
import { persistedQueueStoreSuite } from "../../testing/suites/persisted_queue_store.ts";
import { rateLimiterStoreSuite } from "../../testing/suites/rate_limiter_store.ts";
import type { SuiteOptions } from "../../testing/suites/suite.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const virtually: SuiteOptions = {
  it,
  run: (effect) => new VirtualClock(Date.now()).run(effect),
};

describe("Effect's own stores in memory", () => {
  keyValueStoreSuite("Effect", () => layerKeyValueMemory, virtually);
  backingPersistenceSuite("Effect", () => layerBackingMemory, virtually);
  rateLimiterStoreSuite("Effect", () => layerStoreMemory, virtually);
  persistedQueueStoreSuite("Effect", () => layerQueueMemory, virtually);
});

describe("stores on the log in memory", () => {
  const layerLog = () =>
    ServerClock.layer.pipe(
      Layer.provideMerge(
        layerMemory({ layout: { namespace: Namespace.make("memory"), shards: 3, parts: 4 } }),
      ),
    );
  keyValueStoreSuite(
    "memory",
    () => KeyValueStore.layer().pipe(Layer.provide(layerLog())),
    virtually,
  );
  backingPersistenceSuite(
    "memory",
    () => BackingPersistence.layer.pipe(Layer.provide(layerLog())),
    virtually,
  );
  rateLimiterStoreSuite(
    "memory",
    () => RateLimiterStore.layer().pipe(Layer.provide(layerLog())),
    virtually,
  );
});

describe("stores on JetStream, 2 shards", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const layerLog = (namespace = `t${randomUUID().slice(24)}`) =>
    ServerClock.layer.pipe(
      Layer.provideMerge(layerJetStream({ namespace, shards: 2 })),
      Layer.provide(Connection.layer({ servers: server.url })),
    );
  keyValueStoreSuite(
    "JetStream",
    () => KeyValueStore.layer().pipe(Layer.provide(layerLog())),
    { it },
  );
  backingPersistenceSuite(
    "JetStream",
    () => BackingPersistence.layer.pipe(Layer.provide(layerLog())),
    { it },
  );
  rateLimiterStoreSuite(
    "JetStream",
    () => RateLimiterStore.layer().pipe(Layer.provide(layerLog())),
    { it },
  );

  it("what several connections change at once is changed by each from what the others left", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const contexts = yield* Effect.forEach(
          Array.from({ length: 3 }),
          () =>
            Layer.build(Layer.fresh(
              Layer.mergeAll(KeyValueStore.layer(), RateLimiterStore.layer()).pipe(
                Layer.provide(layerLog("shared")),
              ),
            )),
          { concurrency: "unbounded" },
        );
        const [first] = contexts;
        yield* Context.get(first!, KeyValue).set("count", "0");
        const limit = { key: "a", tokens: 1, refillRate: Duration.hours(1), limit: undefined };
        const counts = yield* Effect.forEach(
          contexts.flatMap((context) => Array.from({ length: 10 }, () => context)),
          (context) =>
            Effect.gen(function* () {
              yield* Context.get(context, KeyValue).modify("count", (n) => `${Number(n) + 1}`);
              const [count] = yield* Context.get(context, Rates).fixedWindow(limit);
              return count;
            }),
          { concurrency: "unbounded" },
        );
        assert.equal(yield* Context.get(first!, KeyValue).get("count"), "30");
        assert.deepEqual(
          counts.sort((a, b) => a - b),
          Array.from({ length: 30 }, (_, i) => i + 1),
        );
      }).pipe(Effect.scoped),
    ));

  it("a value lies in the bucket of the namespace, where the KV client finds it", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const store = yield* KeyValue;
        yield* store.set("theme", "dark");
        const { jetStream } = yield* Connection.Connection;
        const found = yield* Effect.promise(async () => {
          const bucket = await new Kvm(jetStream).open("seen");
          return (await bucket.get("store.kv.default.theme"))?.json<{ content: unknown }>();
        });
        assert.deepEqual(found?.content, { text: "dark" });
        const tooLarge = yield* Effect.flip(store.set("large", "x".repeat(2 * 1024 * 1024)));
        assert.deepEqual([tooLarge._tag, tooLarge.key, tooLarge.method], [
          "KeyValueStoreError",
          "large",
          "set",
        ]);
        assert.match(tooLarge.message, /bytes/);
      }).pipe(
        Effect.provide(
          KeyValueStore.layer().pipe(
            Layer.provide(ServerClock.layer),
            Layer.provide(layerJetStream({ namespace: "seen", shards: 1 })),
            Layer.provideMerge(Connection.layer({ servers: server.url })),
          ),
        ),
      ),
    ));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
