/**
 * Where an execution stood after one of its events, as somebody computed it: a shortcut to its state,
 * never the state itself. It names the event that it includes last, and as it is stored also the log
 * that this event is in, so that a reader can tell whether it still holds.
 */
import * as Schema from "effect/Schema";
import { ExecutionId, Tenant, Timestamp } from "./ids.ts";
import { record, type RecordCodec } from "./record.ts";

/** What an execution is doing; a later release, or an application, may add to it. */
const ExecutionState = Schema.Union([
  Schema.StringForLiteralAutocomplete,
  Schema.Literals([
    "created",
    "planning",
    "running",
    "paused",
    "waiting",
    "completed",
    "failed",
    "cancelled",
  ]),
]);

/** The state of an execution as of one of its events. */
export const ExecutionSnapshot = Schema.Struct({
  executionId: ExecutionId,
  tenantId: Tenant,
  userId: Schema.optional(Schema.String),
  state: ExecutionState,
  currentStepId: Schema.optional(Schema.String),
  stepOutputs: Schema.Record(Schema.String, Schema.Json),
  variables: Schema.Record(Schema.String, Schema.Json),
  timestamp: Timestamp,
  /** The last event that it includes; 0 for none. */
  sequenceNumber: Schema.Natural,
});
export type ExecutionSnapshot = typeof ExecutionSnapshot.Type;

/** What is stored of a snapshot. */
export const SnapshotRecord = Schema.Struct({
  kind: Schema.tag("snapshot"),
  /** Which creation of the log the sequence number is about. */
  incarnation: Schema.String,
  snapshot: ExecutionSnapshot,
});
export type SnapshotRecord = typeof SnapshotRecord.Type;

export const snapshotRecord: RecordCodec<SnapshotRecord> = record(1, SnapshotRecord);
