import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import type { Durability } from "../../streams/server.ts";
import type { TopologyError } from "../../streams/topology.ts";
import { logSuite } from "../conformance/log_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const [durability, shards] of [["bounded", 1], ["power-safe", 3]] as const) {
  const name = `JetStream, ${durability}, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Log, unknown>;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = ManagedRuntime.make(logLayer(server.url, durability, shards));
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    logSuite(name, (effect) => runtime.runPromise(effect));
  });
}

const logLayer = (
  servers: string,
  durability: Durability,
  shards: number,
): Layer.Layer<Log, TopologyError | Connection.ConnectError> =>
  layerJetStream({ shards, maxPayloadBytes: 2 * 1024 * 1024 }).pipe(
    Layer.provide(Connection.layer({ servers, durability })),
  );

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
