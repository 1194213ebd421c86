/**
 * What an owner takes up by itself: the messages before the first about which it must write. Readers
 * who own nothing see an execution with these taken up, since its owner would at once.
 */
import { beforeTakingUp } from "./decide.ts";
import { takeUp } from "./evolve.ts";
import type { ExecutionState } from "./state.ts";

/** The state behind every message that needs no record. */
export const takeUpRest = (state: ExecutionState): ExecutionState => {
  let next = state;
  while (next.inbox.length > 0 && beforeTakingUp(next) === undefined) next = takeUp(next);
  return next;
};

/** The same of what may have ended, which answers nothing but a request to run it again. */
export const takeUpToReplay = (state: ExecutionState): ExecutionState => {
  let next = takeUpRest(state);
  while (next.done !== undefined && next.inbox.length > 0) {
    if (next.inbox[0]!.record.kind === "retry") break;
    next = takeUpRest(takeUp(next));
  }
  return next;
};
