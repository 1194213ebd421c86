/**
 * What one reader has of a subscription: the record that its caller works on, and a few more that
 * came with it. It asks for as many as it got through lately, and gives back what had to wait, so
 * that a slow reader holds up nothing but the record in work.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as FiberHandle from "effect/FiberHandle";
import * as Latch from "effect/Latch";
import { workingEveryMs } from "../mailbox.ts";
import type { Delivery } from "./outlet.ts";

/** The work that is asked for at once, by the pace of the last. */
const aheadMs = 100;
const maxAhead = 64;
/** How long a record waits for the caller before another reader may have it. */
const patienceMs = 500;

export type Hand = Effect.Success<typeof make>;

/** The hand of a reader, which gives back everything at the end of the scope. */
export const make = Effect.gen(function* () {
  const clock = yield* Clock.Clock;
  const here: Array<Delivery> = [];
  const isWanted = Latch.makeUnsafe(false);
  const hasArrived = Latch.makeUnsafe(false);
  const attending = yield* FiberHandle.make<void>();
  let inWork: Delivery | undefined;
  let since = 0;
  /** When the first of those came that wait. */
  let cameAt = 0;
  /** Of what was asked for last: how many were worked on, and for how long. */
  let worked = { count: 0, forMs: 0 };
  let isSlow = false;
  let isOver = false;
  let batch = 1;

  const giveBackWaiting = () => {
    for (const delivery of here.splice(0)) delivery.giveBack();
  };

  const take = (delivery: Delivery): void => {
    if (isOver || (isSlow && inWork !== undefined)) return delivery.giveBack();
    if (here.length === 0) cameAt = clock.currentTimeMillisUnsafe();
    here.push(delivery);
    isWanted.closeUnsafe();
    hasArrived.openUnsafe();
  };

  /** Frees others from waiting for a caller who is slow, and keeps what that one works on. */
  const attend = (patientMs: number) =>
    Effect.sync(() => {
      isSlow = true;
      giveBackWaiting();
    }).pipe(
      Effect.delay(patientMs),
      Effect.andThen(
        Effect.sync(() => inWork?.working()).pipe(Effect.delay(workingEveryMs), Effect.forever),
      ),
    );

  const ask = () => {
    const { count, forMs } = worked;
    batch = isSlow || count === 0
      ? 1
      : Math.min(maxAhead, Math.max(1, Math.floor(aheadMs * count / Math.max(1, forMs))));
    worked = { count: 0, forMs: 0 };
    isSlow = false;
    hasArrived.closeUnsafe();
    isWanted.openUnsafe();
  };

  /** The next record, whose caller works on it from now on. */
  const next: Effect.Effect<Delivery> = Effect.gen(function* () {
    while (here.length === 0) {
      ask();
      yield* Latch.await(hasArrived);
    }
    const delivery = here.shift()!;
    inWork = delivery;
    since = clock.currentTimeMillisUnsafe();
    yield* FiberHandle.run(attending, attend(Math.max(0, cameAt + patienceMs - since)));
    return delivery;
  });

  /** The record in work is handled. */
  const finish: Effect.Effect<void> = Effect.suspend(() => {
    if (inWork === undefined) return Effect.void;
    inWork.acknowledge();
    inWork = undefined;
    const forMs = clock.currentTimeMillisUnsafe() - since;
    worked = { count: worked.count + 1, forMs: worked.forMs + forMs };
    return FiberHandle.clear(attending);
  });

  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isOver = true;
      inWork?.giveBack();
      inWork = undefined;
      giveBackWaiting();
    })
  );

  return {
    take,
    next,
    finish,
    /** Returns when the caller waits for records, with how many to ask for. */
    wanted: Effect.map(Latch.await(isWanted), () => batch),
  };
});
