/**
 * An execution as people see it: what it does, what it waits for, and why. Everything is derived from
 * its records and its lease; nothing is stored for it.
 */
import * as HashMap from "effect/HashMap";
import { errandOfSignal } from "../../schema/errand_record.ts";
import type { Awaited, ExecutionState as Rebuilt } from "../../schema/execution_state.ts";
import type { StepResult } from "../../schema/journal_record.ts";
import type { ExecutionStatus } from "../../streams/execution_index/status.ts";
import {
  beginOf,
  type ExecutionState,
  type Lack,
  lackOf,
  openOperations,
  turnSignal,
} from "./state.ts";

/** What keeps an execution from going on, in a word that programs can match. */
export type Reason =
  | "none"
  | "worker"
  | "capability"
  | "delay"
  | "retry"
  | "timer"
  | "signal"
  | "child"
  | "queue"
  | "budget"
  | "remote"
  | "operator"
  | "paused";

const awaitedBy = (state: ExecutionState): ReadonlyArray<Awaited> =>
  openOperations(state).flatMap(([key, operation]): ReadonlyArray<Awaited> => {
    const { since } = operation;
    switch (operation.kind) {
      case "run":
        return operation.retryAt === undefined || operation.failure === undefined
          ? []
          : [{ key, since, kind: "run", due: operation.retryAt, failure: operation.failure }];
      case "sleep":
        return [{ key, since, kind: "sleep", due: operation.due }];
      case "wait": {
        const { signal, due } = operation;
        return [{ key, since, kind: "wait", signal, ...(due === undefined ? {} : { due }) }];
      }
      case "call":
      case "end": {
        const { kind, execution, tenant } = operation;
        return [{ key, since, kind, execution, tenant }];
      }
      default:
        return [];
    }
  });

const steps = (state: ExecutionState): Readonly<Record<string, StepResult>> =>
  Object.fromEntries(
    [...HashMap.entries(state.operations)]
      .filter(([, { kind }]) => kind === "run")
      .sort(([, a], [, b]) => a.opened - b.opened)
      .flatMap(([key, { settled }]) =>
        settled?.result.type === "value" || settled?.result.type === "failure"
          ? [[key, settled.result] as const]
          : []
      ),
  );

const statusOf = (
  { done, paused }: ExecutionState,
  waitingFor: ReadonlyArray<Awaited>,
): Rebuilt["status"] => {
  if (done !== undefined) return done.record.outcome.type;
  if (paused !== undefined) return "paused";
  return waitingFor.length > 0 ? "waiting" : "running";
};

/** The state that the records alone give; the same as their events tell. */
export const shown = (state: ExecutionState): Rebuilt => {
  const { retryAt, paused, cancel, done } = state;
  const waitingFor = awaitedBy(state);
  return {
    status: statusOf(state, waitingFor),
    startedAt: state.start!.at,
    attempt: state.attempt,
    epoch: state.epoch,
    reclaims: state.reclaims,
    replays: state.replays,
    waitingFor: done === undefined ? waitingFor : [],
    ...(retryAt === undefined ? {} : { retryAt }),
    ...(paused === undefined ? {} : { paused }),
    ...(cancel === undefined ? {} : {
      cancel: {
        force: cancel.force,
        ...(cancel.reason === undefined ? {} : { reason: cancel.reason }),
      },
    }),
    expired: state.expired,
    steps: steps(state),
    tags: Object.fromEntries(HashMap.entries(state.tags)),
    cells: Object.fromEntries(HashMap.entries(state.cells)),
    buffered: state.buffered.map(({ signalId, name }) => ({ signalId, name })),
    signals: state.signals,
    ...(done === undefined ? {} : { outcome: done.record.outcome }),
  };
};

/** The status under which an execution is listed, given whether somebody owns it. */
export const publicStatus = (
  state: ExecutionState,
  isOwned: boolean,
  now: number,
): ExecutionStatus => {
  if (state.done !== undefined) {
    const { type } = state.done.record.outcome;
    return type === "success" ? "completed" : type === "failure" ? "failed" : type;
  }
  if (isOwned) return "active";
  if (state.paused !== undefined) return "paused";
  if (beginOf(state) > now) return "delayed";
  return openOperations(state).length > 0 ? "suspended" : "waiting";
};

const isForRoom = (awaited: Awaited): boolean =>
  awaited.kind === "wait" && lackOf(awaited.signal) !== undefined;

/** What there is too little of for it to go on. */
export const lackIn = ({ waitingFor }: Rebuilt): Lack | undefined => {
  const awaited = waitingFor.find(isForRoom);
  return awaited?.kind === "wait" ? lackOf(awaited.signal) : undefined;
};

/** Why it does not go on, for a person. */
export const because = (
  status: ExecutionStatus,
  { waitingFor, retryAt, paused }: Rebuilt,
): { readonly reason: Reason; readonly why: string } => {
  switch (status) {
    case "waiting":
      return { reason: "worker", why: "no worker has taken it up yet" };
    case "delayed":
      return retryAt === undefined
        ? { reason: "delay", why: "it was started with a delay" }
        : { reason: "retry", why: `the next attempt begins at ${new Date(retryAt).toISOString()}` };
    case "paused": {
      const note = paused?.reason === undefined ? "" : `: ${paused.reason}`;
      return { reason: "operator", why: `somebody paused it${note}` };
    }
    case "active":
    case "suspended": {
      // Nothing else that it awaits would have it go on.
      const first = waitingFor.find(isForRoom) ?? waitingFor[0];
      if (first === undefined) return { reason: "none", why: "it is running" };
      const { reason, why } = awaits(first);
      const rest = waitingFor.length - 1;
      return { reason, why: rest === 0 ? why : `${why}, and ${rest} more` };
    }
    default:
      return { reason: "none", why: `it has ended: ${status}` };
  }
};

const until = (due: number | undefined): string =>
  due === undefined ? "" : ` until ${new Date(due).toISOString()}`;

const awaits = (awaited: Awaited): { readonly reason: Reason; readonly why: string } => {
  switch (awaited.kind) {
    case "run":
      return {
        reason: "retry",
        why: `step ${awaited.key} failed (${awaited.failure.message}) and waits${
          until(awaited.due)
        }`,
      };
    case "sleep":
      return { reason: "timer", why: `it sleeps${until(awaited.due)} (${awaited.key})` };
    case "wait":
      if (awaited.signal.startsWith(turnSignal(""))) {
        return { reason: "queue", why: "it waits for its turn in its queue" };
      }
      if (lackOf(awaited.signal) !== undefined) {
        const { budget, dimension } = lackOf(awaited.signal)!;
        return { reason: "budget", why: `it waits for more ${dimension} in the budget ${budget}` };
      }
      if (errandOfSignal(awaited.signal) !== undefined) {
        return { reason: "remote", why: "it waits for a remote worker" };
      }
      return {
        reason: "signal",
        why: `it waits for the signal ${awaited.signal}${until(awaited.due)}`,
      };
    case "call":
    case "end":
      return { reason: "child", why: `it waits for ${awaited.execution}` };
  }
};
