/**
 * What a worker's session key holds while the worker lives. Its presence is the message; the fields
 * are for people who look. It says nothing of what the worker owns.
 */
import * as Schema from "effect/Schema";
import { WorkerInstanceId } from "./ids.ts";
import { record } from "./record.ts";

export const SessionRecord = Schema.Struct({
  kind: Schema.Literal("session"),
  worker: WorkerInstanceId,
  ttlMs: Schema.Int,
});
export type SessionRecord = typeof SessionRecord.Type;

export const sessionRecord = record(1, SessionRecord);
