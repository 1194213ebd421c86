/**
 * An element of a queue, which never changes, and what has become of it so far. Both lie under the id
 * of the element, so that whoever offers it again finds it, also when it is done with.
 */
import * as Schema from "effect/Schema";
import { Timestamp } from "./ids.ts";
import { record } from "./record.ts";

export const QueueElementRecord = Schema.Struct({
  kind: Schema.tag("element"),
  id: Schema.String,
  element: Schema.Json,
  /** It is handed to nobody before. */
  notBefore: Schema.optionalKey(Timestamp),
});
export type QueueElementRecord = typeof QueueElementRecord.Type;

/** The body of a message on a subject `queue`. */
export const queueElementRecord = record(1, QueueElementRecord);

export const QueueTryRecord = Schema.Struct({
  kind: Schema.tag("try"),
  /** The sequence of the element; the same id may be another's later. */
  of: Schema.Natural,
  /** How often somebody has taken it. */
  attempts: Schema.Natural,
  state: Schema.Literals(["pending", "taken", "done", "failed"]),
  notBefore: Schema.optionalKey(Timestamp),
  /** Why it failed, for people. */
  reason: Schema.optionalKey(Schema.String),
});
export type QueueTryRecord = typeof QueueTryRecord.Type;

/** The body of a message on a subject `try`. */
export const queueTryRecord = record(1, QueueTryRecord);
