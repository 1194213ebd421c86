/**
 * Keeping the triggers of a tenant: the code of one execution, which follows what triggers wait for
 * and has them fire. It keeps nothing but what the log has. That a trigger fires is one record behind
 * the one that was its last, so that however many believe to keep it, it fires once.
 */
import type * as Cause from "effect/Cause";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Pull from "effect/Pull";
import * as Queue from "effect/Queue";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { InvalidInput } from "../../../schema/errors.ts";
import { type ActorName, executionIdentity, Tenant, Timestamp } from "../../../schema/ids.ts";
import type { TriggerId } from "../../../schema/trigger.ts";
import type { Happening, TriggerRecord } from "../../../schema/trigger_record.ts";
import type { JournalError } from "../../../streams/journal.ts";
import type { AppendError, Entry, Log, ReadError } from "../../../streams/log.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import { executionFilter } from "../../../streams/subjects.ts";
import * as Triggers from "../../../streams/triggers.ts";
import { failureOf, failureOfTooLarge } from "../../engine/failure_of.ts";
import type { ActorCode } from "../../engine/operations.ts";
import type { Post } from "../../engine/post.ts";
import { keepOn, keptAnew } from "../keeping.ts";
import { makeAct } from "./act.ts";
import * as Decide from "./decide.ts";
import { makeStates } from "./states.ts";
import { type Feed, feedsOf, type Seen, type Watching, watchingOf } from "./watching.ts";

interface Means {
  readonly log: Log["Service"];
  readonly post: Post;
  readonly clock: ServerClock["Service"];
}

type KeepError = AppendError | ReadError | JournalError;
/** What goes on for each feed and each trigger; if any of it fails, all are kept anew. */
type Beside = FiberSet.FiberSet<void, KeepError>;

/** What comes to a trigger for as long as it waits for it. */
type Inbox<A> = Queue.Queue<A, Cause.Done>;
/** That a trigger has ended, whoever has seen to it. */
type Ended = Deferred.Deferred<void>;

/** After so many firings of a trigger the records of the older ones go. */
const firingsKept = 128;

/** A trigger that falls behind by so much holds the feed back. */
const inboxSize = 1_024;

/** What cannot be read may be gone by then. */
const unreadableAgain = Schedule.spaced("1 minute");

const isUnreadable = ({ _tag }: KeepError): boolean =>
  _tag === "CorruptRecord" || _tag === "UnsupportedRecordVersion";

/** Takes in nothing any more when the trigger has ended, or nobody takes from it, and holds nobody up. */
const inboxUntil = <A>(
  ended: Ended,
  made: Effect.Effect<Inbox<A>>,
): Effect.Effect<Inbox<A>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const inbox = yield* Effect.acquireRelease(made, Queue.shutdown);
    yield* Deferred.await(ended).pipe(
      Effect.andThen(Queue.end(inbox)),
      Effect.andThen(Queue.shutdown(inbox)),
      Effect.forkScoped,
    );
    return inbox;
  });

class Keeper {
  readonly #means: Means;
  readonly #tenant: Tenant;
  readonly #triggers: Triggers.Triggers;
  readonly #act: ReturnType<typeof makeAct>;
  readonly #feeds: Readonly<Record<Watching["feed"], Feed>>;
  readonly #kept = new Map<TriggerId, Ended>();
  /** Who waits for what, by feed and word; a feed that is here is followed. */
  readonly #listeners = new Map<Watching["feed"], Map<string, Set<Inbox<Entry>>>>();

  constructor(means: Means, tenant: Tenant) {
    this.#means = means;
    this.#tenant = tenant;
    this.#triggers = Triggers.make(means.log);
    this.#act = makeAct(means.log, means.post);
    this.#feeds = feedsOf(means.log.layout, tenant);
  }

  readonly run: Effect.Effect<never, KeepError> = Effect.gen({ self: this }, function* () {
    const beside = yield* FiberSet.make<void, KeepError>();
    const { records, through } = yield* this.#triggers.read(this.#tenant);
    for (const record of records) yield* this.#begin(record, beside);
    const heard = Stream.runForEach(
      this.#triggers.follow(this.#tenant, through),
      ({ record }) => record === undefined ? Effect.void : this.#hear(record, beside),
    );
    return yield* Effect.raceAllFirst([
      Effect.andThen(heard, Effect.never),
      Effect.andThen(FiberSet.join(beside), Effect.never),
    ]);
  }).pipe(Effect.scoped);

  #hear(record: TriggerRecord, beside: Beside): Effect.Effect<unknown> {
    const ended = this.#kept.get(record.id);
    if (ended === undefined) return this.#begin(record, beside);
    return record.state === "active" ? Effect.void : Deferred.succeed(ended, undefined);
  }

  #begin(record: TriggerRecord, beside: Beside): Effect.Effect<unknown> {
    return Effect.gen({ self: this }, function* () {
      const ended = yield* Deferred.make<void>();
      this.#kept.set(record.id, ended);
      yield* FiberSet.run(beside, this.#keepAlone(record, ended, beside));
    });
  }

  /** What cannot be read keeps one trigger from firing while it is there, and no other. */
  #keepAlone(record: TriggerRecord, ended: Ended, beside: Beside): Effect.Effect<void, KeepError> {
    const { id } = record;
    const warn = (why: string) => Effect.logWarning(`the trigger ${id} cannot be kept: ${why}`);
    let isKnown = true;
    const keeping = Effect.suspend(() => {
      if (isKnown) {
        isKnown = false;
        return this.#keep(record, ended, beside);
      }
      return Effect.flatMap(
        this.#triggers.held(this.#tenant, id),
        ({ value }) => value === undefined ? this.#forget(id) : this.#keep(value, ended, beside),
      );
    });
    return keeping.pipe(
      Effect.tapError((error) => isUnreadable(error) ? warn(error.message) : Effect.void),
      Effect.retry({ while: isUnreadable, schedule: unreadableAgain }),
      Effect.catchDefect((defect) => warn(String(defect))),
    );
  }

  /** One trigger, from where its record leaves it to its removal. */
  #keep(record: TriggerRecord, ended: Ended, beside: Beside): Effect.Effect<void, KeepError> {
    return Effect.gen({ self: this }, function* () {
      // Who decided that it fires may have died before it was done.
      yield* this.#actOn(record);
      if (record.state === "active") {
        const watching = watchingOf(this.#means.log.layout, record);
        yield* watching === undefined
          ? this.#watchStates(record, ended)
          : this.#watch(record, watching, ended, beside);
        // So may another who ended it.
        const { value } = yield* this.#triggers.held(this.#tenant, record.id);
        if (value !== undefined) yield* this.#actOn(value);
      }
      yield* this.#forget(record.id);
    });
  }

  /** Has a trigger fire for what it waits for, until it has ended. */
  #watch(
    record: TriggerRecord,
    watching: Watching,
    ended: Ended,
    beside: Beside,
  ): Effect.Effect<void, KeepError> {
    const { log } = this.#means;
    return Effect.scoped(Effect.gen({ self: this }, function* () {
      const inbox = yield* inboxUntil(ended, Queue.bounded<Entry, Cause.Done>(inboxSize));
      yield* Effect.acquireRelease(
        this.#listen(watching, inbox, beside),
        (stop) => Effect.sync(stop),
      );
      /** What is known already of each shard. */
      const known = new Map<number, number>();
      // What is stored from here on comes by the feed as well. An end may have lost its payload while
      // its execution is being removed, and is passed over.
      for (const filter of watching.filters) {
        const { sequence: through } = yield* log.tail(filter.shard);
        // Usage is counted from the first record that there is.
        const from = watching.feed === "budget" ? {} : after(record.seen[filter.shard]);
        for (const entry of yield* log.readThrough(filter, { ...from, through, withLost: true })) {
          known.set(filter.shard, entry.sequence);
          if (yield* this.#meet(record, yield* watching.next(entry))) return;
        }
        known.set(filter.shard, Math.max(through, known.get(filter.shard) ?? 0));
      }
      for (;;) {
        const entry = yield* Queue.take(inbox);
        if (entry.sequence <= (known.get(entry.shard) ?? 0)) continue;
        known.set(entry.shard, entry.sequence);
        if (yield* this.#meet(record, yield* watching.next(entry))) return;
      }
    })).pipe(Pull.catchDone(() => Effect.void));
  }

  /** The same for the states of an execution, which all of its records together tell. */
  #watchStates(record: TriggerRecord, ended: Ended): Effect.Effect<void, KeepError> {
    const { log } = this.#means;
    const { when, tenant } = record;
    if (!("state" in when)) return Effect.void;
    const states = makeStates(log, tenant, when.state);
    return Effect.scoped(Effect.gen({ self: this }, function* () {
      const moved = yield* inboxUntil(ended, Queue.sliding<void, Cause.Done>(1));
      const { sequence: now } = yield* log.tail(states.address.shard);
      const changes = [
        executionFilter(states.address),
        executionFilter(states.address, "lease"),
      ].map((filter) =>
        Stream.runForEach(log.follow(filter, { after: now }), () => Queue.offer(moved, undefined))
      );
      const look = Effect.gen({ self: this }, function* () {
        for (;;) {
          const { entered } = yield* states.read();
          for (const { state, ...place } of entered) {
            if (state !== when.is) continue;
            const what = { execution: when.state, state };
            if (yield* this.#meet(record, { ...place, what, execution: when.state })) return;
          }
          yield* Queue.take(moved);
        }
      });
      yield* Effect.raceAllFirst([
        look,
        ...changes.map((change) => Effect.andThen(change, Effect.never)),
      ]);
    })).pipe(Pull.catchDone(() => Effect.void));
  }

  /** Has a trigger fire for something; says whether it has ended. */
  #meet(record: TriggerRecord, seen: Seen | undefined): Effect.Effect<boolean, KeepError> {
    if (seen === undefined || !Decide.isNew(record, seen)) return Effect.succeed(false);
    const { tenant, id } = record;
    return Effect.gen({ self: this }, function* () {
      const { execution, ...place } = seen;
      const depth = execution === undefined
        ? 0
        : yield* this.#act.depthAt(tenant, execution, seen.sequence);
      const by: Happening = { ...place, depth };
      const now = yield* this.#now;
      for (;;) {
        const held = yield* this.#revise(id, by, (value) => Decide.triggered(value, by, now));
        if (held === undefined) return true;
        yield* this.#actOn(held);
        // What another had it fire for is done first.
        if (held.state !== "active" || !Decide.isNew(held, by)) return held.state !== "active";
      }
    });
  }

  /** Does what a trigger has fired for and not done yet. */
  #actOn(record: TriggerRecord): Effect.Effect<void, KeepError> {
    const { id, pending } = record;
    if (pending === undefined) return Effect.void;
    return Effect.gen({ self: this }, function* () {
      const failure = yield* this.#act.act(record, pending).pipe(
        Effect.retry({
          while: ({ retryable }) => retryable,
          schedule: Schedule.spaced("1 second"),
        }),
        Effect.catch((error) => Effect.succeed(failureOf(error))),
      );
      yield* this.#revise(id, pending, (value) => {
        const isIt = value.pending?.sequence === pending.sequence &&
          value.pending.shard === pending.shard;
        return isIt ? Decide.acted(value, failure) : undefined;
      });
    });
  }

  /** Changes a trigger for something that has happened; one that has no room for that ends alone. */
  #revise(
    id: TriggerId,
    by: Happening,
    change: (value: TriggerRecord) => TriggerRecord | undefined,
  ): Effect.Effect<TriggerRecord | undefined, KeepError> {
    const revise = (change: (value: TriggerRecord) => TriggerRecord | undefined) =>
      this.#triggers.revise(this.#tenant, id, ({ value }) => {
        const next = value === undefined ? undefined : change(value);
        if (next === undefined) return Effect.succeed({ result: value });
        const replaces = next.change.type === "acted" && next.fired % firingsKept === 0;
        return Effect.succeed({ result: next, next, replaces });
      });
    return Effect.catchTag(
      revise(change),
      "PayloadTooLarge",
      (error) =>
        Effect.gen({ self: this }, function* () {
          yield* Effect.logWarning(`the trigger ${id} ends: ${error.message}`);
          const now = yield* this.#now;
          return yield* revise((value) =>
            Decide.outgrown(value, by, failureOfTooLarge(error), now)
          );
        }),
    );
  }

  /** Removes a trigger when nobody is to see it any more. */
  #forget(id: TriggerId): Effect.Effect<void, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const { value, revision } = yield* this.#triggers.held(this.#tenant, id);
      if (value?.endedAt !== undefined) {
        const due = value.endedAt + Triggers.keptSeconds * 1_000;
        yield* Effect.sleep(Math.max(0, due - (yield* this.#means.clock.now)));
      }
      // Before another may come by its name.
      this.#kept.delete(id);
      if (value?.endedAt !== undefined) {
        yield* this.#triggers.remove(this.#tenant, id, revision);
      }
    });
  }

  get #now(): Effect.Effect<Timestamp, ReadError> {
    return Effect.map(this.#means.clock.now, (now) => Timestamp.make(Math.floor(now)));
  }

  /** Has records of a feed come to a trigger, from now on at the latest; gives what ends that. */
  #listen(
    { feed, word }: Watching,
    inbox: Inbox<Entry>,
    beside: Beside,
  ): Effect.Effect<() => void, ReadError> {
    return Effect.gen({ self: this }, function* () {
      let listeners = this.#listeners.get(feed);
      if (listeners === undefined) {
        const { filters } = this.#feeds[feed];
        const tails = yield* Effect.forEach(filters, ({ shard }) => this.#means.log.tail(shard));
        listeners = this.#listeners.get(feed);
        if (listeners === undefined) {
          listeners = new Map();
          this.#listeners.set(feed, listeners);
          for (const [i, filter] of filters.entries()) {
            yield* FiberSet.run(beside, this.#follow(feed, filter, tails[i]!.sequence));
          }
        }
      }
      const mine = listeners.get(word) ?? new Set();
      listeners.set(word, mine.add(inbox));
      return () => {
        mine.delete(inbox);
        if (mine.size === 0) listeners.delete(word);
      };
    });
  }

  #follow(
    feed: Watching["feed"],
    filter: Parameters<Log["Service"]["follow"]>[0],
    from: number,
  ): Effect.Effect<void, ReadError> {
    return Stream.runForEach(
      this.#means.log.follow(filter, { after: from, withLost: true }),
      (entry) =>
        Effect.forEach(
          this.#feeds[feed].wordsOf(entry.subject).flatMap((word) => [
            ...this.#listeners.get(feed)?.get(word) ?? [],
          ]),
          (inbox) => Queue.offer(inbox, entry),
          { discard: true },
        ),
    );
  }
}

const after = (sequence: number | undefined) => sequence === undefined ? {} : { after: sequence };

/** The code of the executions that keep triggers. */
export const triggersCode = (means: Means): ActorCode => ({
  name: Triggers.triggersActor as ActorName,
  retry: keptAnew,
  run: (operations) =>
    Effect.gen(function* () {
      if (operations.tenant !== Triggers.triggersTenant) {
        return yield* new InvalidInput({
          what: "tenant of who keeps triggers",
          value: operations.tenant,
          rule: `triggers are kept for ${Triggers.triggersTenant} alone`,
        });
      }
      const tenant = Tenant.make(executionIdentity(operations.execution).name);
      operations.awaitWhile("end", () => false);
      yield* Effect.raceFirst(
        operations.wait("weir.triggers", { name: "end" }),
        keepOn(operations, Effect.suspend(() => new Keeper(means, tenant).run)),
      );
      return yield* operations.continueAs({}, { taken: ["end"], cleared: [] });
    }),
});
