/**
 * A cipher that a namespace has been sealed with: its id, and a word that it sealed, by which who has
 * the same secret is told from who has another. It holds nothing else, and no secret.
 */
import * as Schema from "effect/Schema";
import { record } from "./record.ts";

export const CipherRecord = Schema.Struct({
  kind: Schema.tag("cipher"),
  id: Schema.String,
  /** In base64. */
  proof: Schema.String,
});
export type CipherRecord = typeof CipherRecord.Type;

export const cipherRecord = record(1, CipherRecord);
