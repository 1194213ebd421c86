/**
 * The LeaseHistory family: who came to own an execution and who ceased to, in the order in which the
 * log decided it. Kinds that a later release adds arrive as `other` with their fields in `raw`.
 */
import * as Schema from "effect/Schema";
import { familyEvent, otherFamilyEvent } from "./family.ts";
import { LeaseId, WorkerInstanceId } from "./ids.ts";

const holder = {
  leaseId: Schema.optionalKey(LeaseId),
  workerInstanceId: Schema.optionalKey(WorkerInstanceId),
};

/**
 * One change of an execution's lease.
 *
 * @example Making one, and telling them apart
 * ```ts
 * import { Cursor, ExecutionId, LeaseHistoryEvent, Timestamp } from "@weir/weir/schema";
 *
 * const event = LeaseHistoryEvent.cases.revoked.make({
 *   cursor: Cursor.make("AwE"),
 *   executionId: ExecutionId.make("order/o-1"),
 *   at: Timestamp.make(Date.now()),
 *   revokedBy: "operator",
 * });
 * if (event.type === "revoked") console.log(event.revokedBy);
 * ```
 */
export const LeaseHistoryEvent = Schema.Union([
  familyEvent("acquired", holder),
  familyEvent("renewed", holder),
  familyEvent("expired", {
    leaseId: Schema.optionalKey(LeaseId),
    previousOwner: Schema.optionalKey(WorkerInstanceId),
  }),
  familyEvent("reclaimed", {
    newLeaseId: Schema.optionalKey(LeaseId),
    newOwner: Schema.optionalKey(WorkerInstanceId),
  }),
  /** `revokedBy` is "operator", "reconciler" or "backend" today. */
  familyEvent("revoked", { leaseId: Schema.optionalKey(LeaseId), revokedBy: Schema.String }),
  familyEvent("released", holder),
  otherFamilyEvent(["acquired", "renewed", "expired", "reclaimed", "revoked", "released"]),
]).pipe(Schema.toTaggedUnion("type"));
export type LeaseHistoryEvent = typeof LeaseHistoryEvent.Type;
