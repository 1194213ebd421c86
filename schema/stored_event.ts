/**
 * An event in the event store, as it is kept and as it is read. Sequences count an execution's events
 * from 1 without gaps. Execution, tenant, time and cursor are the message's own, so the record does
 * not repeat them.
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
  cursor: Cursor,
  eventId: Schema.optionalKey(EventId),
});
export type StoredEvent = typeof StoredEvent.Type;

/** What a subject of kind `event` holds. */
export const EventRecord = Schema.Struct({
  kind: Schema.tag("event"),
  sequence: Sequence,
  event: RecordedEvent,
  eventId: Schema.optionalKey(EventId),
});
export type EventRecord = typeof EventRecord.Type;

/** An event record as it is written: with an event that can be appended. */
export interface NewEventRecord extends Omit<EventRecord, "event"> {
  readonly event: ExecutionEvent;
}

/** The body of a message of kind `event`. */
export const eventRecord: RecordCodec<EventRecord, NewEventRecord> = record(1, EventRecord);
