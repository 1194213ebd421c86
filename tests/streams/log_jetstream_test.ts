import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { aes256gcm, type Cipher } from "../../streams/sealing.ts";
import type { Durability } from "../../streams/server.ts";
import type { TopologyError } from "../../streams/topology.ts";
import { logSuite } from "../conformance/log_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const cipher = aes256gcm({
  id: "k",
  secret: "of this test alone".padEnd(32, "-").replaceAll(" ", "-"),
});
const variants: ReadonlyArray<readonly [Durability, number, ReadonlyArray<Cipher>]> = [
  ["bounded", 1, []],
  ["power-safe", 3, []],
  ["bounded", 1, [cipher]],
];

for (const [durability, shards, ciphers] of variants) {
  const how = ciphers.length === 0 ? "" : ", sealed";
  const name = `JetStream, ${durability}, ${shards} shard${shards === 1 ? "" : "s"}${how}`;
  describe(name, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Log, unknown>;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = ManagedRuntime.make(logLayer({ servers: server.url, durability, ciphers }, shards));
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    logSuite(name, (effect) => runtime.runPromise(effect));
  });
}

const logLayer = (
  options: Connection.ConnectionOptions,
  shards: number,
): Layer.Layer<Log, TopologyError | Connection.ConnectError> =>
  layerJetStream({ shards, maxPayloadBytes: 2 * 1024 * 1024 }).pipe(
    Layer.provide(Connection.layer(options)),
  );

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
