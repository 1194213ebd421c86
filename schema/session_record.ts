/**
 * What a worker's session key holds while the worker lives. Its presence is the message; the fields
 * are for people who look, and rank the workers that mail is offered to. It says nothing of what the
 * worker owns.
 */
import * as Schema from "effect/Schema";
import { ActorName, Lane, Timestamp, WorkerInstanceId } from "./ids.ts";
import { record } from "./record.ts";
import { Capability } from "./route.ts";

/** How busy a worker is. */
export const WorkerLoad = Schema.Struct({
  /** Executions in its memory, the waiting ones included. */
  resident: Schema.Natural,
  running: Schema.Natural,
  /** How many it runs at most. */
  concurrency: Schema.Natural,
});
export type WorkerLoad = typeof WorkerLoad.Type;

const description = {
  actors: Schema.optionalKey(Schema.Array(ActorName)),
  lanes: Schema.optionalKey(Schema.Array(Lane)),
  capabilities: Schema.optionalKey(Schema.Array(Capability)),
  startedAt: Schema.optionalKey(Timestamp),
  host: Schema.optionalKey(Schema.String),
  pid: Schema.optionalKey(Schema.Int),
  version: Schema.optionalKey(Schema.String),
};

/** What a worker says of itself once. */
export const WorkerDescription = Schema.Struct(description);
export type WorkerDescription = typeof WorkerDescription.Type;

export const SessionRecord = Schema.Struct({
  kind: Schema.Literal("session"),
  worker: WorkerInstanceId,
  ttlMs: Schema.Int,
  ...description,
  load: Schema.optionalKey(WorkerLoad),
});
export type SessionRecord = typeof SessionRecord.Type;

export const sessionRecord = record(1, SessionRecord);
