/**
 * One frame of an output, as its owner stores it: a value that an execution gave out while it ran,
 * who gave it, and its place. Whether it was given again since, a later frame says.
 */
import * as Schema from "effect/Schema";
import { boundedText } from "./ids.ts";
import { Json } from "./json.ts";
import { record } from "./record.ts";

/** Names one output of an execution. */
export const OutputName = boundedText(64);

export const FrameRecord = Schema.Struct({
  kind: Schema.tag("frame"),
  /** The sequence of the start of the life that this belongs to. */
  life: Schema.Natural,
  attempt: Schema.Natural,
  epoch: Schema.Natural,
  /** Which run of the whole code it belongs to; one that goes on from its records is the same. */
  replays: Schema.Natural,
  failures: Schema.Natural,
  /** Counts the frames of the output from 1. */
  number: Schema.Natural,
  /** How many bytes the output has come to, with this. */
  total: Schema.Natural,
  /** How many frames the actor's own code has given in this run, with this. */
  own: Schema.Natural,
  /** The step that gave it, and its try; left out, the actor's own code. */
  step: Schema.optionalKey(Schema.String),
  try: Schema.optionalKey(Schema.Natural),
  /** Counts the frames of this try, or of the actor's own code in this run, from 0. */
  index: Schema.Natural,
  frame: Json,
});
export type FrameRecord = typeof FrameRecord.Type;

/** The body of a message on the subject `out`. */
export const frameRecord = record(1, FrameRecord);
