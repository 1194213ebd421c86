/**
 * Publishes what is in the outbox: claims events, publishes several at once, and marks each by
 * itself. An event is published at least once, by one owner at a time, and is a dead letter when it
 * has failed too often or can never succeed. It ends with its scope: what is being published may
 * finish, and what does not is given back.
 */
import { randomUUID } from "node:crypto";
import * as Cause from "effect/Cause";
import * as Deferred from "effect/Deferred";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as FiberSet from "effect/FiberSet";
import * as Layer from "effect/Layer";
import * as Queue from "effect/Queue";
import * as Random from "effect/Random";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { waitMillis, wholeMillis } from "../../schema/duration.ts";
import type { InvalidInput, PayloadTooLarge } from "../../schema/errors.ts";
import { parse } from "../../schema/ids.ts";
import { EventLockLost, PublishFailed, PublishRefused } from "../../schema/outbox_errors.ts";
import type { OutboxEvent } from "./event.ts";
import { type Backoff, parseBackoff, pauseAfter } from "./backoff.ts";
import { holding, monotonicMs } from "./hold.ts";
import { countPublish } from "./metrics.ts";
import { type Claim, OutboxStore, type StoreError } from "./store.ts";
import { about, OutboxTransport } from "./transport.ts";

export interface ManagerOptions {
  /** Who it is, for people to read. Random, if left out. */
  readonly identity?: string;
  /** How many events are claimed at once. Default 100. */
  readonly batchSize?: number;
  /** How many events are published at once; no more are claimed. Default 100. */
  readonly concurrency?: number;
  /** How often it looks for events although nothing was said of any. Default 10 seconds. */
  readonly pollInterval?: Duration.Input;
  /** How long an event stays claimed whose owner is gone. Default 5 minutes. */
  readonly lockTimeout?: Duration.Input;
  /** How long publishing one event may take. Default 10 seconds. */
  readonly publishTimeout?: Duration.Input;
  /** How long an event that failed is left alone. */
  readonly backoff?: Backoff;
  /** With how many failures an event is a dead letter. Default 10. */
  readonly deadLetterThreshold?: number;
  /** How long events are kept after they were sent. Default 7 days. */
  readonly retention?: Duration.Input;
  /** How often what was kept for long enough is removed. Default 1 hour. */
  readonly garbageInterval?: Duration.Input;
  /** How long the end waits for what is being published. Default 30 seconds. */
  readonly drainTimeout?: Duration.Input;
}

const AtLeastOne = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

/** Within a shorter lock nothing could be published for sure. */
const shortestLockMs = 100;

/** How long it waits after the store did not answer. */
const storePause = "1 second";
const garbageAtOnce = 5_000;

/** The end came before the event was published. */
class Stopped {
  readonly _tag = "Stopped";
}

interface Published {
  readonly claim: Claim;
  readonly marked: Deferred.Deferred<void>;
}

const unanswered = (event: OutboxEvent, afterMs: number): PublishFailed => {
  const reason = `no answer within ${Duration.format(Duration.millis(afterMs))}`;
  return new PublishFailed({ ...about(event), reason });
};

/** For as long as the lock is likely to hold. */
const markAgain = (lockMs: number) =>
  Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced(storePause)]).pipe(
    Schedule.upTo({ duration: lockMs / 2 }),
  );

export const make = Effect.fnUntraced(function* (
  options: ManagerOptions = {},
): Effect.fn.Return<void, InvalidInput, OutboxStore | OutboxTransport | Scope.Scope> {
  const store = yield* OutboxStore;
  const transport = yield* OutboxTransport;
  const {
    identity: owner = randomUUID(),
    pollInterval = "10 seconds",
    lockTimeout = "5 minutes",
    publishTimeout = "10 seconds",
    retention = "7 days",
    garbageInterval = "1 hour",
    drainTimeout = "30 seconds",
  } = options;
  const pollMs = yield* waitMillis("pollInterval", pollInterval, 1);
  const lockMs = yield* wholeMillis("lockTimeout", lockTimeout, shortestLockMs);
  const publishMs = yield* waitMillis("publishTimeout", publishTimeout, 1);
  const pauses = yield* parseBackoff(options.backoff ?? {});
  const retentionMs = yield* waitMillis("retention", retention);
  const garbageMs = yield* waitMillis("garbageInterval", garbageInterval, 1);
  const drainMs = yield* waitMillis("drainTimeout", drainTimeout);
  const batchSize = yield* parse(AtLeastOne, "batch size", options.batchSize ?? 100);
  const concurrency = yield* parse(AtLeastOne, "concurrency", options.concurrency ?? 100);
  const threshold = yield* parse(
    AtLeastOne,
    "dead letter threshold",
    options.deadLetterThreshold ?? 10,
  );

  const scope = yield* Effect.scope;
  /** Says that there may be something to claim, or room for it. */
  const wake = yield* Queue.sliding<void>(1);
  const wakeUp = Effect.asVoid(Queue.offer(wake, undefined));
  const stopped = yield* Deferred.make<never, Stopped>();
  const published = yield* Queue.unbounded<Published>();
  /** Events that have failed here, and were not claimed again. */
  const awaited = new Set<string>();
  let active = 0;
  let wantsRoom = false;

  /** What was published by the same moment is marked together. */
  const markSent = Effect.gen(function* () {
    const batch = yield* Queue.takeAll(published);
    const refused = yield* store.markSent(batch.map(({ claim }) => claim)).pipe(
      Effect.retry(markAgain(lockMs)),
      Effect.catch((error) =>
        Effect.as(Effect.logWarning(`events are published again: ${error.message}`), [])
      ),
    );
    yield* Effect.forEach(refused, ({ message }) => Effect.logDebug(message), { discard: true });
    yield* Effect.forEach(batch, ({ marked }) => Deferred.succeed(marked, undefined), {
      discard: true,
    });
  });

  const attempt = Effect.fnUntraced(function* ({ event }: Claim) {
    const begun = yield* monotonicMs;
    const exit = yield* Effect.exit(
      Effect.suspend(() => transport.publish(event)).pipe(
        Effect.timeoutOrElse({
          duration: publishMs,
          orElse: () => Effect.fail(unanswered(event, publishMs)),
        }),
        Effect.catchDefect((cause) =>
          Effect.fail(new PublishFailed({ ...about(event), reason: String(cause), cause }))
        ),
      ),
    );
    const status = Exit.isSuccess(exit) ? "success" : "error";
    yield* countPublish(status, event.eventType, (yield* monotonicMs) - begun);
    return yield* exit;
  });

  /** Looks until an event is claimed: it is due by the clock of the store, which may be behind. */
  const lookFor = (id: string) =>
    wakeUp.pipe(
      Effect.repeat({
        until: () => !awaited.has(id),
        schedule: Schedule.exponential("10 millis"),
      }),
      Effect.timeoutOption(pollMs),
      Effect.ensuring(Effect.sync(() => awaited.delete(id))),
    );

  /** What becomes of an event that was not published. */
  const failed = Effect.fnUntraced(function* (
    claim: Claim,
    error: unknown,
  ): Effect.fn.Return<void, EventLockLost | PayloadTooLarge | StoreError> {
    if (error instanceof EventLockLost) return yield* Effect.logDebug(error.message);
    if (error instanceof Stopped) return yield* store.release(claim);
    const isRefused = error instanceof PublishRefused;
    const reason = isRefused || error instanceof PublishFailed ? error.reason : String(error);
    const { event: { id, eventType } } = claim;
    const failures = claim.failures + 1;
    if (isRefused || failures >= threshold) {
      yield* Effect.logWarning(
        `Event ${id} (${eventType}) is a dead letter, failure ${failures}: ${reason}`,
      );
      return yield* store.deadLetter(claim, reason);
    }
    yield* Effect.logDebug(`Event ${id} (${eventType}) has failed ${failures} times: ${reason}`);
    const pauseMs = pauseAfter(pauses, failures, yield* Random.next);
    yield* store.markFailed(claim, { reason, retryAfter: pauseMs });
    // Others find it when they look next; this one need not wait for that.
    awaited.add(id);
    yield* Effect.forkIn(Effect.andThen(Effect.sleep(pauseMs), lookFor(id)), scope);
  });

  const publish = Effect.fnUntraced(function* (claim: Claim, askedAt: number) {
    const held = yield* holding(
      store,
      { claim, lockMs, askedAt },
      Effect.raceFirst(attempt(claim), Deferred.await(stopped)),
    );
    if (Exit.isSuccess(held.exit)) {
      const marked = yield* Deferred.make<void>();
      yield* Queue.offer(published, { claim: held.claim, marked });
      yield* Deferred.await(marked);
    } else {
      yield* failed(held.claim, Cause.squash(held.exit.cause)).pipe(
        // Its lock lapses, and whoever claims it then goes on from there.
        Effect.catch(({ message }) => Effect.logWarning(message)),
      );
    }
    // The next of its key can be claimed now.
    if (claim.event.key !== undefined) yield* wakeUp;
  });

  // Finalizers run backwards: nothing more is claimed, what is under way ends, the last is marked.
  yield* Effect.forkScoped(Effect.forever(markSent));
  const publishing = yield* FiberSet.make<void>();
  yield* Effect.addFinalizer(() =>
    FiberSet.awaitEmpty(publishing).pipe(
      Effect.timeoutOrElse({
        duration: drainMs,
        orElse: () =>
          Effect.andThen(Deferred.fail(stopped, new Stopped()), FiberSet.awaitEmpty(publishing)),
      }),
    )
  );

  const begin = (claim: Claim, askedAt: number) => {
    awaited.delete(claim.event.id);
    active++;
    const ended = Effect.suspend(() => {
      active--;
      return wantsRoom ? wakeUp : Effect.void;
    });
    return FiberSet.run(
      publishing,
      Effect.interruptible(publish(claim, askedAt)).pipe(Effect.ensuring(ended)),
    );
  };

  /** Claims and begins as many as there is room for; says whether there may be more. */
  const claimSome = Effect.uninterruptible(Effect.gen(function* () {
    const limit = Math.min(batchSize, concurrency - active);
    wantsRoom = limit < Math.min(batchSize, Math.ceil(concurrency / 2));
    if (wantsRoom) return false;
    const askedAt = yield* monotonicMs;
    const claims = yield* store.claim({ owner, limit, lock: lockMs });
    yield* Effect.forEach(claims, (claim) => begin(claim, askedAt), { discard: true });
    wantsRoom = claims.length === limit;
    return wantsRoom;
  }));

  yield* Effect.forkScoped(Effect.forever(
    claimSome.pipe(
      Effect.catch((error) =>
        Effect.as(
          Effect.andThen(
            Effect.logWarning(`no events are claimed: ${error.message}`),
            Effect.sleep(storePause),
          ),
          true,
        )
      ),
      Effect.flatMap((more) =>
        more ? Effect.void : Effect.raceFirst(Queue.take(wake), Effect.sleep(pollMs))
      ),
    ),
  ));
  yield* Effect.forkScoped(
    Stream.runForEach(store.news, () => wakeUp).pipe(
      Effect.tapError((error) => Effect.logWarning(`no news of events: ${error.message}`)),
      Effect.ignore,
      Effect.andThen(Effect.sleep(storePause)),
      Effect.forever,
    ),
  );
  yield* Effect.forkScoped(
    store.collectGarbage({ sentBefore: retentionMs, limit: garbageAtOnce }).pipe(
      Effect.repeat({ until: (removed) => removed < garbageAtOnce }),
      Effect.catch((error) => Effect.logWarning(`garbage stays: ${error.message}`)),
      Effect.andThen(Effect.sleep(garbageMs)),
      Effect.forever,
    ),
  );
});

/** Publishes for as long as the layer is there. */
export const layer = (
  options?: ManagerOptions,
): Layer.Layer<never, InvalidInput, OutboxStore | OutboxTransport> =>
  Layer.effectDiscard(make(options));
