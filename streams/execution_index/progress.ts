/**
 * How far the index of a shard has come, and who takes it further: a page that is part of every
 * write, so that position and pages move together and only one projector can move them. Its renewal
 * is the projector's sign of life.
 */
import * as Schema from "effect/Schema";
import { Timestamp } from "../../schema/ids.ts";
import { record } from "../../schema/record.ts";

export const Progress = Schema.Struct({
  kind: Schema.tag("progress"),
  /** Which creation of the log this is about. */
  incarnation: Schema.String,
  /** The last sequence that is in the index, and when that record was stored. */
  position: Schema.Natural,
  at: Timestamp,
  /** Everything that the log stored before this time is in the index. */
  asOf: Timestamp,
  /** The projector at work; nobody, if it has ended in peace. */
  owner: Schema.optionalKey(Schema.String),
});
export type Progress = typeof Progress.Type;

export const progressRecord = record(1, Progress);

export const progressKey = "progress";
