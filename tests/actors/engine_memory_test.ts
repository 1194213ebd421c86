import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import { layerMemory } from "../../actors/layer.ts";
import { signal as defineSignal } from "../../actors/signal.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import {
  atOnce,
  describe as described,
  engineTests,
  errorOf,
  resultOf,
  type Services,
  signal,
  verb,
} from "../conformance/engine/stage.ts";
import { engineSuite } from "../conformance/engine_suite.ts";
import type { Run } from "../conformance/subject_matter.ts";
import { workSuite } from "../conformance/work_suite.ts";

const run: Run<Services> = (effect) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory()));

engineSuite("memory", run);
workSuite("memory", run);

const go = defineSignal<number>("go");

/** What takes hours, or ten thousand messages, and is the same wherever the log is. */
describe("memory, in the long run", () => {
  const test = engineTests(run);

  for (const pause of ["3 minutes", "1 hour"] as const) {
    test(`seed 10: what is repeated after ${pause} is still a repetition`, (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", async (ctx) => [
          await ctx.wait(go),
          await ctx.wait(go, { name: "second", timeout: "30 days" }) ?? "none",
        ]);
        yield* stage.work([waits], { residentGrace: atOnce });
        const signals = [{ name: "go", payload: 1, key: "k-1" }];
        const started = yield* stage.start(waits, undefined, { id: "same", signals });
        yield* Effect.sleep(pause);
        const again = yield* stage.start(waits, undefined, { id: "same", signals });
        assert.deepEqual([again.created, again.life], [false, started.life]);
        yield* signal(started, "go", 1, "k-1");
        assert.equal((yield* described(started)).signals, 1);
        yield* signal(started, "go", 2, "k-2");
        assert.deepEqual(yield* resultOf(started), [1, 2]);
      }));
  }

  test("an execution takes ten thousand signals, and who sends more is told", (stage) =>
    Effect.gen(function* () {
      const waits = stage.actor("waits", (ctx) => ctx.wait(defineSignal("stop")));
      yield* stage.work([waits], { residentGrace: "1 minute" });
      const started = yield* stage.start(waits);
      for (let i = 1; i < 10_000; i++) yield* signal(started, "go", i);
      yield* (yield* signal(started, "go", 10_000)).effect;
      const error = yield* errorOf(signal(started, "stop"));
      assert.ok(error._tag === "SignalLimitExceeded");
      assert.equal(error.limit, 10_000);
      const { signals, buffered } = yield* described(started);
      assert.deepEqual([signals, buffered.length], [10_000, 10_000]);
      yield* verb((verbs) => verbs.cancel(started));
      assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
    }));
});
