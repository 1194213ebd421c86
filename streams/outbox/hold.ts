/**
 * Holding an event while it is published: its lock is renewed for as long as that takes, and what is
 * done under it is stopped as soon as the lock may have lapsed, by the clock of this process, which
 * began to count before the store did. It marks nothing.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import type * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import { EventLockLost } from "../../schema/outbox_errors.ts";
import type { Claim, OutboxStore } from "./store.ts";

/** How something under a lock ended, and the claim to mark it with. */
export interface Held<A, E> {
  readonly exit: Exit.Exit<A, E | EventLockLost>;
  readonly claim: Claim;
}

/** A clock that nobody sets. */
export const monotonicMs: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.sync(() => Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
);

/** Does something under a lock that was asked for at a moment of `monotonicMs`. */
export const holding = Effect.fnUntraced(function* <A, E, R>(
  store: OutboxStore["Service"],
  { claim, lockMs, askedAt }: {
    readonly claim: Claim;
    readonly lockMs: number;
    readonly askedAt: number;
  },
  effect: Effect.Effect<A, E, R>,
): Effect.fn.Return<Held<A, E>, never, R> {
  const { event: { id }, owner } = claim;
  let held = claim;
  let until = askedAt + lockMs;
  const lost = () => new EventLockLost({ event: id, owner, lock: held.lock });
  const oneRenewal = yield* Semaphore.make(1);

  const renew = Effect.gen(function* () {
    const askedAt = yield* monotonicMs;
    held = yield* store.renew(held, lockMs).pipe(
      Effect.retry({
        while: ({ _tag }) => _tag !== "EventLockLost",
        schedule: Schedule.spaced(lockMs / 10),
      }),
      Effect.mapError(lost),
      Effect.timeoutOrElse({
        duration: Math.max(0, until - askedAt),
        orElse: () => Effect.fail(lost()),
      }),
    );
    until = askedAt + lockMs;
  });
  /** It may have lapsed while nobody came to begin. */
  const begun = Effect.flatMap(
    monotonicMs,
    (now): Effect.Effect<A, E | EventLockLost, R> => now < until ? effect : Effect.fail(lost()),
  );
  const keeper = yield* Effect.forkChild(
    Effect.andThen(
      Effect.flatMap(monotonicMs, (now) => Effect.sleep(Math.max(0, until - lockMs * 2 / 3 - now))),
      Semaphore.withPermits(oneRenewal, 1)(renew),
    ).pipe(Effect.forever),
  );
  const exit = yield* Effect.exit(Effect.raceFirst(begun, Fiber.join(keeper)));
  // A renewal under way gives the event another lock, which must be known to mark it.
  yield* Semaphore.withPermits(oneRenewal, 1)(Fiber.interrupt(keeper));
  return { exit, claim: held };
});
