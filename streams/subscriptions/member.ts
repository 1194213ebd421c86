/**
 * One reader of a subscription: it pulls from the outlet of each shard while its caller waits, hands
 * out one event after the other, and looks now and then whether anything was removed under its hands
 * or the subscription was moved. It goes on through lost connections; what it had then comes again.
 */
import * as Cause from "effect/Cause";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { encodeCursor } from "../../schema/cursor.ts";
import { CursorGap } from "../../schema/errors.ts";
import type { Family, FamilyEvents } from "../families.ts";
import { decodeEntry, familyFilters } from "../families/family.ts";
import * as Tagged from "../families/tagged.ts";
import type { Entry, Log } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import type { Filter } from "../subjects.ts";
import type { SubscribeError } from "../subscriptions.ts";
import * as Hand from "./hand.ts";
import type { Delivery, Outlets } from "./outlet.ts";
import * as Progress from "./progress.ts";
import type { Registered, Registry } from "./registry.ts";
import type { Upkeep } from "./upkeep.ts";

/** What is handled and removed in between looks like a gap; an idle reader asks as often. */
const lookEvery = "2 seconds";
/** How far the record stays behind: what a reader that dies may be told to have missed in vain. */
const keepEveryLooks = 15;
/** Before asking an outlet again that did not answer. */
const askAgainAfter = "100 millis";

export interface MemberOptions<F extends Family> {
  readonly log: Log["Service"];
  readonly registry: Registry;
  readonly outlets: Outlets;
  readonly upkeep: Upkeep;
  readonly family: F;
  readonly registered: Registered;
  /** Ends the reader before it hands out another event. */
  readonly until: Effect.Effect<unknown>;
}

/** The next event, once the one before is handled, while the scope is open. */
export const join = Effect.fnUntraced(function* <F extends Family>({
  log,
  registry,
  outlets,
  upkeep,
  family,
  registered: first,
  until,
}: MemberOptions<F>): Effect.fn.Return<
  Effect.Effect<FamilyEvents[F], SubscribeError | Cause.Done>,
  SubscribeError,
  Scope.Scope
> {
  const { key, record: { filter } } = first;
  const filters = familyFilters(family, log.layout, filter);
  const isTagged = filter.tag === undefined ? undefined : yield* Tagged.make(log, filter.tag);
  const hand = yield* Hand.make;
  const failed = yield* Deferred.make<never, SubscribeError>();
  let registered = first;
  let progress = Progress.make(log, outlets, registered, filters);

  /** Has it as recorded again, with a new beginning if there is one. */
  const settle = Effect.gen(function* () {
    const found = yield* upkeep.settle(key);
    if (found.record.generation === registered.record.generation) return;
    registered = found;
    progress = Progress.make(log, outlets, registered, filters);
  });

  /** Nothing but the answer of a server that is there ends a reader. */
  const persist = <A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>) =>
    Effect.retry(effect, {
      while: ({ _tag }) => _tag === "Unavailable" && !outlets.isOver(),
      schedule: Schedule.spaced("1 second"),
    });

  const keep = Effect.suspend(() => Progress.keep(registry, registered, progress.handled()));

  const look = Effect.suspend(() => progress.look).pipe(
    Effect.flatMap((isCurrent) => isCurrent ? Effect.void : settle),
    Effect.catchTag("CursorGap", (gap) =>
      Effect.flatMap(
        Progress.tell(registry, registered, gap.earliest),
        (earliest) => new CursorGap({ requested: gap.requested, earliest }),
      )),
  );

  const watch = Effect.gen(function* () {
    for (let looks = 1;; looks++) {
      yield* Effect.sleep(lookEvery);
      yield* persist(look);
      if (looks % keepEveryLooks === 0) yield* persist(keep);
    }
  });

  const pullFrom = Effect.fnUntraced(function* ({ shard }: Filter) {
    const pull = yield* outlets.open(key, shard, hand.take);
    const serve = Effect.gen(function* () {
      const isAnswered = yield* pull(yield* hand.wanted);
      if (isAnswered) return;
      yield* Effect.sleep(askAgainAfter);
      yield* persist(settle);
    });
    yield* Effect.forkScoped(Deferred.into(Effect.forever(serve), failed));
  });

  /** The record with its payload; nothing if it was removed since. */
  const whole = (
    { entry, spilled }: Delivery,
  ): Effect.Effect<Entry | undefined, SubscribeError> => {
    if (!spilled) return Effect.succeed(entry);
    const { shard, subject, sequence } = entry;
    return Effect.map(
      Stream.runHead(log.read({ shard, subject }, { after: sequence - 1, upTo: sequence })),
      Option.getOrUndefined,
    );
  };

  const eventOf = Effect.fnUntraced(
    function* (delivery: Delivery) {
      const entry = yield* whole(delivery);
      if (entry === undefined) return undefined;
      const event = yield* decodeEntry(family, log.layout, entry);
      if (event === undefined) return undefined;
      if (isTagged !== undefined && !(yield* isTagged(entry))) return undefined;
      const { shard, sequence, at } = entry;
      const positions = progress.handled().with(shard, { sequence, at });
      return event(encodeCursor({ incarnation: log.incarnation, shards: positions }));
      // Its payload is gone: with its execution, which the floors tell, or for no good reason.
    },
    Effect.catchTag("CorruptRecord", () => Effect.as(Metric.update(skippedRecords, 1), undefined)),
  );

  /** With what was handled since the last look, if that is known soon. */
  const leave = Effect.suspend(() => progress.look).pipe(
    Effect.timeout("1 second"),
    Effect.ignore,
    Effect.andThen(Effect.timeout(keep, "2 seconds")),
  );
  yield* Effect.addFinalizer(() => Effect.ignore(leave));
  yield* persist(look);
  yield* Effect.forEach(filters, pullFrom, { discard: true });
  yield* Effect.forkScoped(Deferred.into(watch, failed));

  const over = Effect.raceFirst(Effect.andThen(until, Cause.done()), Deferred.await(failed));

  return Effect.gen(function* () {
    for (;;) {
      yield* hand.finish;
      const delivery = yield* Effect.raceFirst(over, hand.next);
      const event = yield* persist(eventOf(delivery));
      if (event !== undefined) return event;
    }
  });
});
