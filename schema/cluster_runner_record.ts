/**
 * The runners of Effect's cluster as the log knows them: who is there and until when the server keeps
 * saying so, and who holds which shard. A lock names the session under which it was taken, and is as
 * good as that; its own revision is what the server checks.
 */
import * as Schema from "effect/Schema";
import { record } from "./record.ts";

const Session = Schema.NonEmptyString;

export const ClusterRunnerRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.tag("runner"),
    address: Schema.String,
    /** Drawn at random with each registration. */
    session: Session,
    machineId: Schema.Natural,
    /** The runner as Effect encodes it. */
    runner: Schema.String,
    healthy: Schema.Boolean,
    /** Whether it takes no more shards, and only keeps the locks that it has until they are released. */
    leaving: Schema.optionalKey(Schema.Boolean),
  }),
  /** What another runner found out about this one; it ends with the session. */
  Schema.Struct({
    kind: Schema.tag("health"),
    session: Session,
    healthy: Schema.Boolean,
  }),
]);
export type ClusterRunnerRecord = typeof ClusterRunnerRecord.Type;

/** The value of a key `runner`. */
export const clusterRunnerRecord = record(1, ClusterRunnerRecord);

export const ShardLockRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.tag("locked"),
    address: Schema.String,
    session: Session,
  }),
  Schema.Struct({ kind: Schema.tag("unlocked") }),
]);
export type ShardLockRecord = typeof ShardLockRecord.Type;

/** The value of a key `lock`. */
export const shardLockRecord = record(1, ShardLockRecord);
