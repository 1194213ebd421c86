import assert from "node:assert/strict";
import { it } from "node:test";
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { InvalidInput } from "../../../schema/errors.ts";
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

it("an event that is to be remembered for ever is, and not for a time that no value can be kept", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const receiver = (remember: Duration.Input) =>
        Layer.build(Layer.provide(Inbox.layer({ name: "billing", remember }), values));
      for (const remember of [Infinity, "Infinity", "1000000000 seconds", "1 millis"] as const) {
        const inbox = Context.get(yield* receiver(remember), Inbox.Inbox);
        assert.equal(yield* inbox.once("e-1", Effect.void), true);
        assert.equal(yield* inbox.once("e-1", Effect.die("again")), false);
      }
      const none = "10 secs" as "10 seconds";
      for (const remember of ["20000 days", 0, -1, NaN, none] as const) {
        const error = yield* Effect.flip(receiver(remember));
        assert.ok(error instanceof InvalidInput, String(error));
        assert.match(error.message, /remember ".*1000000000 seconds/);
      }
    }).pipe(Effect.scoped),
  ));
