import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import * as Leases from "../../streams/lease.ts";
import { layerJetStream as layerLog } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { layerJetStream } from "../../streams/subscriptions/jetstream.ts";
import type { Services } from "../conformance/subscriptions/matter.ts";
import { subscriptionsSuite } from "../conformance/subscriptions_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const shards of [1, 3]) {
  const name = `JetStream, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
    before(async () => {
      server = await scratchServer({ durability: "bounded" });
      runtime = ManagedRuntime.make(
        Layer.mergeAll(Leases.layer, layerJetStream).pipe(
          Layer.provideMerge(Sessions.layer),
          Layer.provideMerge(layerLog({ shards })),
          Layer.provide(Connection.layer({ servers: server.url })),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    subscriptionsSuite(name, (effect) => runtime.runPromise(effect));
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
