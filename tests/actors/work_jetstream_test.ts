import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { layer } from "../../actors/layer.ts";
import type { Services } from "../conformance/engine/stage.ts";
import { workSuite } from "../conformance/work_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const name = "JetStream, bounded, 2 shards";
describe(name, () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(layer({ servers: server.url, shards: 2 }));
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  workSuite(name, (effect) => runtime.runPromise(effect));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
