import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, it } from "node:test";
import process from "node:process";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Connection from "../../streams/connection.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { familiesSuite } from "../conformance/families_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const writtenMeanwhile = process.env["WEIR_TEST_FULL"] === undefined ? 10_000 : 100_000;

let server: ScratchServer;
before(async () => {
  server = await scratchServer({ durability: "bounded" });
});
after(() => server.stop());

for (const shards of [1, 4]) {
  familiesSuite(`JetStream, ${shards} shard${shards === 1 ? "" : "s"}`, (effect) => {
    const namespace = `t${randomUUID().replaceAll("-", "").slice(0, 16)}`;
    const layer = Families.layerJetStream.pipe(
      Layer.provideMerge(Leases.layer),
      Layer.provideMerge(Sessions.layer),
      Layer.provideMerge(layerJetStream({ namespace, shards })),
      Layer.provide(Connection.layer({ servers: server.url })),
    );
    return Effect.runPromise(Effect.provide(effect, layer));
  }, writtenMeanwhile);
}

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
