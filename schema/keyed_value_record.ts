/**
 * A value that a program keeps under a key. The key is in the body as well, since not every text can
 * be part of a subject; so is when the value ends, which may be finer than what the server removes by.
 */
import * as Schema from "effect/Schema";
import { Timestamp } from "./ids.ts";
import { record } from "./record.ts";

export const KeyedValueRecord = Schema.Struct({
  kind: Schema.tag("value"),
  key: Schema.String,
  content: Schema.Union([
    Schema.Struct({ text: Schema.String }),
    Schema.Struct({ base64: Schema.String }),
  ]),
  /** From then on, by the server's clock, it counts as removed. */
  until: Schema.optionalKey(Timestamp),
});
export type KeyedValueRecord = typeof KeyedValueRecord.Type;

/** The body of a message on a subject `store`. */
export const keyedValueRecord = record(1, KeyedValueRecord);
