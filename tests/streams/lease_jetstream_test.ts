import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import * as Leases from "../../streams/lease.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { leaseSuite } from "../conformance/lease_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const [durability, shards] of [["bounded", 1], ["power-safe", 2]] as const) {
  const name = `JetStream, ${durability}, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Log | Leases.Leases | Sessions.Sessions, unknown>;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = ManagedRuntime.make(
        Leases.layer.pipe(
          Layer.provideMerge(Sessions.layer),
          Layer.provideMerge(layerJetStream({ shards })),
          Layer.provide(Connection.layer({ servers: server.url, durability })),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    leaseSuite(name, (effect) => runtime.runPromise(effect));
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
