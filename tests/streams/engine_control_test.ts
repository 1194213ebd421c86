/** How old an answer about what is paused may be, when word of changes does not come. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { Lane, Namespace } from "../../schema/ids.ts";
import { EngineControl, layer } from "../../streams/engine_control.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { uniqueTenant } from "../conformance/subject_matter.ts";

const tenant = uniqueTenant();
const lane = Lane.make("default");
const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 1 };

/** A process whose reading is changed. */
const another = (changed: (log: Log["Service"]) => Partial<Log["Service"]>) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const built = yield* Layer.build(
      Layer.fresh(layer).pipe(Layer.provide(Layer.succeed(Log, { ...log, ...changed(log) }))),
    );
    return yield* Effect.provideContext(EngineControl, built);
  });

const test = (
  title: string,
  body: Effect.Effect<void, unknown, EngineControl | Log | Scope.Scope>,
) =>
  it(title, () =>
    new VirtualClock(Date.UTC(2026, 0, 1)).run(
      Effect.scoped(body).pipe(
        Effect.provide(Layer.provideMerge(layer, layerMemory({ layout }))),
      ),
    ));

const gone = new Unavailable({ operation: "follow", reason: "gone", landed: "no" });

describe("engine control", () => {
  test(
    "who cannot follow it asks each time, and is never out of date",
    Effect.gen(function* () {
      const control = yield* EngineControl;
      const deaf = yield* another(() => ({ follow: () => Stream.fail(gone) }));
      for (const state of ["paused", "open", "disabled", "open"] as const) {
        yield* control.change({ tenant }, state);
        const held = yield* deaf.holds(tenant, lane);
        assert.equal(held?.state ?? "open", state);
        assert.equal(deaf.known(), undefined);
      }
    }),
  );

  test(
    "who follows it asks nothing, and hears of each change",
    Effect.gen(function* () {
      const control = yield* EngineControl;
      let reads = 0;
      const attentive = yield* another((log) => ({
        read: (...args) => Stream.suspend(() => (reads++, log.read(...args))),
      }));
      let heard = 0;
      yield* attentive.listen(() => void heard++);
      for (const state of ["paused", "open"] as const) {
        yield* control.change({ tenant }, state);
        yield* Effect.sleep("1 millis");
        assert.equal((yield* attentive.holds(tenant, lane))?.state ?? "open", state);
      }
      assert.deepEqual([reads, heard], [1, 3]);
    }),
  );

  test(
    "who has lost word of it knows nothing until he has looked at all of it again",
    Effect.gen(function* () {
      const control = yield* EngineControl;
      let follows = 0;
      const interrupted = yield* another((log) => ({
        follow: (...args) =>
          ++follows === 1
            ? Stream.concat(Stream.take(log.follow(...args), 1), Stream.fail(gone))
            : log.follow(...args),
      }));
      yield* interrupted.listen(() => {});
      assert.equal(interrupted.known()?.size, 0);
      yield* control.change({ lane }, "draining");
      yield* Effect.sleep("1 millis");
      assert.equal(interrupted.known(), undefined);
      yield* control.change({ tenant }, "paused");
      assert.equal((yield* interrupted.holds(tenant, lane))?.state, "paused");
      yield* Effect.sleep("2 seconds");
      assert.equal(interrupted.known()?.size, 2);
    }),
  );

  test(
    "who has changed something knows it at once",
    Effect.gen(function* () {
      const control = yield* EngineControl;
      yield* control.listen(() => {});
      yield* control.change({ tenant }, "paused");
      assert.equal(control.known()?.size, 1);
      yield* control.change({ tenant }, "open");
      assert.equal(control.known()?.size, 0);
    }),
  );
});
