/**
 * An errand: what one attempt of an execution asks of a remote worker, and what has become of it. The
 * execution's own worker enters it and withdraws it; only who keeps the tenant's remote workers says
 * who has it, and how it ended.
 */
import * as Schema from "effect/Schema";
import { Failure } from "./failure.ts";
import { ExecutionId, Tenant, Timestamp, WorkerInstanceId } from "./ids.ts";
import { Json } from "./json.ts";
import { record } from "./record.ts";
import { Department, RemoteCapabilities } from "./remote_needs.ts";
import { Route } from "./route.ts";

/** How an errand ended. */
export const ErrandOutcome = Schema.Union([
  Schema.Struct({ type: Schema.tag("success"), value: Schema.optionalKey(Json) }),
  Schema.Struct({ type: Schema.tag("failure"), failure: Failure }),
]);
export type ErrandOutcome = typeof ErrandOutcome.Type;

export const ErrandRecord = Schema.Struct({
  kind: Schema.tag("errand"),
  state: Schema.Literals(["waiting", "claimed", "ended"]),
  tenant: Tenant,
  execution: ExecutionId,
  /** The sequence of its start. */
  life: Schema.Natural,
  /** Which of its attempts asks. */
  turn: Schema.String,
  attempt: Schema.Natural,
  capabilities: RemoteCapabilities,
  department: Schema.optionalKey(Department),
  priority: Schema.Int,
  since: Timestamp,
  /** How long a worker has it without a sign of life. */
  leaseMs: Schema.Natural,
  /** How often it may be taken back before it is given up. */
  maxReclaims: Schema.Natural,
  route: Schema.optionalKey(Route),
  /** Counts those who were given it; whoever has it names the number with all that he says. */
  fence: Schema.Natural,
  /** How often it was taken back from a worker that was gone or silent. */
  reclaims: Schema.Natural,
  /** Who has it, or had it last, and by which of his registrations. */
  worker: Schema.optionalKey(WorkerInstanceId),
  session: Schema.optionalKey(Schema.String),
  /** Why it waits again. */
  why: Schema.optionalKey(Schema.Literals(["released", "silent", "gone", "replaced"])),
  /** How far somebody said that it had come. */
  progress: Schema.optionalKey(Json),
  outcome: Schema.optionalKey(ErrandOutcome),
});
export type ErrandRecord = typeof ErrandRecord.Type;

/** The body of a message of kind `errand`. */
export const errandRecord = record(1, Schema.Union([ErrandRecord]));

/** The signal by which an execution learns how its errand ended, and what waits for it. */
export const errandSignal = (turn: string): string => `weir.errand/${turn}`;

/** The errand that a wait is for, if it is for one. */
export const errandOfSignal = (signal: string): string | undefined =>
  signal.startsWith(errandSignal("")) ? signal.slice(errandSignal("").length) : undefined;
