/**
 * What the records of one worker's session say in the words of `work_event.ts`: that it came, that it
 * is alive, and that it is gone. The server keeps the last of them alone, so this is for who follows
 * them as they come. Lanes are departments here, if a worker serves one alone.
 */
import type { SessionRecord } from "./session_record.ts";
import type { WorkFact } from "./work_event.ts";

/** A renewal comes when a third of the time is over. */
const heartbeats = 3;

/** What a session tells, given whether it was open before; nothing instead of it: it has ended. */
export const workOfSession = (
  worker: string,
  session: SessionRecord | undefined,
  wasOpen: boolean,
): ReadonlyArray<WorkFact> => {
  if (session === undefined) return wasOpen ? [{ kind: "actorDeregistered", actorId: worker }] : [];
  if (wasOpen) return [{ kind: "actorHeartbeat", actorId: worker }];
  const { capabilities = [], host, lanes = [], ttlMs } = session;
  const [department] = lanes;
  return [{
    kind: "actorRegistered",
    actorId: worker,
    identity: host ?? worker,
    capabilities,
    ...(department === undefined || lanes.length > 1 ? {} : { department }),
    heartbeatIntervalMs: Math.floor(ttlMs / heartbeats),
  }];
};
