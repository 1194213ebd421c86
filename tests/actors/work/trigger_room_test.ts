/** Triggers whose records come near to what the server takes as one message, or come above it. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import { layerMemory } from "../../../actors/layer.ts";
import * as Triggers from "../../../actors/triggers.ts";
import type { Tenant } from "../../../schema/ids.ts";
import { TriggerId } from "../../../schema/trigger.ts";
import { triggerRecord } from "../../../schema/trigger_record.ts";
import { Log } from "../../../streams/log.ts";
import * as Streams from "../../../streams/triggers.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import { engineTests, errorOf, type Services } from "../../conformance/engine/stage.ts";
import { type Run, uniqueTenant } from "../../conformance/subject_matter.ts";

const run: Run<Services> = (effect) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory()));

const kept = { triggers: true } as const;
/** As large as events may be, as JSON. */
const event = "p".repeat(64 * 1024 - 2);

describe("triggers", () => {
  const test = engineTests(run);

  const firedOf = (tenant: Tenant, id: string) =>
    Effect.map(Triggers.describe(tenant, id), ({ state, fired, last }) => [
      state,
      fired,
      last?.failure?.name,
    ]);

  test("have room for what becomes of them, or are not created", (stage) =>
    Effect.gen(function* () {
      const brief = stage.actor("brief", (_, input: string) => input.length);
      yield* stage.work([brief], kept);
      const tenant = uniqueTenant();
      const create = (id: string, size: number) =>
        Triggers.create(tenant, {
          id,
          when: { event: "e" },
          then: { submit: brief, input: "x".repeat(size) },
          standing: true,
        });
      const error = yield* errorOf(create("t", 1_040_000));
      assert.ok(error._tag === "PayloadTooLarge");
      assert.doesNotMatch(error.message, /raise maxPayloadBytes/);
      // What is around the input is there whatever its size.
      const largest = error.limitBytes - (error.sizeBytes - 1_040_000);
      assert.equal((yield* errorOf(create("t", largest + 1)))._tag, "PayloadTooLarge");
      assert.ok((yield* create("t", largest)).created);
      for (let i = 0; i < 3; i++) yield* Triggers.emit(tenant, "e", event);
      yield* Effect.sleep("10 seconds");
      assert.deepEqual(yield* firedOf(tenant, "t"), ["active", 3, undefined]);
      const { state, by } = yield* Triggers.cancel(tenant, "t", "a".repeat(128)).pipe(
        Effect.andThen(Streams.make(yield* Log).held(tenant, TriggerId.make("t"))),
        Effect.map(({ value }) => ({ state: value!.state, by: value!.change })),
      );
      assert.deepEqual({ state, by }, {
        state: "cancelled",
        by: { type: "cancelled", by: "a".repeat(128) },
      });
    }));

  test("end alone where there is no room for an event, and can be cancelled", (stage) =>
    Effect.gen(function* () {
      const brief = stage.actor("brief", () => "done");
      yield* stage.work([brief]);
      const tenant = uniqueTenant();
      const create = (id: string) =>
        Triggers.create(tenant, {
          id,
          when: { event: "e" },
          then: { submit: brief, input: "" },
          standing: true,
          unserved: true,
        });
      const log = yield* Log;
      const triggers = Streams.make(log);
      /** Fills a trigger up to what a message takes. */
      const fill = (id: string) =>
        triggers.revise(tenant, TriggerId.make(id), ({ value }) => {
          assert.ok(value !== undefined && "submit" in value.then);
          const { then } = value;
          const input = "x".repeat(log.maxMessageBytes - triggerRecord.encode(value).length);
          const next = { ...value, then: { ...then, start: { ...then.start, input } } };
          return Effect.succeed({ result: undefined, next });
        });
      for (const id of ["full", "cancelled", "small"]) yield* create(id);
      for (const id of ["full", "cancelled"]) yield* fill(id);
      const cancelled = yield* Triggers.cancel(tenant, "cancelled", "somebody");
      assert.equal(cancelled.state, "cancelled");
      yield* stage.work([], kept);
      for (let i = 0; i < 2; i++) yield* Triggers.emit(tenant, "e", event);
      yield* Effect.sleep("10 seconds");
      assert.deepEqual(yield* firedOf(tenant, "small"), ["active", 2, undefined]);
      assert.deepEqual(yield* firedOf(tenant, "full"), ["over", 1, "PayloadTooLarge"]);
      assert.deepEqual(yield* firedOf(tenant, "cancelled"), ["cancelled", 0, undefined]);
      yield* create("later");
      yield* Triggers.emit(tenant, "e", event);
      yield* Effect.sleep("10 seconds");
      assert.deepEqual(yield* firedOf(tenant, "later"), ["active", 1, undefined]);
    }));
});
