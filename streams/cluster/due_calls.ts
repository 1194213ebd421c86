/**
 * Requests that are for later, and who is told when one falls due. It holds nothing back itself: what
 * is due is decided where it is read.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Queue from "effect/Queue";
import type { Call } from "./shard_calls.ts";

/** Timers do not go on for ever. */
const longestSleepMs = 24 * 60 * 60 * 1_000;

export const make = Effect.fnUntraced(function* (
  isOpen: (call: Call) => boolean,
  tell: () => void,
) {
  const rescheduled = yield* Queue.sliding<void>(1);
  const delayed = new Set<Call>();
  let nextDue = Infinity;

  const look = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis;
    nextDue = Infinity;
    for (const call of delayed) {
      if (!isOpen(call)) delayed.delete(call);
      else if (call.deliverAt > now) nextDue = Math.min(nextDue, call.deliverAt);
      else {
        delayed.delete(call);
        tell();
      }
    }
    const sleep = nextDue === Infinity
      ? Effect.never
      : Effect.sleep(Math.min(nextDue - now, longestSleepMs));
    yield* Effect.raceFirst(sleep, Queue.take(rescheduled));
  });
  yield* Effect.forkScoped(Effect.forever(look));

  /** Has it told of when the request is due, if it is not yet. */
  return (call: Call, now: number): void => {
    if (call.deliverAt <= now) return;
    delayed.add(call);
    if (call.deliverAt >= nextDue) return;
    nextDue = call.deliverAt;
    Queue.offerUnsafe(rescheduled, undefined);
  };
});
