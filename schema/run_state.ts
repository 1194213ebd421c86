/**
 * The nine states of a run, and which of them may follow which: a run only ever goes forward, and one
 * that has come to an end stays there. In which state an execution is follows from its records, in
 * `actors/core/run_state.ts`; nothing stores it.
 */
import * as Schema from "effect/Schema";

export const RunState = Schema.Literals([
  "scheduled",
  "ready",
  "leased",
  "running",
  "retryWait",
  "suspended",
  "completed",
  "failed",
  "canceled",
]);
export type RunState = typeof RunState.Type;

/**
 * What may follow each state, the usual first. Whoever comes from running back to ready has either
 * failed or been suspended between.
 */
const followers: { readonly [State in RunState]: ReadonlyArray<RunState> } = {
  scheduled: ["ready", "canceled"],
  ready: ["leased", "canceled"],
  leased: ["running", "ready", "canceled"],
  running: ["retryWait", "suspended", "completed", "failed", "canceled"],
  retryWait: ["ready", "failed", "canceled"],
  suspended: ["ready", "canceled"],
  completed: [],
  failed: [],
  canceled: [],
};

/** Whether a run may go from one state to the other in one step. */
export const isValidTransition = (from: RunState, to: RunState): boolean =>
  followers[from].includes(to);

/** Whether nothing follows a state any more. */
export const isFinal = (state: RunState): boolean => followers[state].length === 0;

/** The states on the shortest way from one to the other, without the first; none, if there is no way. */
export const wayTo = (from: RunState, to: RunState): ReadonlyArray<RunState> | undefined => {
  if (from === to) return [];
  const ways: Array<ReadonlyArray<RunState>> = [[from]];
  const seen = new Set<RunState>([from]);
  for (const way of ways) {
    for (const next of followers[way.at(-1)!]) {
      if (next === to) return [...way.slice(1), next];
      if (seen.has(next)) continue;
      seen.add(next);
      ways.push([...way, next]);
    }
  }
  return undefined;
};
