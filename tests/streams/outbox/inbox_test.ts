import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../../schema/ids.ts";
import * as EventStore from "../../../streams/event_store.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import * as Inbox from "../../../streams/outbox/inbox.ts";
import * as StateStore from "../../../streams/state_store.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const values = StateStore.layerMemory.pipe(
  Layer.provide(EventStore.layer),
  Layer.provide(layerMemory({ layout })),
);

it("an event that was dealt with is not dealt with again, and one that failed is", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const inbox = yield* Inbox.Inbox;
      let deeds = 0;
      const deed = Effect.suspend(() => ++deeds === 1 ? Effect.fail("no") : Effect.void);
      assert.equal(yield* Effect.flip(inbox.once("e-1", deed)), "no");
      assert.equal(yield* inbox.once("e-1", deed), true);
      assert.equal(yield* inbox.once("e-1", deed), false);
      assert.equal(yield* inbox.once("e-2", deed), true);
      assert.equal(deeds, 3);
    }).pipe(Effect.provide(Layer.provide(Inbox.layer({ name: "billing" }), values))),
  ));
