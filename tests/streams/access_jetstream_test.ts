import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import * as Grants from "../../streams/grants.ts";
import * as Ledgers from "../../streams/ledgers.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Tenants from "../../streams/tenants.ts";
import type { Services } from "../conformance/access/matter.ts";
import { accessSuite } from "../conformance/access_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const shards of [1, 3]) {
  const name = `JetStream, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
    before(async () => {
      server = await scratchServer({ durability: "bounded" });
      runtime = ManagedRuntime.make(
        Layer.mergeAll(Grants.layer, Ledgers.layer).pipe(
          Layer.provideMerge(Tenants.layer),
          Layer.provideMerge(layerJetStream({ shards })),
          Layer.provide(Connection.layer({ servers: server.url })),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    accessSuite(name, (effect) => runtime.runPromise(effect));
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
