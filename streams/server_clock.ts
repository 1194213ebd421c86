/**
 * The server's time, without asking for each reading: its last answer plus what a monotonic clock
 * says has passed since. Deadlines are made of it, so that a worker's own wall clock, skewed or set
 * back, moves none of them.
 */
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Semaphore from "effect/Semaphore";
import { Log, type ReadError } from "./log.ts";

export class ServerClock extends Context.Service<ServerClock, {
  /** Milliseconds since the epoch; half a round trip is how far it may be off. */
  readonly now: Effect.Effect<number, ReadError>;
}>()("@weir/weir/streams/ServerClock") {}

/** A monotonic clock may stand still while a laptop sleeps, and drifts a little. */
const refreshAfterMs = 30_000;

const make = Effect.gen(function* () {
  const log = yield* Log;
  const clock = yield* Clock.Clock;
  const asking = yield* Semaphore.make(1);
  const monotonicMs = () => Number(clock.currentTimeNanosUnsafe()) / 1e6;
  const wallMs = () => clock.currentTimeMillisUnsafe();
  let known:
    | { readonly serverMs: number; readonly monotonic: number; readonly wall: number }
    | undefined;

  const reading = () => {
    if (known === undefined) return undefined;
    const passed = monotonicMs() - known.monotonic;
    const slept = wallMs() - known.wall - passed;
    return passed > refreshAfterMs || slept > 1_000 ? undefined : known.serverMs + passed;
  };

  const ask = Effect.gen(function* () {
    const before = monotonicMs();
    const { at } = yield* log.tail(0);
    const after = monotonicMs();
    known = { serverMs: at + (after - before) / 2, monotonic: after, wall: wallMs() };
  });

  const now = Effect.suspend(() => {
    const read = reading();
    return read !== undefined ? Effect.succeed(read) : Semaphore.withPermits(asking, 1)(
      Effect.suspend(() => reading() === undefined ? ask : Effect.void),
    ).pipe(Effect.map(() => reading()!));
  });

  return ServerClock.of({ now });
});

export const layer: Layer.Layer<ServerClock, never, Log> = Layer.effect(ServerClock, make);
