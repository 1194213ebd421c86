/**
 * A remote worker's registration as the log has it. That it is alive is recorded once a minute, however
 * often it says so; that it is gone, always, and with it what it had is given to others.
 */
import * as Schema from "effect/Schema";
import { Tenant, Timestamp, WorkerInstanceId } from "./ids.ts";
import { record } from "./record.ts";
import { Department, RemoteCapabilities } from "./remote_needs.ts";

/** Why a remote worker is registered no more. */
export const RemoteEnd = Schema.Literals(["deregistered", "silent", "replaced", "removed"]);

export const RemoteRecord = Schema.Struct({
  kind: Schema.tag("remote"),
  state: Schema.Literals(["registered", "alive", "gone"]),
  tenant: Tenant,
  /** The name that it gave itself. */
  worker: WorkerInstanceId,
  /** Drawn for each registration. */
  session: Schema.String,
  capabilities: RemoteCapabilities,
  department: Schema.optionalKey(Department),
  heartbeatMs: Schema.Natural,
  registeredAt: Timestamp,
  why: Schema.optionalKey(RemoteEnd),
});
export type RemoteRecord = typeof RemoteRecord.Type;

/** The body of a message of kind `remote`. */
export const remoteRecord = record(1, Schema.Union([RemoteRecord]));
