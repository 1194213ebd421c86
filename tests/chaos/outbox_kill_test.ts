import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Outbox from "../../streams/outbox/service.ts";
import { layerStore } from "../fixtures/outbox_worker.ts";
import { leftovers, scratchServer } from "../fixtures/server.ts";
import { outboxFleetTitle, testOutboxFleet } from "./outbox_fleet.ts";

it(`in the log: ${outboxFleetTitle}`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  const place = { servers: server.url, namespace: "outbox" };
  const runtime = ManagedRuntime.make(
    Outbox.layer({ strategy: { type: "provided" } }).pipe(Layer.provide(layerStore(place))),
  );
  try {
    const outbox = await runtime.runPromise(Outbox.OutboxService);
    await testOutboxFleet(place, (deed, options) => {
      const add = outbox.add("deed", { ...deed }, `token ${deed.n}`, options);
      return runtime.runPromise(Effect.gen(function* () {
        const { id } = yield* add;
        assert.equal((yield* Effect.flip(add))._tag, "DuplicateEvent");
        return id;
      }));
    });
  } finally {
    await runtime.dispose();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
