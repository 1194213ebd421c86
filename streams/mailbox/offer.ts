/**
 * What a stored message means to a worker that is offered it: whose mail it is and how far its owner
 * must read. What stands where nothing of ours belongs has no meaning, and is offered to nobody. How
 * an offer is settled depends on the log and is not known here.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { type ExecutionId, executionIdentity, type Tenant } from "../../schema/ids.ts";
import type { Route } from "../../schema/route.ts";
import { wakeRecord } from "../../schema/wake_record.ts";
import type { Entry } from "../log.ts";
import type { Delivery } from "../mailbox.ts";
import { addressOfSubject, executionOfSubject, type Layout } from "../subjects.ts";

/** What of a delivery the message itself tells. */
export type Offer = Pick<
  Delivery,
  "entry" | "address" | "tenant" | "execution" | "actor" | "route" | "mail" | "begins"
>;

/** What a message stands for: how far the owner must read, and whether that is known to be a start. */
type Meaning = Pick<Delivery, "mail" | "begins">;

const meaningOf = (entry: Entry, route: Route | undefined): Meaning | undefined => {
  if (route === undefined) return { mail: entry.sequence, begins: false };
  const wake = Effect.runSyncExit(wakeRecord.decode(entry.body, entry));
  if (!Exit.isSuccess(wake) || wake.value.kind !== "wake") return undefined;
  const { mail, begins = false } = wake.value;
  return { mail, begins };
};

/** What an entry offers, or nothing if it is not ours. */
export const offerOf = (
  layout: Layout,
  entry: Entry,
  route: Route | undefined,
): Offer | undefined => offerFor(layout, entry, route, meaningOf(entry, route));

/** The same, if it is known already what it stands for. */
export const offerFor = (
  layout: Layout,
  entry: Entry,
  route: Route | undefined,
  meaning: Meaning | undefined,
): Offer | undefined => {
  const address = addressOfSubject(layout, entry.shard, entry.subject);
  const named = executionOfSubject(entry.subject);
  if (address === undefined || named === undefined || meaning === undefined) return undefined;
  // An address was found, so both have been checked.
  const execution = named.execution as ExecutionId;
  const tenant = named.tenant as Tenant;
  const { actor } = executionIdentity(execution);
  return actor === undefined
    ? undefined
    : { entry, address, tenant, execution, actor, route, ...meaning };
};
