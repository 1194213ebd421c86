import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import {
  aes256gcm,
  type Cipher,
  layerLogMemory,
  layerNamespace,
  layerServerClock,
} from "@weir/weir/effect";
import {
  layerBackingPersistence,
  layerKeyValueStore,
  layerPersistedQueueStore,
  layerRateLimiterStore,
} from "@weir/weir/persistence";
import { Namespace } from "@weir/weir/schema";
import { keyValueStoreSuite, persistedQueueStoreSuite } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

describe("Effect's stores in memory", () => {
  const layerLog = () =>
    layerServerClock.pipe(
      Layer.provideMerge(
        layerLogMemory({ layout: { namespace: Namespace.make("memory"), shards: 1, parts: 4 } }),
      ),
    );
  const provided =
    <S>(layer: Layer.Layer<S, never, Layer.Success<ReturnType<typeof layerLog>>>) => () =>
      layer.pipe(Layer.provide(layerLog()));
  keyValueStoreSuite("memory", provided(layerKeyValueStore()), { it });

  it("are built from what the doors give", async () => {
    const others = Layer.mergeAll(layerBackingPersistence, layerRateLimiterStore());
    await Effect.runPromise(
      Effect.asVoid(Effect.scoped(Layer.build(others.pipe(Layer.provide(layerLog()))))),
    );
  });
});

const cipher = aes256gcm({ id: "k", secret: "of-this-test-alone".padEnd(32, "-") });
const servers: Readonly<Record<string, ReadonlyArray<Cipher>>> = {
  "the embedded server": [],
  "the embedded server, sealed": [cipher],
};

for (const [where, ciphers] of Object.entries(servers)) {
  describe(`Effect's stores on ${where}`, () => {
    let store: string;
    let used = 0;
    before(async () => {
      store = await scratchStore();
    });
    after(() => removeStore(store));

    const services = () =>
      layerServerClock.pipe(
        Layer.provideMerge(
          layerNamespace({
            embedded: { store },
            ciphers,
            namespace: Namespace.make(`stores${used++}`),
          }),
        ),
      );
    keyValueStoreSuite(
      "server",
      () => layerKeyValueStore().pipe(Layer.provide(services())),
      { it },
    );
    persistedQueueStoreSuite(
      "server",
      () => layerPersistedQueueStore().pipe(Layer.provide(services())),
      { it },
    );
  });
}
