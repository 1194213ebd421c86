import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { registerSuite } from "../conformance/register_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const durability of ["bounded", "power-safe"] as const) {
  describe(`JetStream, ${durability}`, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Log, unknown>;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = ManagedRuntime.make(
        layerJetStream({ shards: 2 }).pipe(
          Layer.provide(Connection.layer({ servers: server.url, durability })),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    registerSuite(`JetStream, ${durability}`, (effect) => runtime.runPromise(effect));
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
