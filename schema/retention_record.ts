/**
 * What reaches the janitor when an execution has been kept long enough: which life it was, and by
 * which record it ended. If it has run again since then, that is not its end any more, and this says
 * nothing.
 */
import * as Schema from "effect/Schema";
import { record } from "./record.ts";

export const RetentionRecord = Schema.Struct({
  kind: Schema.tag("retention"),
  /** The sequence of the start. */
  life: Schema.Natural,
  /** The sequence of the `done` that it was kept from. */
  end: Schema.Natural,
});
export type RetentionRecord = typeof RetentionRecord.Type;

/** The body of a message on the subject `gc`. */
export const retentionRecord = record(1, RetentionRecord);
