/**
 * What the records of a remote worker say in the words of `work_event.ts`: that it came or can do
 * something else now, that it is alive, and that it is gone. That it is alive is recorded once a minute
 * at most, so that many heartbeats are told as one.
 */
import type { RemoteRecord } from "./remote_record.ts";
import type { WorkFact } from "./work_event.ts";

export const workOfRemote = (
  { state, worker, capabilities, department, heartbeatMs }: RemoteRecord,
): ReadonlyArray<WorkFact> => {
  switch (state) {
    case "registered":
      return [{
        kind: "actorRegistered",
        actorId: worker,
        identity: worker,
        capabilities,
        ...(department === undefined ? {} : { department }),
        heartbeatIntervalMs: heartbeatMs,
      }];
    case "alive":
      return [{ kind: "actorHeartbeat", actorId: worker }];
    case "gone":
      return [{ kind: "actorDeregistered", actorId: worker }];
  }
};
