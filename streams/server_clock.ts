/**
 * The server's clock, read now and then and carried on by the time that passes here, so that a
 * deadline means the same on every machine. It is right to half a round trip and to the difference
 * between servers of a cluster. It may step when it is read again, and orders nothing: sequences do.
 */
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Semaphore from "effect/Semaphore";
import { Log, type ReadError } from "./log.ts";

export class ServerClock extends Context.Service<ServerClock, {
  /** In milliseconds since 1970. */
  readonly now: Effect.Effect<number, ReadError>;
}>()("@weir/weir/streams/ServerClock") {}

const readEveryMs = 30_000;
/** An answer that took longer says little, and is asked for again soon. */
const slowAnswerMs = 1_000;
const readSlowEveryMs = 1_000;
/** How far the two local clocks may drift apart before it is clear that the machine slept. */
const sleptMs = 1_000;

interface Reading {
  readonly serverMs: number;
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly roundTripMs: number;
}

const make = Effect.gen(function* () {
  const log = yield* Log;
  const clock = yield* Clock.Clock;
  const reader = yield* Semaphore.make(1);
  let latest: Reading | undefined;

  const monotonicMs = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6;

  /** What has passed since a reading, unless that is too much to go by. */
  const elapsedMs = (reading: Reading): number | undefined => {
    const elapsed = monotonicMs() - reading.monotonicMs;
    const wall = clock.currentTimeMillisUnsafe() - reading.wallMs;
    const lastsMs = reading.roundTripMs < slowAnswerMs ? readEveryMs : readSlowEveryMs;
    return elapsed < lastsMs && Math.abs(wall - elapsed) < sleptMs ? elapsed : undefined;
  };

  const known = (): number | undefined => {
    const elapsed = latest === undefined ? undefined : elapsedMs(latest);
    return elapsed === undefined ? undefined : latest!.serverMs + elapsed;
  };

  const read = Effect.gen(function* () {
    const asked = monotonicMs();
    const { at } = yield* log.tail(0);
    const answered = monotonicMs();
    const roundTripMs = answered - asked;
    const serverMs = at + roundTripMs / 2;
    const wallMs = clock.currentTimeMillisUnsafe();
    latest = { serverMs, monotonicMs: answered, wallMs, roundTripMs };
    return serverMs;
  });

  /** Who waited for another's reading takes that. */
  const readOnce = reader.withPermits(1)(Effect.suspend(() => {
    const now = known();
    return now === undefined ? read : Effect.succeed(now);
  }));

  const now = Effect.suspend(() => {
    const now = known();
    return now === undefined ? readOnce : Effect.succeed(now);
  });
  return ServerClock.of({ now });
});

export const layer: Layer.Layer<ServerClock, never, Log> = Layer.effect(ServerClock, make);
