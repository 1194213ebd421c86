/**
 * An event in the event store, as it is kept and as it is read. Sequences count an execution's events
 * from 1 without gaps. Execution, tenant, time and cursor are the message's own, so the record does
 * not repeat them; and what the engine records is told from its journal and not stored again.
 */
import * as Schema from "effect/Schema";
import { Cursor } from "./cursor.ts";
import { type ExecutionEvent, RecordedEvent } from "./execution_event.ts";
import { EventId, ExecutionId, Tenant, Timestamp } from "./ids.ts";
import { record, type RecordCodec } from "./record.ts";

const Sequence = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

/** One event of an execution. */
export const StoredEvent = Schema.Struct({
  sequence: Sequence,
  executionId: ExecutionId,
  tenant: Tenant,
  event: RecordedEvent,
  timestamp: Timestamp,
  /** Of the record that tells it; a record of the engine may tell several events. */
  cursor: Cursor,
  eventId: Schema.optionalKey(EventId),
  /** Present if the engine has recorded it, and nobody appended it. */
  recordedBy: Schema.optionalKey(Schema.Literal("engine")),
});
export type StoredEvent = typeof StoredEvent.Type;

/** An event of an execution that the engine does not run. It counts if it bears the next number. */
const NumberedEvent = Schema.Struct({
  kind: Schema.tag("event"),
  sequence: Sequence,
  event: RecordedEvent,
  eventId: Schema.optionalKey(EventId),
});

/** An event among the engine's own records, which number it by its place. */
const AddedEvent = Schema.Struct({
  kind: Schema.tag("addition"),
  /** How many events must precede it, or it does not count, nor do those of its batch. */
  expected: Schema.optionalKey(Schema.Natural),
  event: RecordedEvent,
  eventId: Schema.optionalKey(EventId),
});

/** What a subject of kind `event` holds. */
export const EventRecord = Schema.Union([NumberedEvent, AddedEvent]).pipe(
  Schema.toTaggedUnion("kind"),
);
export type EventRecord = typeof EventRecord.Type;

type New<Event extends EventRecord> = Event extends EventRecord
  ? Omit<Event, "event"> & { readonly event: ExecutionEvent }
  : never;

/** An event record as it is written: with an event that can be appended. */
export type NewEventRecord = New<EventRecord>;

/** The body of a message of kind `event`. */
export const eventRecord: RecordCodec<EventRecord, NewEventRecord> = record(1, EventRecord);
