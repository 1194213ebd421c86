import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { nanos } from "@nats-io/nats-core";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import { shardRoot, streamName, subjectOf } from "../../streams/subjects.ts";
import { maxPayloadBytes, type Services, Surroundings } from "../conformance/event_store/matter.ts";
import { eventStoreSuite } from "../conformance/event_store_suite.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const logLayer = (servers: string, durability: Durability, shards: number) =>
  layerJetStream({ shards, maxPayloadBytes }).pipe(
    Layer.provideMerge(Connection.layer({ servers, durability })),
  );

/** Shortens the window of message ids until the server has forgotten them. */
const forgetMessageIds = async (
  { jetStream, manager }: Connection.Connection["Service"],
  { layout }: Log["Service"],
) => {
  for (let shard = 0; shard < layout.shards; shard++) {
    const stream = streamName(layout, shard);
    const { duplicate_window } = (await manager.streams.info(stream)).config;
    const probe = () =>
      jetStream.publish(`${shardRoot(layout, shard)}.probe`, "", { msgID: "probe" });
    await probe();
    assert.equal((await probe()).duplicate, true);
    // The server looks for old ids when an update comes, perhaps still with the window from before.
    for (const window of [100, 150]) {
      await manager.streams.update(stream, { duplicate_window: nanos(window) });
    }
    await eventually(
      "message ids are forgotten",
      async () => (await probe()).duplicate === true ? undefined : true,
    );
    await manager.streams.update(stream, { duplicate_window });
  }
};

const surroundings = (servers: string, durability: Durability, shards: number) =>
  Layer.effect(
    Surroundings,
    Effect.gen(function* () {
      const connection = yield* Connection.Connection;
      const log = yield* Log;
      const other = yield* Layer.build(Layer.fresh(logLayer(servers, durability, shards)));
      return Surroundings.of({
        otherLog: Context.get(other, Log),
        publish: (to, kind, body) =>
          Effect.promise(async () => {
            await connection.nats.request(subjectOf(to, kind), body);
          }),
        forgetMessageIds: Effect.promise(() => forgetMessageIds(connection, log)),
      });
    }),
  );

for (const [durability, shards] of [["bounded", 1], ["power-safe", 3]] as const) {
  const name = `JetStream, ${durability}, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = ManagedRuntime.make(
        surroundings(server.url, durability, shards).pipe(
          Layer.provideMerge(logLayer(server.url, durability, shards)),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    eventStoreSuite(name, (effect) => runtime.runPromise(effect));
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
