import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Connection from "../../../streams/connection.ts";
import { layerJetStream } from "../../../streams/log_jetstream.ts";
import * as LogStore from "../../../streams/outbox/log_store.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import type { RunOnEmptyStore } from "../../conformance/outbox/matter.ts";
import { outboxManagerSuite } from "../../conformance/outbox/manager_suite.ts";
import { outboxStoreSuite } from "../../conformance/outbox/store_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../../fixtures/server.ts";

for (const [durability, shards] of [["bounded", 1], ["power-safe", 2]] as const) {
  const name = `JetStream, ${durability}, ${shards} shard${shards === 1 ? "" : "s"}`;
  describe(name, () => {
    let server: ScratchServer;
    let namespaces = 0;
    before(async () => {
      server = await scratchServer({ durability });
    });
    after(() => server.stop());
    const run: RunOnEmptyStore = (effect) => {
      const layer = LogStore.layer().pipe(
        Layer.provide(ServerClock.layer),
        Layer.provide(layerJetStream({ namespace: `empty${++namespaces}`, shards })),
        Layer.provide(Connection.layer({ servers: server.url, durability })),
      );
      return Effect.runPromise(Effect.provide(effect, layer));
    };
    outboxStoreSuite(name, run);
    outboxManagerSuite(name, run);
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
