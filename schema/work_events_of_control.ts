/**
 * What the records of engine control say in the words of `work_event.ts`: that work is not taken up
 * any more, and that it is again. Whether starts are accepted has no word there, and nothing tells it.
 */
import { type ControlRecord, takesUp } from "./control_record.ts";
import type { WorkFact } from "./work_event.ts";

export const workOfControl = (
  { tenant, lane, state, before, reason, by }: ControlRecord,
): ReadonlyArray<WorkFact> => {
  if (takesUp(state) === takesUp(before)) return [];
  return [{
    kind: takesUp(state) ? "engineResumed" : "enginePaused",
    ...(tenant === undefined ? {} : { tenantId: tenant }),
    ...(lane === undefined ? {} : { lane }),
    ...(reason === undefined ? {} : { reason }),
    ...(by === undefined ? {} : { actorId: by }),
  }];
};
