import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream as layerLog } from "../../streams/log_jetstream.ts";
import { layerJetStream } from "../../streams/mailbox/jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { mailboxSuite, type Services } from "../conformance/mailbox_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const name = "JetStream, bounded, 2 shards";
describe(name, () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(
      layerJetStream.pipe(
        Layer.provideMerge(Sessions.layer),
        Layer.provideMerge(layerLog({ shards: 2 })),
        Layer.provide(Connection.layer({ servers: server.url })),
      ),
    );
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  mailboxSuite(name, (effect) => runtime.runPromise(effect));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
