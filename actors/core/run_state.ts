/**
 * In which of the nine states of a run an execution is, by its records, its lease and the time. It is
 * a projection: what it comes after, when it begins, whose turn it is and who owns it are asked anew
 * each time, and nothing of the answer is stored.
 */
import * as HashMap from "effect/HashMap";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { RunState } from "../../schema/run_state.ts";
import type { LeaseState } from "../../streams/lease.ts";
import { hasRoom, isHeldUp, turnOf } from "./decide.ts";
import {
  afterKey,
  beginOf,
  type ExecutionState,
  openOperations,
  operation,
  roomKey,
  startTag,
  turnSignal,
} from "./state.ts";
import { takeUpRest } from "./take_up.ts";

/** What is known of a lease by its last record. */
export type LastLease = Pick<LeaseState, "record" | "at" | "held">;

export const endStates: { readonly [Outcome in OutcomeRecord["type"]]: RunState } = {
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

/** Whether it may run, as far as its queue is concerned. */
const hasTurn = (state: ExecutionState): boolean => {
  const turn = turnOf(state)?.turn;
  return turn === undefined ||
    operation(state, turnSignal(turn))?.settled?.result.type === "value";
};

/** What is there before any of its code. */
const prefixes = [startTag(""), afterKey(""), turnSignal(""), roomKey("")];

/** Whether its code has left anything behind. */
export const isBegun = ({ operations, failures, continued }: ExecutionState): boolean =>
  failures > 0 || continued !== undefined ||
  HashMap.some(operations, (_, key) => !prefixes.some((prefix) => key.startsWith(prefix)));

/** The state of an execution that has been started. */
export const runStateOf = (
  state: ExecutionState,
  lease: LastLease | undefined,
  now: number,
): RunState => {
  const known = takeUpRest(state);
  const { cancel, done, paused, promoted = Infinity } = known;
  if (done !== undefined) return endStates[done.record.outcome.type];
  const retryAt = Math.min(known.retryAt ?? 0, promoted);
  if (retryAt > now) return "retryWait";
  const isHeld = lease?.held === true;
  const begun = isBegun(known);
  const isDue = beginOf(known) <= now && isSatisfied(known);
  if (!begun && !isDue) return "scheduled";
  if (isHeldUp(known)) return "suspended";
  if (!hasTurn(known) || !hasRoom(known)) return "ready";
  if (isHeld) {
    const isBeginning = begun || (paused === undefined && cancel === undefined);
    return isBeginning ? "running" : "leased";
  }
  if (!begun || lease?.record.kind !== "released") return "ready";
  // Whoever let it go between two attempts had begun nothing of the next.
  const isBetween = retryAt > 0 &&
    (retryAt > lease.at || (openOperations(known).length === 0 && lease.record.atRest === true));
  return isBetween ? "ready" : "suspended";
};
