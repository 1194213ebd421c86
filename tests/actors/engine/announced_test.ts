import assert from "node:assert/strict";
import { it } from "node:test";
import * as Clock from "effect/Clock";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { initial } from "../../../actors/core/state.ts";
import { Deadlines } from "../../../actors/engine/deadlines.ts";
import { Unavailable } from "../../../schema/errors.ts";
import { Namespace, Timestamp } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const layout = { namespace: Namespace.make("announced"), shards: 1, parts: 1 };

it("what the server has announced is due, though our idea of its time is behind", async () => {
  const [before, after, isOver] = await Effect.gen(function* () {
    const clock = { now: Effect.succeed(1_000) };
    const fork = (effect: Effect.Effect<void>) => void Effect.runFork(effect);
    const options = { log: yield* Log, clock, monotonicMs: () => 0, fork };
    const deadlines = new Deadlines(options, initial);
    const before = yield* deadlines.now;
    deadlines.announced("weir.attempt/1", Timestamp.make(6_000));
    let isOver = false;
    deadlines.watch(6_000, () => isOver = true);
    return [before, yield* deadlines.now, isOver];
  }).pipe(Effect.provide(layerMemory({ layout })), Effect.scoped, Effect.runPromise);
  assert.deepEqual([before, after, isOver], [1_000, 6_000, true]);
});

it("a deadline is met although the time could not be known for a while", async () => {
  const start = Date.UTC(2026, 0, 1);
  const metAt = await new VirtualClock(start).run(
    Effect.gen(function* () {
      let looks = 0;
      const unknown = new Unavailable({ operation: "look", reason: "cut", landed: "no" });
      const now = Effect.suspend(() =>
        looks++ < 3 ? Effect.fail(unknown) : Clock.currentTimeMillis
      );
      const services = yield* Effect.context<never>();
      const fork = (effect: Effect.Effect<void>) => void Effect.runForkWith(services)(effect);
      const options = { log: yield* Log, clock: { now }, monotonicMs: () => 0, fork };
      const met = yield* Deferred.make<void>();
      new Deadlines(options, initial).watch(
        start + 10_000,
        () => Deferred.doneUnsafe(met, Effect.void),
      );
      yield* Effect.timeout(Deferred.await(met), "1 hour");
      return yield* Clock.currentTimeMillis;
    }).pipe(Effect.provide(layerMemory({ layout })), Effect.scoped),
  );
  assert.equal(metAt, start + 10_000);
});
