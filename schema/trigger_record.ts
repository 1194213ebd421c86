/**
 * A trigger from one change to the next: each record says what has changed and all that holds since,
 * so that the last one is enough to go on with. That a trigger has fired is decided by one record,
 * before anything is done; that it has been done is another, which is written until it is true.
 */
import * as Schema from "effect/Schema";
import { Principal } from "./access_names.ts";
import { Failure } from "./failure.ts";
import { ExecutionId, Tenant, Timestamp } from "./ids.ts";
import { Json } from "./json.ts";
import { record } from "./record.ts";
import { EmittedId, EventKey, Then, TriggerId, When } from "./trigger.ts";

/** Something that happened, where in the log that stands, and what is to be handed on of it. */
export const Happening = Schema.Struct({
  shard: Schema.Natural,
  sequence: Schema.Natural,
  at: Timestamp,
  what: Schema.optionalKey(Json),
  /** How many triggers led from one to the next until this happened. */
  depth: Schema.Natural,
});
export type Happening = typeof Happening.Type;

export const TriggerChange = Schema.Union([
  Schema.Struct({ type: Schema.tag("created") }),
  /** It fires; what it does is under way until the next record. */
  Schema.Struct({ type: Schema.tag("triggered"), by: Happening }),
  /** What it does has been done, or cannot be done. */
  Schema.Struct({ type: Schema.tag("acted"), failure: Schema.optionalKey(Failure) }),
  /** Too many triggers had led to it, so that it did not fire. */
  Schema.Struct({ type: Schema.tag("refused"), by: Happening, limit: Schema.Natural }),
  Schema.Struct({ type: Schema.tag("cancelled"), by: Schema.optionalKey(Principal) }),
]).pipe(Schema.toTaggedUnion("type"));
export type TriggerChange = typeof TriggerChange.Type;

export const TriggerRecord = Schema.Struct({
  kind: Schema.tag("trigger"),
  tenant: Tenant,
  id: TriggerId,
  when: When,
  then: Then,
  /** Whether it goes on after it has fired. */
  standing: Schema.Boolean,
  change: TriggerChange,
  state: Schema.Literals(["active", "over", "cancelled"]),
  /** By shard, the last record that counts no more: what happens behind it is new. */
  seen: Schema.Record(Schema.String, Schema.Natural),
  /** Whether usage of its budget was above its percentage there. */
  above: Schema.optionalKey(Schema.Boolean),
  /** How often it has fired. */
  fired: Schema.Natural,
  /** What it has fired for and has not acted on yet. */
  pending: Schema.optionalKey(Happening),
  /** What it has fired for last, and why it could not act on that. */
  last: Schema.optionalKey(
    Schema.Struct({ by: Happening, failure: Schema.optionalKey(Failure) }),
  ),
  createdAt: Timestamp,
  endedAt: Schema.optionalKey(Timestamp),
  /** Who created it, if that was done for somebody. */
  by: Schema.optionalKey(Principal),
});
export type TriggerRecord = typeof TriggerRecord.Type;

/** The body of the bucket key `trigger.<tenant>.<id>`. */
export const triggerRecord = record(1, TriggerRecord);

/** An event of somebody's own. */
export const EmittedRecord = Schema.Struct({
  kind: Schema.tag("emitted"),
  key: EventKey,
  payload: Schema.optionalKey(Json),
  id: Schema.optionalKey(EmittedId),
  /** The execution whose code emitted it. */
  execution: Schema.optionalKey(ExecutionId),
});
export type EmittedRecord = typeof EmittedRecord.Type;

/** The body of a message on a subject `emitted`. */
export const emittedRecord = record(1, EmittedRecord);
