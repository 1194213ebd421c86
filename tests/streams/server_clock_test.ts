import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Clock from "effect/Clock";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as TestClock from "effect/testing/TestClock";
import { Namespace } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as ServerClock from "../../streams/server_clock.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 1 };
const aheadMs = 500_000;

/** A server whose clock is ahead, and that takes its time to say so. */
const server = (roundTrip: Duration.Input) => {
  const asked = { times: 0 };
  const half = Duration.toMillis(Duration.fromInputUnsafe(roundTrip)) / 2;
  const layer = Layer.effect(
    Log,
    Effect.map(Log, (log) =>
      Log.of({
        ...log,
        tail: () =>
          Effect.gen(function* () {
            asked.times++;
            yield* Effect.sleep(half);
            const at = aheadMs + (yield* Clock.currentTimeMillis);
            yield* Effect.sleep(half);
            return { sequence: 1, at };
          }),
      })),
  ).pipe(Layer.provide(layerMemory({ layout })));
  return { asked, layer };
};

const test = (
  title: string,
  roundTrip: Duration.Input,
  effect: (
    clock: ServerClock.ServerClock["Service"],
    asked: { readonly times: number },
  ) => Effect.Effect<void, unknown>,
) =>
  it(title, () => {
    const { asked, layer } = server(roundTrip);
    return Effect.flatMap(ServerClock.ServerClock, (clock) => effect(clock, asked)).pipe(
      Effect.provide(ServerClock.layer.pipe(
        Layer.provide(layer),
        Layer.provideMerge(TestClock.layer()),
      )),
      Effect.runPromise,
    );
  });

const passing = <A, E>(effect: Effect.Effect<A, E>, duration: Duration.Input) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true });
    yield* TestClock.adjust(duration);
    return yield* Fiber.join(fiber);
  });

/** How far it is from the truth. */
const deviation = (now: number) =>
  Effect.map(Clock.currentTimeMillis, (local) => now - (local + aheadMs));

describe("the server's clock", () => {
  test(
    "allows for the way there and back, and goes on by itself",
    "80 millis",
    (clock, asked) =>
      Effect.gen(function* () {
        const now = yield* passing(clock.now, "80 millis");
        assert.equal(yield* deviation(now), 0);
        yield* TestClock.adjust("20 seconds");
        assert.equal(yield* deviation(yield* clock.now), 0);
        assert.equal(asked.times, 1);
      }),
  );

  test(
    "is read again after half a minute, once for all who ask",
    "80 millis",
    (clock, asked) =>
      Effect.gen(function* () {
        yield* passing(clock.now, "80 millis");
        yield* TestClock.adjust("30 seconds");
        const askers = Effect.all(Array.from({ length: 10 }, () => clock.now), {
          concurrency: "unbounded",
        });
        const answers = yield* passing(askers, "80 millis");
        assert.deepEqual(yield* Effect.forEach(answers, deviation), Array(10).fill(0));
        assert.equal(asked.times, 2);
      }),
  );

  test(
    "is read again soon when the answer took long",
    "3 seconds",
    (clock, asked) =>
      Effect.gen(function* () {
        yield* passing(clock.now, "3 seconds");
        yield* TestClock.adjust("1 second");
        yield* passing(clock.now, "3 seconds");
        assert.equal(asked.times, 2);
      }),
  );

  test(
    "goes on to be asked for when who asked first was interrupted",
    "80 millis",
    (clock) =>
      Effect.gen(function* () {
        const first = yield* Effect.forkChild(clock.now, { startImmediately: true });
        const second = yield* Effect.forkChild(clock.now, { startImmediately: true });
        yield* Fiber.interrupt(first);
        yield* TestClock.adjust("80 millis");
        assert.equal(yield* deviation(yield* Fiber.join(second)), 0);
      }),
  );
});
