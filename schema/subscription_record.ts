/**
 * What the namespace knows of a durable subscription: which events it means, and up to where they
 * need not be handed out any more. Whatever a server keeps of it in consumers is made anew from
 * here, so that one record decides whether it exists, what it means and where it begins.
 */
import * as Schema from "effect/Schema";
import { ExecutionId, Tenant } from "./ids.ts";
import { record } from "./record.ts";

/** Which events of its family a subscription means; all, if it is empty. */
export const SubscriptionFilter = Schema.Struct({
  tenant: Schema.optionalKey(Tenant),
  executionId: Schema.optionalKey(ExecutionId),
  tag: Schema.optionalKey(
    Schema.Struct({ name: Schema.String, value: Schema.optionalKey(Schema.String) }),
  ),
});
export type SubscriptionFilter = typeof SubscriptionFilter.Type;

export const SubscriptionRecord = Schema.Struct({
  kind: Schema.tag("subscription"),
  filter: SubscriptionFilter,
  /** Higher with each creation and each reset. */
  generation: Schema.Natural,
  /** Of the streams that the positions are about. */
  incarnation: Schema.String,
  /** Shard by shard: everything up to here was handled, skipped, or told to be missing. */
  handled: Schema.Array(Schema.Struct({ sequence: Schema.Natural, at: Schema.Natural })),
  /** The cursor behind a gap that was told and that nobody has read on behind since. */
  told: Schema.optionalKey(Schema.String),
});
export type SubscriptionRecord = typeof SubscriptionRecord.Type;

/** The body of the bucket key `subscription.<family>.<name>`. */
export const subscriptionRecord = record(1, SubscriptionRecord);
