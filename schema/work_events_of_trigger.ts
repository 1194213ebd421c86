/**
 * What the records of a trigger say in the words of `work_event.ts`, where it is a subscription: each
 * kind is told by the one record that makes it so. That it has acted, or was refused, has no word.
 */
import type * as Schema from "effect/Schema";
import { ExecutionId } from "./ids.ts";
import type { TriggerRecord } from "./trigger_record.ts";
import type { WorkFact } from "./work_event.ts";

/** Whom a trigger is for: the execution that it tells, or one that it will start. */
const taskOf = ({ id, then }: TriggerRecord): ExecutionId => {
  if ("promote" in then) return then.promote;
  if ("signal" in then) return then.signal;
  return ExecutionId.make(`${then.submit}/${then.id ?? id}`);
};

export const workOfTrigger = (record: TriggerRecord): ReadonlyArray<WorkFact> => {
  const subscriptionId = record.id;
  switch (record.change.type) {
    case "created":
      return [{
        kind: "subscriptionCreated",
        subscriptionId,
        taskId: taskOf(record),
        filter: record.when as Schema.Json,
      }];
    case "triggered":
      return [{ kind: "subscriptionTriggered", subscriptionId }];
    case "cancelled":
      return [{ kind: "subscriptionCanceled", subscriptionId }];
    case "acted":
    case "refused":
      return [];
  }
};
