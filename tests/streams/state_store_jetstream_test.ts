import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Kvm } from "@nats-io/kv";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Connection from "../../streams/connection.ts";
import * as EventStore from "../../streams/event_store.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as StateStore from "../../streams/state_store.ts";
import { layerJetStream as layerBucket } from "../../streams/state_store/bucket_jetstream.ts";
import { type Services, stateStoreSuite } from "../conformance/state_store_suite.ts";
import { body, tenant } from "../conformance/subject_matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

describe("JetStream", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services | Connection.Connection, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      StateStore.layer.pipe(
        Layer.provideMerge(layerBucket()),
        Layer.provideMerge(EventStore.layer),
        Layer.provideMerge(layerJetStream({ namespace: "app" })),
        Layer.provideMerge(Connection.layer({ servers: server.url })),
      ),
    );
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  stateStoreSuite("JetStream", (effect) => runtime.runPromise(effect), Effect.sleep("50 millis"));

  const test = (
    title: string,
    effect: Effect.Effect<unknown, unknown, Services | Connection.Connection>,
  ) => it(title, () => runtime.runPromise(Effect.asVoid(effect)));

  test(
    "state lies in a bucket beside the log, where the KV client finds it",
    Effect.gen(function* () {
      const store = yield* StateStore.StateStore;
      const { jetStream, manager } = yield* Connection.Connection;
      const logBefore = yield* (yield* Log).tail(0);
      yield* store.set("visible", body("yes"));
      const found = yield* Effect.promise(async () => {
        const kv = await new Kvm(jetStream).open("app-state");
        return (await kv.get("value.visible"))?.string();
      });
      assert.equal(found, "yes");
      assert.equal((yield* (yield* Log).tail(0)).sequence, logBefore.sequence);
      const { config } = yield* Effect.promise(() => manager.streams.info("KV_app-state"));
      assert.deepEqual(config.subjects, ["$KV.app-state.>"]);
      assert.equal(config.max_msgs_per_subject, 1);
    }),
  );

  test(
    "listing leaves no consumer behind",
    Effect.gen(function* () {
      const store = yield* StateStore.StateStore;
      const { manager } = yield* Connection.Connection;
      for (let i = 0; i < 5; i++) yield* store.listSnapshots(tenant);
      const { state } = yield* Effect.promise(() => manager.streams.info("KV_app-state"));
      assert.equal(state.consumer_count, 0);
    }),
  );

  test(
    "a store that opens the bucket again finds what is in it",
    Effect.gen(function* () {
      yield* (yield* StateStore.StateStore).set("kept", body("yes"));
      const again = yield* StateStore.StateStore.pipe(
        Effect.provide(Layer.fresh(StateStore.layerJetStream())),
      );
      assert.deepEqual(yield* again.get("kept"), Option.some(body("yes")));
    }),
  );

  test(
    "a bucket without lifetimes is refused",
    Effect.gen(function* () {
      const { jetStream } = yield* Connection.Connection;
      yield* Effect.promise(() => new Kvm(jetStream).create("other-state"));
      const error = yield* Effect.flip(Effect.scoped(Layer.build(
        StateStore.layerJetStream().pipe(
          Layer.provide(EventStore.layer),
          Layer.provide(layerJetStream({ namespace: "other" })),
        ),
      )));
      assert.equal(error._tag, "TopologyDrift");
    }),
  );
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
