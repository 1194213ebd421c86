/**
 * One reader of a family: a consumer per shard fills a bounded buffer, from which events are taken
 * only as somebody asks for them. Nothing is handed on before the floors were read behind it, so
 * that what was removed meanwhile is a gap and never silence. It ends with the connection.
 */
import * as Arr from "effect/Array";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { encodeCursor, type ShardPosition } from "../../schema/cursor.ts";
import { CursorGap, InvalidInput, StreamDisconnected } from "../../schema/errors.ts";
import type { Floors } from "../../schema/floor_record.ts";
import { Timestamp } from "../../schema/ids.ts";
import type { Family, FamilyError, FamilyEvents, ReadFamilyOptions, Tick } from "../families.ts";
import type { Entry, Log, Place, ReadError } from "../log.ts";
import type { Filter } from "../subjects.ts";
import { decodeEntry, families, familyFilters, type Uncursored } from "./family.ts";
import { aboveFloors, floorPosition, resolve } from "./position.ts";
import * as Tagged from "./tagged.ts";

/** What readers read from. */
export interface Source {
  readonly log: Log["Service"];
  /** The floors of each shard, read after they are asked for. */
  readonly floors: ReadonlyArray<Effect.Effect<Floors, ReadError>>;
  /** Listens for the end of the connection, and gives what fails when it has come. */
  readonly listen: Effect.Effect<Effect.Effect<never, string>, never, Scope.Scope>;
}

export interface ReaderOptions extends ReadFamilyOptions {
  readonly ticks?: Duration.Input;
}

/** How much is kept ready, in all shards together. */
const bufferedItems = 256;
/** How long a consumer is kept whose messages nobody takes. */
const stalledAfter = "20 seconds";
/** How often a reader whose subject leaves others out looks whether anything is for it. */
const looksEveryMs = 5_000;

/** One entry, with its event unless it is passed over. */
interface Item<F extends Family> {
  readonly shard: number;
  readonly sequence: number;
  readonly at: number;
  readonly event: Uncursored<F> | undefined;
}

/** In place of an item: nothing has come for a while. */
const quiet = Symbol("quiet");

const parseTicks = (ticks: Duration.Input | undefined) => {
  if (ticks === undefined) return Effect.undefined;
  const millis = Option.map(Duration.fromInput(ticks), Duration.toMillis);
  return Option.isSome(millis) && millis.value > 0 && Number.isFinite(millis.value)
    ? Effect.succeed(millis.value)
    : Effect.fail(
      new InvalidInput({
        what: "ticks",
        value: String(ticks),
        rule: "it is a duration above zero",
      }),
    );
};

const open = Effect.fnUntraced(function* <F extends Family>(
  { log, floors, listen }: Source,
  family: F,
  { after = "now", ticks, tag, tenant, executionId }: ReaderOptions,
) {
  if (executionId !== undefined && tenant === undefined) {
    const rule = "an execution is named together with its tenant";
    return yield* new InvalidInput({ what: "execution", value: executionId, rule });
  }
  const tickMs = yield* parseTicks(ticks);
  const lost = yield* listen;
  const { kind } = families[family];
  const { incarnation, layout } = log;
  const filters = familyFilters(family, layout, {
    ...(tenant === undefined ? {} : { tenant }),
    ...(executionId === undefined ? {} : { executionId }),
  });
  const isTagged = tag === undefined ? undefined : yield* Tagged.make(log, tag);
  const start = yield* resolve(log, kind, filters.map(({ shard }) => shard), after);

  const positions: Array<ShardPosition> = [...start.positions];
  /** Shards that were to be read from their floor on, wherever that is, and of which nothing was. */
  const atFloor = new Set(start.fromFloors ? filters.map(({ shard }) => shard) : []);
  const cursorHere = () => encodeCursor({ incarnation, shards: positions });
  let given: string = after === "earliest" ? after : cursorHere();
  /** Whether an event was given since the clock last struck, and whether it struck twice without. */
  let hasGiven = false;
  let isTickDue = false;

  const queue = yield* Effect.acquireRelease(
    Queue.bounded<Item<F> | typeof quiet, ReadError>(bufferedItems),
    Queue.shutdown,
  );

  const itemOf = Effect.fnUntraced(function* (entry: Entry) {
    const { shard, sequence, at } = entry;
    const event = yield* decodeEntry(family, layout, entry);
    const isMeant = event === undefined || isTagged === undefined || (yield* isTagged(entry));
    return { shard, sequence, at, event: isMeant ? event : undefined };
  });

  /** Fills the buffer from one shard; a consumer that is kept waiting is given up, and made anew. */
  const pump = (filter: Filter) => {
    let last = positions[filter.shard]!.sequence;
    const put = (item: Item<F>) => {
      last = item.sequence;
      return Queue.offerUnsafe(queue, item) ? Effect.succeed(true) : Queue.offer(queue, item).pipe(
        Effect.timeoutOption(stalledAfter),
        Effect.map(Option.isSome),
        Effect.tap((isIn) => Effect.sync(() => waiting = isIn ? undefined : item)),
      );
    };
    let waiting: Item<F> | undefined;
    const session = Effect.suspend(() =>
      log.follow(filter, { after: last }).pipe(
        Stream.mapEffect(itemOf),
        Stream.runForEachWhile(put),
      )
    ).pipe(
      // Its payload is gone: with its execution, which the floors tell, or for no good reason.
      Effect.catchTag("CorruptRecord", ({ sequence }) =>
        log.next(filter, sequence - 1).pipe(
          // Its time, too, or a cursor that stands on it would not look like one of this log.
          Effect.flatMap(Option.match({
            onNone: (): Effect.Effect<Place, ReadError> => log.tail(filter.shard),
            onSome: (place) => Effect.succeed(place),
          })),
          Effect.map(({ at }) => {
            waiting = { shard: filter.shard, sequence, at, event: undefined };
            last = sequence;
          }),
        )),
    );
    return session.pipe(
      Effect.andThen(
        Effect.suspend(() => waiting === undefined ? Effect.void : Queue.offer(queue, waiting)),
      ),
      Effect.forever,
      Effect.onError((cause) => Queue.failCause(queue, cause)),
      Effect.ignore,
    );
  };

  /** Refuses to go on where something may be missing. */
  const check = Effect.fnUntraced(function* (shard: number) {
    const floor = (yield* floors[shard]!)[kind];
    if (floor <= positions[shard]!.sequence) return;
    const raised = yield* floorPosition(log, kind, shard);
    if (atFloor.has(shard)) positions[shard] = raised;
    else {
      const here = { incarnation, shards: positions };
      const earliest = aboveFloors(here, new Map([[shard, raised]]));
      return yield* new CursorGap({ requested: given, earliest });
    }
  });

  /**
   * Moves the position to the tail where the leader has nothing for this reader up to there, and
   * tells whether it has something that is still on its way.
   */
  const look = Effect.fnUntraced(function* (filter: Filter) {
    const { shard } = filter;
    const tail = yield* log.tail(shard);
    const { sequence } = positions[shard]!;
    const next = yield* log.next(filter, sequence);
    // Last: what was removed before the leader was asked is below the floors that are read now.
    yield* check(shard);
    if (tail.sequence < sequence) return yield* Effect.fail("the log is shorter than it was");
    const isBehind = Option.isSome(next) && next.value.sequence <= tail.sequence;
    if (!isBehind && positions[shard]!.sequence === sequence) positions[shard] = tail;
    return isBehind;
  });

  const give = Effect.fnUntraced(function* (taken: ReadonlyArray<Item<F> | typeof quiet>) {
    const items = taken.filter((item) => item !== quiet);
    const shards = new Set(items.map(({ shard }) => shard));
    let isAllSeen = false;
    if (items.length === 0) {
      const behind = yield* Effect.forEach(filters, look, { concurrency: "unbounded" });
      isAllSeen = !behind.includes(true);
    } else yield* Effect.forEach(shards, check, { concurrency: "unbounded", discard: true });
    const events: Array<FamilyEvents[F] | Tick> = [];
    for (const { shard, sequence, at, event } of items) {
      const position = positions[shard]!;
      if (sequence <= position.sequence) continue;
      // A floor has a later time than what lies right behind it, whose cursors are all the same.
      const before = atFloor.delete(shard) ? 0 : position.at;
      positions[shard] = { sequence, at: Math.max(at, before) };
      if (event !== undefined) events.push(event(cursorHere()));
    }
    hasGiven ||= events.length > 0;
    // Whoever looks for a tag may pass over others' events for long, and is told how far it is.
    const isProgress = items.length > 0 && isTagged !== undefined;
    if (events.length === 0 && isTickDue && (isAllSeen || isProgress)) {
      const at = Timestamp.make(Math.max(...positions.map((position) => position.at)));
      events.push({ type: "tick", cursor: cursorHere(), at });
    }
    const last = events.at(-1);
    if (last !== undefined) {
      given = last.cursor;
      isTickDue = false;
    }
    return events;
  });

  yield* Effect.forEach(filters, (filter) => Effect.forkScoped(pump(filter)), { discard: true });
  /** Has the next who asks for events look, unless there are some. */
  const every = (millis: number, act: () => void) =>
    Effect.sleep(millis).pipe(
      Effect.andThen(Effect.sync(() => {
        act();
        if (Queue.sizeUnsafe(queue) === 0) Queue.offerUnsafe(queue, quiet);
      })),
      Effect.forever,
      Effect.forkScoped,
    );
  if (tickMs !== undefined) {
    yield* every(tickMs, () => {
      isTickDue = !hasGiven;
      hasGiven = false;
    });
  }
  if (tenant !== undefined) yield* every(looksEveryMs, () => {});

  const disconnected = (reason: string, cause?: unknown) =>
    new StreamDisconnected({ cursor: given, reason, cause });
  const next = Queue.takeAll(queue).pipe(
    Effect.flatMap(give),
    Effect.raceFirst(lost),
    Effect.mapError((error): FamilyError => {
      if (typeof error === "string") return disconnected(error);
      return error._tag === "Unavailable" ? disconnected(error.message, error) : error;
    }),
  );
  return Stream.fromEffectRepeat(next).pipe(
    Stream.filter(Arr.isArrayNonEmpty),
    Stream.flattenArray,
  );
});

/** The events of a family, as they are asked for. */
export const read = <F extends Family>(
  source: Source,
  family: F,
  options: ReaderOptions,
): Stream.Stream<FamilyEvents[F] | Tick, FamilyError> =>
  Stream.unwrap(open(source, family, options));
