import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Budgets from "../../streams/budgets.ts";
import * as Connection from "../../streams/connection.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { budgetsSuite } from "../conformance/budgets_suite.ts";
import type { Services } from "../conformance/budgets/matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

for (const durability of ["bounded", "power-safe"] as const) {
  describe(`JetStream, ${durability}`, () => {
    let server: ScratchServer;
    let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
    before(async () => {
      server = await scratchServer({ durability });
      runtime = ManagedRuntime.make(
        Budgets.layer.pipe(
          Layer.provideMerge(ServerClock.layer),
          Layer.provideMerge(layerJetStream({ shards: 2 })),
          Layer.provide(Connection.layer({ servers: server.url, durability })),
        ),
      );
    });
    after(async () => {
      await runtime.dispose();
      await server.stop();
    });
    budgetsSuite(`JetStream, ${durability}`, (effect) => runtime.runPromise(effect));
  });
}

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
