/**
 * Keeps the index of a shard up with its log: one projector at a time reads what happens and writes
 * pages and position as one, conditional on both being as it found them. Whoever loses its place is
 * refused at its next write; whoever waits looks again when the one at work falls silent. Nothing
 * that runs an execution depends on it.
 */
import { randomUUID } from "node:crypto";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Sink from "effect/Sink";
import * as Stream from "effect/Stream";
import { Timestamp } from "../../schema/ids.ts";
import type { Log, Place } from "../log.ts";
import type { Layout } from "../subjects.ts";
import type { Fact, Feed } from "./feed.ts";
import { type Change, changesOf } from "./fold.ts";
import * as Lives from "./lives.ts";
import { maxWriteBytes, maxWritePages, type PageStore, type PageWrite } from "./page_store.ts";
import * as Plan from "./plan.ts";
import { type Progress, progressKey, progressRecord } from "./progress.ts";

interface Dependencies {
  readonly log: Log["Service"];
  readonly feed: Feed["Service"];
  readonly store: PageStore["Service"];
}

/** The progress that this projector has written, and its revision. */
interface Held {
  readonly progress: Progress;
  readonly revision: number;
}

type CardChange = Plan.CardChange & Place;

/**
 * How long what comes in is gathered before it is written: the busier the log, the longer, so that
 * keeping the index takes a small part of the time; a reader that is behind does not wait.
 */
const gatherMs = { least: 250, most: 2_000 } as const;
const gatherPerWorkMs = 20;
const enoughChanges = 4_096;
/** How often a projector without work shows that it is there. */
const heartbeatMs = 3_000;
/** How long one may be silent before another takes its place. */
const silenceMs = 10_000;

/** After which a projector that was refused, or failed, looks for its place again. */
const pauseMs = 1_000;

/** A server that is away keeps nobody who leaves. */
const leaveWithin = "2 seconds";

/** Another projector has this shard now. */
const superseded = { _tag: "Superseded" } as const;

/** What came in, and whether the heart beat meanwhile. */
interface Gathered {
  readonly changes: Array<Change>;
  /** Where what came in ends. */
  last: Pick<Fact, "sequence" | "at"> | undefined;
  beats: boolean;
}

/**
 * Lots of facts, and heartbeats, as one. What they change is found out as they come: all at once, it
 * would keep everybody else in the process waiting.
 */
const gathering = (layout: Layout) =>
  Sink.fold(
    (): Gathered => ({ changes: [], last: undefined, beats: false }),
    ({ changes }) => changes.length < enoughChanges,
    Effect.fnUntraced(function* (gathered, lot: ReadonlyArray<Fact> | "beat") {
      if (lot === "beat") gathered.beats = true;
      else {
        for (const change of yield* changesOf(layout, lot)) gathered.changes.push(change);
        const { sequence, at } = lot.at(-1)!;
        gathered.last = { sequence, at };
      }
      return gathered;
    }),
  );

const fits = (writes: ReadonlyArray<PageWrite>): boolean =>
  writes.length <= maxWritePages &&
  writes.reduce((sum, { body }) => sum + (body?.length ?? 0), 0) <= maxWriteBytes;

/** The writes in parts that fit, in their order. */
const inParts = (writes: ReadonlyArray<PageWrite>): ReadonlyArray<ReadonlyArray<PageWrite>> => {
  if (fits(writes)) return [writes];
  const middle = writes.length >> 1;
  return [...inParts(writes.slice(0, middle)), ...inParts(writes.slice(middle))];
};

const unowned = ({ owner: _, ...progress }: Progress): Progress => progress;

const makeShard = ({ log, feed, store }: Dependencies, shard: number) => {
  const owner = randomUUID();

  const writeOf = (progress: Progress, revision: number): PageWrite => ({
    key: progressKey,
    revision,
    body: progressRecord.encode(progress),
  });

  const write = Effect.fnUntraced(function* (writes: ReadonlyArray<PageWrite>) {
    const revision = yield* store.write(shard, writes);
    return revision === undefined ? yield* Effect.fail(superseded) : revision;
  });

  const save = (progress: Progress, { revision }: Held, cards: ReadonlyArray<PageWrite> = []) =>
    Effect.map(
      write([...cards, writeOf(progress, revision)]),
      (revision): Held => ({ progress, revision }),
    );

  /** Whether the log is the one that was read before, and still has what was read. */
  const isSame = Effect.fnUntraced(function* ({ incarnation, position, at }: Progress) {
    if (incarnation !== log.incarnation) return false;
    if (position === 0) return true;
    if ((yield* log.tail(shard)).sequence < position) return false;
    return ((yield* feed.storedAt(shard, position)) ?? at) === at;
  });

  /** Where the last projector stopped, once there is nobody at work. */
  const vacancy = Effect.gen(function* () {
    yield* store.prepare(shard);
    const stored = (yield* store.read(shard, [progressKey], "leader")).get(progressKey);
    if (stored !== undefined) {
      const progress = yield* progressRecord.decode(stored.body, {
        subject: progressKey,
        sequence: stored.revision,
      });
      if (yield* isSame(progress)) {
        const silentMs = (yield* log.tail(shard)).at - stored.at;
        const isFree = progress.owner === undefined || progress.owner === owner ||
          silentMs >= silenceMs;
        return isFree
          ? { progress, revision: stored.revision } satisfies Held
          : { waitMs: silenceMs - silentMs };
      }
    }
    yield* store.clear(shard);
    const never = Timestamp.make(0);
    const { incarnation } = log;
    const progress: Progress = {
      kind: "progress",
      incarnation,
      position: 0,
      at: never,
      asOf: never,
    };
    return { progress, revision: 0 } satisfies Held;
  });

  /** Takes the place, as soon as it is free. */
  const takePlace = Effect.gen(function* () {
    for (;;) {
      const found = yield* vacancy;
      if (!("waitMs" in found)) return yield* save({ ...found.progress, owner }, found);
      yield* Effect.sleep(found.waitMs);
    }
  });

  /** Writes what changes make of the pages, in one step if it fits into one. */
  const commit = (
    held: Held,
    changes: ReadonlyArray<CardChange>,
    progress: Progress,
  ): Effect.Effect<Held, Effect.Error<ReturnType<typeof write>> | PlanError> =>
    Effect.gen(function* () {
      const { lists, cards } = yield* Plan.make(store, shard, changes);
      if (!fits([...cards, writeOf(progress, held.revision)])) {
        const middle = changes.length >> 1;
        const first = changes.slice(0, middle);
        // By both together whoever comes next knows the log again.
        const { sequence: position, at } = first.at(-1)!;
        const half = yield* commit(held, first, {
          ...held.progress,
          position,
          at: Timestamp.make(at),
        });
        return yield* commit(half, changes.slice(middle), progress);
      }
      if (fits([...lists, ...cards, writeOf(progress, held.revision)])) {
        return yield* save(progress, held, [...lists, ...cards]);
      }
      yield* Effect.forEach(inParts(lists), write, { discard: true });
      return yield* save(progress, held, cards);
    });

  const takeIn = (lives: Lives.Lives) =>
    Effect.fnUntraced(function* (held: Held, { changes, last }: Gathered) {
      if (last === undefined) return held;
      const settled = yield* lives.settle(changes);
      const at = Timestamp.make(last.at);
      return yield* commit(held, settled, {
        ...held.progress,
        position: last.sequence,
        at,
        asOf: at,
      });
    });

  /** Removes what was purged; a mark from before its start was read waits for that. */
  const forget = Effect.fnUntraced(function* (held: Held) {
    const { position, at } = held.progress;
    const marks = yield* store.marks(shard);
    const early = marks.findIndex(({ life }) => life > position);
    const ripe = early === -1 ? marks : marks.slice(0, early);
    const last = ripe.at(-1);
    if (last === undefined) return held;
    const changes = ripe.map(({ life }): CardChange => ({
      life,
      sequence: position,
      at,
      apply: () => undefined,
    }));
    const next = yield* commit(held, changes, held.progress);
    yield* store.unmark(shard, last);
    return next;
  });

  const showLife = Effect.fnUntraced(function* (held: Held) {
    const { progress } = held;
    const tail = yield* log.tail(shard);
    const isCurrent = yield* feed.isAt(shard, progress.position, tail.sequence);
    return yield* save(isCurrent ? { ...progress, asOf: Timestamp.make(tail.at) } : progress, held);
  });

  const work = Effect.gen(function* () {
    let held = yield* takePlace;
    const lives = yield* Lives.make(log);
    const take = takeIn(lives);
    let gatherForMs: number = gatherMs.least;
    const happenings = Stream.merge(
      feed.follow(shard, held.progress.position),
      Stream.as(Stream.tick(heartbeatMs), "beat" as const),
    );
    const keepUp = Effect.fnUntraced(function* (gathered: Gathered) {
      held = yield* take(held, gathered);
      if (!gathered.beats) return;
      yield* store.prepare(shard);
      held = yield* forget(held);
      if (gathered.last === undefined) held = yield* showLife(held);
    });
    /** With what has come in since: nobody may be left who would take it in. */
    const catchUp = Effect.gen(function* () {
      const { sequence } = yield* log.tail(shard);
      const isThere = Effect.suspend(() => feed.isAt(shard, held.progress.position, sequence));
      if (yield* isThere) return;
      yield* feed.follow(shard, held.progress.position).pipe(
        Stream.mapEffect((lot) =>
          Effect.flatMap(
            changesOf(log.layout, lot),
            (changes) => take(held, { changes: [...changes], last: lot.at(-1), beats: false }),
          )
        ),
        Stream.mapEffect((next) => {
          held = next;
          return isThere;
        }),
        Stream.takeUntil((there) => there),
        Stream.runDrain,
      );
    });
    yield* happenings.pipe(
      Stream.aggregateWithin(
        gathering(log.layout),
        Schedule.modifyDelay(Schedule.forever, () => Effect.sync(() => gatherForMs)),
      ),
      Stream.runForEach((gathered) =>
        Effect.map(Effect.timed(keepUp(gathered)), ([took]) => {
          const { least, most } = gatherMs;
          gatherForMs = Math.min(Math.max(least, Duration.toMillis(took) * gatherPerWorkMs), most);
        })
      ),
      Effect.onInterrupt(() =>
        Effect.ignore(Effect.timeout(Effect.interruptible(catchUp), leaveWithin)).pipe(
          // Others take an owner's place who says nothing, only later.
          Effect.andThen(
            Effect.suspend(() => Effect.timeout(save(unowned(held.progress), held), leaveWithin)),
          ),
          Effect.ignore,
        )
      ),
    );
  });

  return work.pipe(
    Effect.catchTag("Superseded", () => Effect.void),
    // The index is worth nothing without the log, and is made anew from it.
    Effect.catchTag(
      "CorruptRecord",
      (error) =>
        Effect.andThen(Effect.logWarning("the index is built anew", error), store.clear(shard)),
    ),
    Effect.catch((error) => Effect.logWarning("the index of executions falls behind", error)),
    Effect.repeat(Schedule.spaced(pauseMs)),
    Effect.andThen(Effect.never),
  );
};

type PlanError = Effect.Error<ReturnType<typeof Plan.make>>;

/** Keeps the indexes of all shards up, or stands by for whoever does. */
export const make = (dependencies: Dependencies): Effect.Effect<never> =>
  Effect.forEach(
    Array.from({ length: dependencies.log.layout.shards }, (_, shard) => shard),
    (shard) => makeShard(dependencies, shard),
    { concurrency: "unbounded", discard: true },
  ).pipe(Effect.andThen(Effect.never));
