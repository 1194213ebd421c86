import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import { initial } from "../../../actors/core/state.ts";
import { Deadlines } from "../../../actors/engine/deadlines.ts";
import { Namespace, Timestamp } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { layerMemory } from "../../../streams/log_memory.ts";

it("what the server has announced is due, though our idea of its time is behind", async () => {
  const layout = { namespace: Namespace.make("announced"), shards: 1, parts: 1 };
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
