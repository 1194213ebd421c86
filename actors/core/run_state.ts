/**
 * In which of the nine states of a run an execution is, by its records, its lease and the time. It is
 * a projection: what it comes after, when it begins and who owns it are asked anew each time, and
 * nothing of the answer is stored.
 */
import * as HashMap from "effect/HashMap";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { RunState } from "../../schema/run_state.ts";
import type { LeaseState } from "../../streams/lease.ts";
import { afterKey, type ExecutionState, operation, startTag } from "./state.ts";
import { takeUpRest } from "./take_up.ts";

/** What is known of a lease by its last record. */
export type LastLease = Pick<LeaseState, "record" | "at" | "held">;

const ends: { readonly [Outcome in OutcomeRecord["type"]]: RunState } = {
  success: "completed",
  failure: "failed",
  expired: "failed",
  cancelled: "canceled",
  skipped: "canceled",
};

/** Whether everything has succeeded that it comes after. */
const isSatisfied = (state: ExecutionState): boolean =>
  (state.start?.record.task?.after ?? []).every((execution) => {
    const result = operation(state, afterKey(execution))?.settled?.result;
    return result?.type === "ended" && result.outcome.type === "success";
  });

/** Whether its code has left anything behind. */
const isBegun = ({ operations, failures, continued }: ExecutionState): boolean =>
  failures > 0 || continued !== undefined ||
  HashMap.some(
    operations,
    (_, key) => !key.startsWith(startTag("")) && !key.startsWith(afterKey("")),
  );

/** The state of an execution that has been started. */
export const runStateOf = (
  state: ExecutionState,
  lease: LastLease | undefined,
  now: number,
): RunState => {
  const known = takeUpRest(state);
  const { cancel, done, paused, retryAt = 0, start } = known;
  if (done !== undefined) return ends[done.record.outcome.type];
  if (retryAt > now) return "retryWait";
  const isHeld = lease?.held === true;
  if (isBegun(known)) {
    if (isHeld) return "running";
    const wasRunning = lease?.record.kind === "released" && lease.at >= retryAt;
    return wasRunning ? "suspended" : "ready";
  }
  if ((start?.record.notBefore ?? 0) > now || !isSatisfied(known)) return "scheduled";
  if (!isHeld) return "ready";
  return paused === undefined && cancel === undefined ? "running" : "leased";
};
