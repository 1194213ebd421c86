/**
 * The event store: what happened to an execution, recorded by the engine or appended by callers to the
 * same log, numbered per execution from 1 without gaps, and never changed. The server refuses an
 * append that does not follow the last one, so two writers cannot interleave, and a repeated event id
 * is found out however late it comes. It does not interpret events.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { type Cursor, encodeCursor } from "../schema/cursor.ts";
import { InvalidBatch, type InvalidCursor, InvalidInput } from "../schema/errors.ts";
import { type ExecutionEventInput, parseExecutionEvent } from "../schema/execution_event.ts";
import { type EventId, type ExecutionId, parse, type Tenant, Timestamp } from "../schema/ids.ts";
import type { StoredEvent } from "../schema/stored_event.ts";
import * as EventIndex from "./event_index.ts";
import type { ExecutionPage, ListedExecution } from "./event_index.ts";
import * as History from "./event_store/history.ts";
import type { Step } from "./event_store/position.ts";
import * as Writer from "./event_store/writer.ts";
import { type Entry, Log, maxBatchSize, type ReadError } from "./log.ts";
import { executionAddress } from "./subjects.ts";

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

export type EventStoreError = Writer.WriteError;
export type { ExecutionPage, ListedExecution };

export class EventStore extends Context.Service<EventStore, {
  /** Stores one event and gives its sequence. */
  readonly append: (
    execution: ExecutionId,
    tenant: Tenant,
    event: ExecutionEventInput,
    options?: AppendOptions,
  ) => Effect.Effect<number, EventStoreError>;
  /** Stores all events with consecutive sequences, of which it gives the first, or none. */
  readonly appendBatch: (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEventInput>,
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

const make = Effect.gen(function* () {
  const log = yield* Log;
  const history = yield* History.make(log);
  const index = EventIndex.make(log, history);
  const write = yield* Writer.make(log, history);

  const addressOf = (execution: ExecutionId, tenant: Tenant) =>
    executionAddress(log.layout, tenant, execution);

  const writeChecked = Effect.fnUntraced(function* (
    execution: ExecutionId,
    tenant: Tenant,
    events: ReadonlyArray<ExecutionEventInput>,
    eventIds: ReadonlyArray<EventId> | undefined,
    expectedSequence: number | undefined,
  ) {
    if (expectedSequence !== undefined) {
      yield* parse(Sequence, "expected sequence", expectedSequence);
    }
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
      event: ExecutionEventInput,
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
    events: ReadonlyArray<ExecutionEventInput>,
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

  const eventsAbove = (execution: ExecutionId, tenant: Tenant, after: number) => {
    const address = addressOf(execution, tenant);
    const stored = ({ events, entry }: Step): ReadonlyArray<StoredEvent> => {
      const place = {
        executionId: execution,
        tenant,
        timestamp: Timestamp.make(entry.at),
        cursor: cursorOf(entry),
      };
      return events.filter(({ sequence }) => sequence > after).map((event) => ({
        ...event,
        ...place,
      }));
    };
    return Stream.flattenIterable(Stream.map(history.all(address), stored));
  };

  const events: EventStore["Service"]["events"] = (execution, tenant, { after = 0 } = {}) =>
    Stream.unwrap(
      Effect.map(
        parse(Sequence, "sequence", after),
        () => eventsAbove(execution, tenant, after),
      ),
    );

  const count = (execution: ExecutionId, tenant: Tenant) =>
    Effect.map(history.latest(addressOf(execution, tenant)), ({ sequence }) => sequence);

  return EventStore.of({
    append,
    appendBatch,
    events,
    loadEvents: Effect.fn("EventStore.loadEvents")((execution, tenant) =>
      Stream.runCollect(eventsAbove(execution, tenant, 0))
    ),
    loadEventsAfter: Effect.fn("EventStore.loadEventsAfter")((execution, sequence, tenant) =>
      Stream.runCollect(events(execution, tenant, { after: sequence }))
    ),
    latestSequence: Effect.fn("EventStore.latestSequence")((execution, tenant) =>
      Effect.map(
        count(execution, tenant),
        (sequence) => sequence === 0 ? Option.none() : Option.some(sequence),
      )
    ),
    executionExists: Effect.fn("EventStore.executionExists")((execution, tenant) =>
      history.exists(addressOf(execution, tenant))
    ),
    countEvents: Effect.fn("EventStore.countEvents")(count),
    listExecutions: Effect.fn("EventStore.listExecutions")(index.list),
    pageExecutions: Effect.fn("EventStore.pageExecutions")(index.page),
  });
});

/** The event store on a log. */
export const layer: Layer.Layer<EventStore, never, Log> = Layer.effect(EventStore, make);
