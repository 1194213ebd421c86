/**
 * A seat in a queue: an execution that waits for its turn or has it. Its own worker takes the seat and
 * gives it up; only who keeps the queue says whose turn it is.
 */
import * as Schema from "effect/Schema";
import { ExecutionId, Tenant, Timestamp } from "./ids.ts";
import { record } from "./record.ts";
import { Route } from "./route.ts";

export const SeatRecord = Schema.Struct({
  kind: Schema.tag("seat"),
  state: Schema.Literals(["waiting", "admitted"]),
  tenant: Tenant,
  execution: ExecutionId,
  /** The sequence of its start. */
  life: Schema.Natural,
  /** Which of its turns it is. */
  turn: Schema.String,
  key: Schema.optionalKey(Schema.String),
  priority: Schema.Int,
  since: Timestamp,
  /** The last message of its mailbox that it has read. */
  mail: Schema.optionalKey(Schema.Natural),
  route: Schema.optionalKey(Route),
});
export type SeatRecord = typeof SeatRecord.Type;

/** The body of a message of kind `seat`. */
export const seatRecord = record(1, Schema.Union([SeatRecord]));
