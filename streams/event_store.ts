/**
 * The event store: what happened to an execution, appended to the same log that runs it, numbered
 * per execution from 1 without gaps, and never changed. The server refuses an append that does not
 * follow the last event, so two writers cannot interleave, and a repeated event id is found out
 * however late it comes. It does not interpret events.
 */
import * as Cache from "effect/Cache";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { type Cursor, decodeCursor, encodeCursor, type ShardPosition } from "../schema/cursor.ts";
import {
  type AlreadyExists,
  CorruptRecord,
  InvalidBatch,
  InvalidCursor,
  InvalidInput,
  SequenceConflict,
  Unavailable,
} from "../schema/errors.ts";
import { type ExecutionEvent, parseExecutionEvent } from "../schema/execution_event.ts";
import { type EventId, ExecutionId, parse, type Tenant, Timestamp } from "../schema/ids.ts";
import { eventRecord, type StoredEvent } from "../schema/stored_event.ts";
import { newest } from "./event_index.ts";
import {
  type AppendError,
  type Entry,
  Log,
  maxBatchSize,
  type Message,
  type ReadError,
} from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { clientMessageId } from "./message_id.ts";
import {
  type Address,
  addressOfSubject,
  executionAddress,
  executionFilter,
  executionOfSubject,
  subjectOf,
} from "./subjects.ts";

/** An append without `expectedSequence` goes behind whatever is there. */
export interface AppendOptions {
  /** The sequence of the event that must be the last one; 0 for none. */
  readonly expectedSequence?: number;
  /** Makes a repeated append harmless, for ever: it answers with the sequence of the first. */
  readonly eventId?: EventId;
}

export interface AppendBatchOptions {
  readonly expectedSequence?: number;
  /** One for each event; a repeated batch has the same ones. */
  readonly eventIds?: ReadonlyArray<EventId>;
}

export interface ListedExecution {
  readonly executionId: ExecutionId;
  readonly createdAt: Timestamp;
}

export interface ExecutionPage {
  readonly executions: ReadonlyArray<ListedExecution>;
  /** Where the next page begins; absent on the last one. */
  readonly next?: Cursor;
}

export type EventStoreError = InvalidInput | AppendError | ReadError;

export class EventStore extends Context.Service<EventStore, {
  /** Stores one event and gives its sequence. */
  readonly append: (
    execution: ExecutionId,
    tenant: Tenant,
    event: ExecutionEvent,
    options?: AppendOptions,
  ) => Effect.Effect<number, EventStoreError>;
  /** Stores all events with consecutive sequences, of which it gives the first, or none. */
  readonly appendBatch: (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEvent>,
    options?: AppendBatchOptions,
  ) => Effect.Effect<number, EventStoreError>;
  /** All events with a sequence above `after`, in order, page by page. */
  readonly events: (
    execution: ExecutionId,
    tenant: Tenant,
    options?: { readonly after?: number },
  ) => Stream.Stream<StoredEvent, ReadError>;
  readonly loadEvents: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<ReadonlyArray<StoredEvent>, ReadError>;
  readonly loadEventsAfter: (
    execution: ExecutionId,
    sequence: number,
    tenant: Tenant,
  ) => Effect.Effect<ReadonlyArray<StoredEvent>, ReadError>;
  /** The sequence of the last event; none if there is no event. */
  readonly latestSequence: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<Option.Option<number>, ReadError>;
  readonly executionExists: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<boolean, ReadError>;
  readonly countEvents: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<number, ReadError>;
  /** Newest first. New executions move the offsets, never the order; `pageExecutions` does not drift. */
  readonly listExecutions: (
    tenant: Tenant,
    limit: number,
    offset: number,
  ) => Effect.Effect<ReadonlyArray<ListedExecution>, InvalidInput | ReadError>;
  /** Newest first, from where the last page ended, whatever was created since. */
  readonly pageExecutions: (
    tenant: Tenant,
    options: { readonly limit: number; readonly from?: Cursor },
  ) => Effect.Effect<ExecutionPage, InvalidInput | InvalidCursor | ReadError>;
}>()("@weir/weir/streams/EventStore") {}

/** What a writer knows of an execution's events: enough to follow the last one. */
interface Tail {
  /** The sequence of the last event in its execution. */
  sequence: number;
  /** The sequence of the last record in the stream, which the next one must follow. */
  streamSequence: number;
  /** Every event id so far, once somebody appended with one. */
  ids: Map<string, number> | undefined;
  /** One append of an execution at a time: more would only refuse each other. */
  readonly turn: Semaphore.Semaphore;
}

const rememberedTails = 10_000;
const PageSize = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }));
const Offset = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0));
const indexBody = new TextEncoder().encode(JSON.stringify({ v: 1, kind: "index" }));
/** A follower may lag behind the refusal that sent us to read. */
const readAgain = Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }));

const isMoved = (error: { readonly _tag: string }): error is AlreadyExists | SequenceConflict =>
  error._tag === "AlreadyExists" || error._tag === "SequenceConflict";

/** The record of an entry if it is the event that comes next; anything else is passed over, counted. */
const nextEvent = (entry: Entry, last: number) =>
  eventRecord.decode(entry.body, entry).pipe(
    Effect.filterOrFail(
      ({ sequence }) => sequence === last + 1,
      ({ sequence }) =>
        new CorruptRecord({
          subject: entry.subject,
          sequence: entry.sequence,
          reason: `it is numbered ${sequence}, after ${last}`,
        }),
    ),
    Effect.catchTag("CorruptRecord", (error) =>
      Metric.update(skippedRecords, 1).pipe(
        Effect.andThen(Effect.logWarning(error.message)),
        Effect.as(undefined),
      )),
  );

const make = Effect.gen(function* () {
  const log = yield* Log;

  const addressOf = (execution: ExecutionId, tenant: Tenant) =>
    executionAddress(log.layout, tenant, execution);

  const cursorOf = ({ shard, sequence, at }: Entry): Cursor =>
    encodeCursor({
      incarnation: log.incarnation,
      shards: Array.from({ length: log.layout.shards }, (_, i) =>
        i === shard ? { sequence, at } : { sequence: 0, at: 0 }),
    });

  /** Brings a tail up to what is stored, at least up to a record that the server spoke of. */
  const advance = (address: Address, tail: Tail, atLeast: number) =>
    log.read(executionFilter(address, "event"), { after: tail.streamSequence }).pipe(
      Stream.runForEach((entry) =>
        Effect.map(nextEvent(entry, tail.sequence), (record) => {
          tail.streamSequence = entry.sequence;
          if (record === undefined) return;
          tail.sequence = record.sequence;
          if (record.eventId !== undefined) tail.ids?.set(record.eventId, record.sequence);
        })
      ),
      Effect.filterOrFail(
        () => tail.streamSequence >= atLeast,
        () =>
          new Unavailable({
            operation: `read the events of ${address.label}`,
            reason: "the replica that answered lags behind",
            landed: "no",
          }),
      ),
      Effect.retry({ while: (error) => error._tag === "Unavailable", schedule: readAgain }),
    );

  const loadTail = Effect.fnUntraced(function* (address: Address) {
    const tail: Tail = {
      sequence: 0,
      streamSequence: 0,
      ids: undefined,
      turn: Semaphore.makeUnsafe(1),
    };
    const last = yield* log.last(address, "event");
    if (Option.isNone(last)) return tail;
    const record = yield* Effect.catchTag(
      eventRecord.decode(last.value.body, last.value),
      "CorruptRecord",
      () => Effect.undefined,
    );
    if (record === undefined) yield* advance(address, tail, last.value.sequence);
    else Object.assign(tail, { sequence: record.sequence, streamSequence: last.value.sequence });
    return tail;
  });

  const tails = yield* Cache.make({ capacity: rememberedTails, lookup: loadTail });

  /** With ids in play the whole history must be known; the guard then proves that it still is. */
  const learnIds = Effect.fnUntraced(function* (address: Address, tail: Tail) {
    if (tail.ids !== undefined) return;
    const ids: Tail = { ...tail, sequence: 0, streamSequence: 0, ids: new Map() };
    yield* advance(address, ids, tail.streamSequence);
    const { sequence, streamSequence } = ids;
    Object.assign(tail, { sequence, streamSequence, ids: ids.ids });
  });

  /** The first event of an execution is preceded by the index record that lists it. */
  const index = (address: Address) =>
    log.append(address, { kind: "index", body: indexBody, guard: { after: 0 } }).pipe(
      Effect.catchTag("AlreadyExists", () => Effect.void),
    );

  const messagesFor = (
    address: Address,
    tail: Tail,
    events: ReadonlyArray<ExecutionEvent>,
    ids: ReadonlyArray<EventId> | undefined,
  ) =>
    events.map((event, i): Message => {
      const eventId = ids?.[i];
      return {
        kind: "event",
        body: eventRecord.encode({
          kind: "event",
          sequence: tail.sequence + 1 + i,
          event,
          ...(eventId === undefined ? {} : { eventId }),
        }),
        ...(eventId === undefined ? {} : {
          id: clientMessageId({ subject: subjectOf(address, "event"), verb: "event" }, eventId),
        }),
        ...(i === 0 ? { guard: { after: tail.streamSequence } } : {}),
      };
    });

  /** One try: the first sequence, or nothing if the log had moved on and we have caught up. */
  const attempt = Effect.fnUntraced(function* (
    address: Address,
    tail: Tail,
    events: ReadonlyArray<ExecutionEvent>,
    ids: ReadonlyArray<EventId> | undefined,
    expected: number | undefined,
  ) {
    const known = ids === undefined ? undefined : tail.ids?.get(ids[0]!);
    if (known !== undefined) return known;
    if (expected !== undefined && expected > tail.sequence) yield* advance(address, tail, 0);
    if (expected !== undefined && expected !== tail.sequence) {
      return yield* new SequenceConflict({
        subject: address.label,
        expected,
        actual: tail.sequence,
      });
    }
    if (tail.sequence === 0) yield* index(address);
    const messages = messagesFor(address, tail, events, ids);
    const appended = yield* (messages.length === 1
      ? log.append(address, messages[0]!)
      : log.appendBatch(address, messages)).pipe(
        Effect.map((appended) =>
          appended.duplicate ? { moved: appended.sequence } : appended
        ),
        Effect.catchIf(isMoved, (error) =>
          Effect.succeed({
            moved: error._tag === "AlreadyExists" ? error.sequence : error.actual,
          })),
      );
    if ("moved" in appended) {
      yield* advance(address, tail, appended.moved);
      return undefined;
    }
    const first = tail.sequence + 1;
    tail.sequence += events.length;
    tail.streamSequence = appended.sequence + events.length - 1;
    ids?.forEach((id, i) => tail.ids?.set(id, first + i));
    return first;
  });

  const write = Effect.fnUntraced(function* (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEvent>,
    ids: ReadonlyArray<EventId> | undefined,
    expected: number | undefined,
  ) {
    yield* Effect.forEach(events, parseExecutionEvent, { discard: true });
    const address = addressOf(execution, tenant);
    const tail = yield* Cache.get(tails, address);
    return yield* Semaphore.withPermit(
      tail.turn,
      Effect.gen(function* () {
        if (ids !== undefined) yield* learnIds(address, tail);
        for (;;) {
          const first = yield* attempt(address, tail, events, ids, expected);
          if (first !== undefined) return first;
        }
      }),
    ).pipe(
      // What the outcome was is unknown here, so the next append looks first.
      Effect.tapError((error) =>
        error._tag === "Unavailable" ? Cache.invalidate(tails, address) : Effect.void
      ),
    );
  });

  const append = Effect.fn("EventStore.append")(
    (execution: ExecutionId, tenant: Tenant, event: ExecutionEvent, options: AppendOptions = {}) =>
      write(
        execution,
        tenant,
        [event],
        options.eventId === undefined ? undefined : [options.eventId],
        options.expectedSequence,
      ),
  );

  const appendBatch = Effect.fn("EventStore.appendBatch")(function* (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEvent>,
    options: AppendBatchOptions = {},
  ) {
    const { eventIds, expectedSequence } = options;
    if (events.length === 0 || events.length > maxBatchSize) {
      return yield* new InvalidBatch({ size: events.length, limit: maxBatchSize });
    }
    if (eventIds !== undefined && new Set(eventIds).size !== events.length) {
      const rule = "there is one for each event, and no two are alike";
      return yield* new InvalidInput({ what: "event ids", value: eventIds.join(", "), rule });
    }
    return yield* write(execution, tenant, events, eventIds, expectedSequence);
  });

  const events: EventStore["Service"]["events"] = (execution, tenant, { after = 0 } = {}) =>
    log.read(executionFilter(addressOf(execution, tenant), "event")).pipe(
      Stream.mapAccumEffect(
        () => 0,
        (last, entry) =>
          Effect.map(
            nextEvent(entry, last),
            (record) =>
              record === undefined
                ? [last, []] as const
                : [record.sequence, [{ record, entry }]] as const,
          ),
      ),
      Stream.filter(({ record }) => record.sequence > after),
      Stream.map(({ record, entry }): StoredEvent => ({
        sequence: record.sequence,
        executionId: execution,
        tenant,
        event: record.event,
        timestamp: Timestamp.make(entry.at),
        cursor: cursorOf(entry),
        ...(record.eventId === undefined ? {} : { eventId: record.eventId }),
      })),
    );

  const latestSequence: EventStore["Service"]["latestSequence"] = Effect.fn(
    "EventStore.latestSequence",
  )(
    function* (execution, tenant) {
      const { sequence } = yield* loadTail(addressOf(execution, tenant));
      return sequence === 0 ? Option.none() : Option.some(sequence);
    },
  );

  const isListed = (entry: Entry) => {
    const address = addressOfSubject(log.layout, entry.shard, entry.subject);
    return address === undefined
      ? Effect.succeed(false)
      : Effect.map(log.last(address, "event"), Option.isSome);
  };

  const listed = (entry: Entry): ListedExecution => ({
    executionId: ExecutionId.make(executionOfSubject(entry.subject)?.execution ?? ""),
    createdAt: Timestamp.make(entry.at),
  });

  const ends = Effect.forEach(
    Array.from({ length: log.layout.shards }, (_, shard) => shard),
    (shard) => Effect.map(log.tail(shard), ({ sequence, at }) => ({ sequence: sequence + 1, at })),
    { concurrency: 8 },
  );

  const newestBelow = (tenant: Tenant, below: ReadonlyArray<ShardPosition>, count: number) =>
    newest(log, tenant, below.map(({ sequence }) => sequence), count, isListed);

  const listExecutions: EventStore["Service"]["listExecutions"] = Effect.fn(
    "EventStore.listExecutions",
  )(
    function* (tenant, limit, offset) {
      yield* parse(PageSize, "limit", limit);
      yield* parse(Offset, "offset", offset);
      const entries = yield* newestBelow(tenant, yield* ends, offset + limit);
      return entries.slice(offset).map(listed);
    },
  );

  const startOf = Effect.fnUntraced(function* (from: Cursor | undefined) {
    if (from === undefined) return yield* ends;
    const { incarnation, shards } = yield* decodeCursor(from);
    if (incarnation !== log.incarnation) {
      return yield* new InvalidCursor({
        reason: "other-incarnation",
        detail: "its streams were deleted since",
      });
    }
    if (shards.length !== log.layout.shards) {
      const detail = `it is of ${shards.length} shards, and there are ${log.layout.shards}`;
      return yield* new InvalidCursor({ reason: "shard-mismatch", detail });
    }
    return shards;
  });

  const pageExecutions: EventStore["Service"]["pageExecutions"] = Effect.fn(
    "EventStore.pageExecutions",
  )(
    function* (tenant, { limit, from }) {
      yield* parse(PageSize, "limit", limit);
      const start = yield* startOf(from);
      const entries = yield* newestBelow(tenant, start, limit);
      const executions = entries.map(listed);
      if (entries.length < limit || limit === 0) return { executions };
      // Entries are newest first, so the last one of a shard is the lowest that this page reached.
      const shards = start.map((position, shard) =>
        entries.findLast((entry) => entry.shard === shard) ?? position
      )
        .map(({ sequence, at }) => ({ sequence, at }));
      return { executions, next: encodeCursor({ incarnation: log.incarnation, shards }) };
    },
  );

  const loadEventsAfter: EventStore["Service"]["loadEventsAfter"] = Effect.fn(
    "EventStore.loadEventsAfter",
  )(
    (execution, sequence, tenant) =>
      Stream.runCollect(events(execution, tenant, { after: sequence })),
  );

  return EventStore.of({
    append,
    appendBatch,
    events,
    loadEvents: Effect.fn("EventStore.loadEvents")((execution, tenant) =>
      loadEventsAfter(execution, 0, tenant)
    ),
    loadEventsAfter,
    latestSequence,
    executionExists: (execution, tenant) =>
      Effect.map(latestSequence(execution, tenant), Option.isSome),
    countEvents: (execution, tenant) =>
      Effect.map(latestSequence(execution, tenant), Option.getOrElse(() => 0)),
    listExecutions,
    pageExecutions,
  });
});

/** The event store on a log. */
export const layer: Layer.Layer<EventStore, never, Log> = Layer.effect(EventStore, make);
