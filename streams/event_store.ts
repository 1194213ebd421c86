/**
 * The event store: what happened to an execution, appended to the same log that runs it, numbered
 * per execution from 1 without gaps, and never changed. The server refuses an append that does not
 * follow the last event, so two writers cannot interleave, and a repeated event id is found out
 * however late it comes. It does not interpret events.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { type Cursor, decodeCursor, encodeCursor } from "../schema/cursor.ts";
import { InvalidBatch, InvalidCursor, InvalidInput } from "../schema/errors.ts";
import { type ExecutionEvent, parseExecutionEvent } from "../schema/execution_event.ts";
import { type EventId, ExecutionId, parse, type Tenant, Timestamp } from "../schema/ids.ts";
import type { StoredEvent } from "../schema/stored_event.ts";
import { newest } from "./event_index.ts";
import * as History from "./event_store/history.ts";
import * as Writer from "./event_store/writer.ts";
import { type Entry, Log, maxBatchSize, type ReadError } from "./log.ts";
import { addressOfSubject, executionAddress, executionFilter } from "./subjects.ts";

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

export type EventStoreError = WriteError;

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
  ) => Stream.Stream<StoredEvent, InvalidInput | ReadError>;
  readonly loadEvents: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<ReadonlyArray<StoredEvent>, ReadError>;
  readonly loadEventsAfter: (
    execution: ExecutionId,
    sequence: number,
    tenant: Tenant,
  ) => Effect.Effect<ReadonlyArray<StoredEvent>, InvalidInput | ReadError>;
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

const Sequence = Schema.Natural;
const ListSize = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }));
const PageSize = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }));

const make = Effect.gen(function* () {
  const log = yield* Log;
  const history = History.make(log);
  const write = yield* Writer.make(log, history);

  const addressOf = (execution: ExecutionId, tenant: Tenant) =>
    executionAddress(log.layout, tenant, execution);

  const writeChecked = Effect.fnUntraced(function* (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEvent>,
    eventIds: ReadonlyArray<EventId> | undefined,
    expectedSequence: number | undefined,
  ) {
    if (expectedSequence !== undefined) yield* parse(Sequence, "expected sequence", expectedSequence);
    const checked = yield* Effect.forEach(events, parseExecutionEvent);
    return yield* write(addressOf(execution, tenant), {
      events: checked,
      eventIds,
      expectedSequence,
    });
  });

  const append = Effect.fn("EventStore.append")(
    (
      execution: ExecutionId,
      tenant: Tenant,
      event: ExecutionEvent,
      { eventId, expectedSequence }: AppendOptions = {},
    ) =>
      writeChecked(
        execution,
        tenant,
        [event],
        eventId === undefined ? undefined : [eventId],
        expectedSequence,
      ),
  );

  const appendBatch = Effect.fn("EventStore.appendBatch")(function* (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEvent>,
    { eventIds, expectedSequence }: AppendBatchOptions = {},
  ) {
    const size = events.length;
    if (size === 0 || size > maxBatchSize) {
      return yield* new InvalidBatch({ size, limit: maxBatchSize });
    }
    if (eventIds !== undefined && (eventIds.length !== size || new Set(eventIds).size !== size)) {
      return yield* new InvalidInput({
        what: "event ids",
        value: eventIds.join(", ").slice(0, 200),
        rule: "there is one for each event, and no two are alike",
      });
    }
    return yield* writeChecked(execution, tenant, events, eventIds, expectedSequence);
  });

  const cursorOf = ({ shard, sequence, at }: Entry): Cursor =>
    encodeCursor({
      incarnation: log.incarnation,
      shards: Array.from({ length: log.layout.shards }, (_, i) =>
        i === shard ? { sequence, at } : { sequence: 0, at: 0 }),
    });

  const events: EventStore["Service"]["events"] = (execution, tenant, { after = 0 } = {}) =>
    Stream.unwrap(Effect.gen(function* () {
      yield* parse(Sequence, "sequence", after);
      const address = addressOf(execution, tenant);
      const last = yield* history.last(address);
      if (Option.isNone(last)) return Stream.empty;
      return history.steps(address, History.beginning, last.value.sequence).pipe(
        Stream.filterMap(({ entry, record }) =>
        record === undefined || record.sequence <= after ? Result.failVoid : Result.succeed({
          sequence: record.sequence,
          executionId: execution,
          tenant,
          event: record.event,
          timestamp: Timestamp.make(entry.at),
          cursor: cursorOf(entry),
          ...(record.eventId === undefined ? {} : { eventId: record.eventId }),
        })),
      );
    }));

  const loadEventsAfter: EventStore["Service"]["loadEventsAfter"] = Effect.fn(
    "EventStore.loadEventsAfter",
  )((execution, sequence, tenant) =>
    Stream.runCollect(events(execution, tenant, { after: sequence }))
  );

  const count = (execution: ExecutionId, tenant: Tenant) =>
    Effect.map(history.latest(addressOf(execution, tenant)), ({ sequence }) => sequence);

  /** An index record counts if it is the one that announced the events of an execution. */
  const isListed = Effect.fnUntraced(function* (entry: Entry) {
    const address = addressOfSubject(log.layout, entry.shard, entry.subject);
    if (address === undefined) return false;
    const first = yield* Stream.runHead(log.read(executionFilter(address, "index")));
    if (!Option.exists(first, ({ sequence }) => sequence === entry.sequence)) return false;
    return (yield* history.latest(address)).sequence > 0;
  });

  const listed = (entry: Entry): ListedExecution => ({
    executionId: ExecutionId.make(
      addressOfSubject(log.layout, entry.shard, entry.subject)?.label ?? "",
    ),
    createdAt: Timestamp.make(entry.at),
  });

  /** The position above everything, in each shard. */
  const top = Effect.forEach(
    Array.from({ length: log.layout.shards }, (_, shard) => shard),
    (shard) => Effect.map(log.tail(shard), ({ sequence, at }) => ({ sequence: sequence + 1, at })),
    { concurrency: 8 },
  );

  const listExecutions: EventStore["Service"]["listExecutions"] = Effect.fn(
    "EventStore.listExecutions",
  )(function* (tenant, limit, offset) {
    yield* parse(ListSize, "limit", limit);
    yield* parse(Sequence, "offset", offset);
    const entries = yield* newest(log, tenant, yield* top, offset + limit, isListed);
    return entries.slice(offset).map(listed);
  });

  const pageExecutions: EventStore["Service"]["pageExecutions"] = Effect.fn(
    "EventStore.pageExecutions",
  )(function* (tenant, { limit, from }) {
    yield* parse(PageSize, "limit", limit);
    const below = from === undefined ? yield* top : yield* pagePosition(from);
    const entries = yield* newest(log, tenant, below, limit + 1, isListed);
    const page = entries.slice(0, limit);
    const executions = page.map(listed);
    if (entries.length === page.length) return { executions };
    const shards = below.map((position, shard) => {
      const reached = page.findLast((entry) => entry.shard === shard) ?? position;
      return { sequence: reached.sequence, at: reached.at };
    });
    return { executions, next: encodeCursor({ incarnation: log.incarnation, shards }) };
  });

  const pagePosition = Effect.fnUntraced(function* (from: Cursor) {
    const { incarnation, shards } = yield* decodeCursor(from);
    const refuse = (reason: InvalidCursor["reason"], detail: string) =>
      Effect.fail(new InvalidCursor({ reason, detail }));
    if (incarnation !== log.incarnation) {
      return yield* refuse("other-incarnation", "its streams were deleted since");
    }
    if (shards.length !== log.layout.shards) {
      const detail = `it is of ${shards.length} shards, and there are ${log.layout.shards}`;
      return yield* refuse("shard-mismatch", detail);
    }
    const ends = yield* top;
    const beyond = shards.findIndex(({ sequence }, shard) => sequence > ends[shard]!.sequence);
    if (beyond !== -1) {
      return yield* refuse("newer-than-tail", `shard ${beyond} has lost what it was at`);
    }
    return shards;
  });

  return EventStore.of({
    append,
    appendBatch,
    events,
    loadEvents: Effect.fn("EventStore.loadEvents")((execution, tenant) =>
      Stream.runCollect(events(execution, tenant))
    ),
    loadEventsAfter,
    latestSequence: Effect.fn("EventStore.latestSequence")((execution, tenant) =>
      Effect.map(count(execution, tenant), (sequence) =>
        sequence === 0 ? Option.none() : Option.some(sequence))
    ),
    executionExists: Effect.fn("EventStore.executionExists")((execution, tenant) =>
      Effect.map(count(execution, tenant), (sequence) => sequence > 0)
    ),
    countEvents: Effect.fn("EventStore.countEvents")(count),
    listExecutions,
    pageExecutions,
  });
});

/** The event store on a log. */
export const layer: Layer.Layer<EventStore, never, Log> = Layer.effect(EventStore, make);
