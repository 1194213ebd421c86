/**
 * What becomes of an event in the log, one record per transition, all on the event's own subject: the
 * sequence of the last is its lock, and whoever writes names it. So the server decides who holds an
 * event, and refuses what a former owner still says.
 */
import * as Schema from "effect/Schema";
import { Timestamp } from "../../schema/ids.ts";
import { record } from "../../schema/record.ts";
import { NewOutboxEvent } from "./event.ts";

/** The records on the subject of an event. */
export const OutboxRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.tag("event"),
    ...NewOutboxEvent.fields,
    /** By the server's clock, as whoever added it knew that; it stays when a dead letter comes back. */
    createdAt: Timestamp,
  }),
  /** Somebody publishes it, or goes on doing so. */
  Schema.Struct({ kind: Schema.tag("claimed"), owner: Schema.String, lockMs: Schema.Natural }),
  Schema.Struct({
    kind: Schema.tag("failed"),
    failures: Schema.Natural,
    reason: Schema.String,
    retryAfterMs: Schema.Natural,
  }),
  Schema.Struct({ kind: Schema.tag("released") }),
  Schema.Struct({ kind: Schema.tag("sent") }),
  /** It is a dead letter, which has a subject of its own. */
  Schema.Struct({ kind: Schema.tag("dead") }),
  /** Its dead letter was removed. */
  Schema.Struct({ kind: Schema.tag("deleted") }),
]).pipe(Schema.toTaggedUnion("kind"));
export type OutboxRecord = typeof OutboxRecord.Type;

export const outboxRecord = record(1, OutboxRecord);

/** The records on the subject of a dead letter. */
export const DeadRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.tag("letter"),
    ...NewOutboxEvent.fields,
    createdAt: Timestamp,
    failures: Schema.Natural,
    reason: Schema.String,
  }),
  /** It was requeued or removed. */
  Schema.Struct({ kind: Schema.tag("gone") }),
]).pipe(Schema.toTaggedUnion("kind"));
export type DeadRecord = typeof DeadRecord.Type;

export const deadRecord = record(1, DeadRecord);

/** Up to where a shard has nothing that is still to be published. */
export const outboxFloorRecord = record(
  1,
  Schema.Struct({ kind: Schema.tag("outboxFloor"), sequence: Schema.Natural }),
);
