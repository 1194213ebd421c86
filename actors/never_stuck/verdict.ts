/**
 * Whether an execution that has not ended still has a way out: a message that will be offered to a
 * worker, or a suspension in which every deadline is scheduled and something from outside is awaited.
 * It is decided from what was read of one moment; whether a child will answer is judged elsewhere.
 */
import type { Timestamp } from "../../schema/ids.ts";
import type { LeaseState } from "../../streams/lease.ts";
import type { Fate } from "../../streams/mailbox.ts";
import { timers } from "../core/decide.ts";
import { beginTimer, type ExecutionState, openOperations } from "../core/state.ts";
import { takeUpToReplay } from "../core/take_up.ts";

/** Why an execution will not go on by itself. */
export type Trouble =
  /** It has work to do, or its owner may die, and no message brings it to a worker. */
  | { readonly type: "unattended"; readonly why: string }
  /** The same, unless a message is still unacknowledged, which the server does not tell. */
  | { readonly type: "unproven"; readonly why: string }
  /** What was sent to it was acknowledged, and nobody has acted on it. */
  | { readonly type: "lostMail"; readonly mail: number; readonly why: string }
  /** A deadline that nothing will announce: not scheduled, or a schedule that came due in vain. */
  | {
    readonly type: "missingTimer" | "overdueTimer";
    readonly key: string;
    readonly due: Timestamp;
    readonly why: string;
  }
  /** It waits for another execution that will never tell how it ended. */
  | { readonly type: "lostChild"; readonly key: string; readonly why: string }
  /** Messages came for an execution that nobody has started. */
  | { readonly type: "neverStarted"; readonly why: string };

/** An execution that has not ended, as it was at one moment. */
export interface Evidence {
  readonly state: ExecutionState;
  /** The server's time. */
  readonly now: number;
  readonly graceMs: number;
  /** When the last record was stored, and the last sequences of its journal and its mailbox. */
  readonly lastAt: number;
  readonly journal: number;
  readonly mail: number;
  /** Of all its messages, the one that is best off. */
  readonly fate: Fate;
  readonly lease: LeaseState | undefined;
  /** Whether somebody holds the lease who is known to be there. */
  readonly isOwned: boolean;
  /** When its schedules are due, by the keys of timers. */
  readonly schedules: ReadonlyMap<string, number>;
}

const iso = (time: number): string => new Date(time).toISOString();

/** When it is to begin, or to try again. */
const begin = (state: ExecutionState) => {
  const due = state.promoted ?? state.retryAt ?? state.start?.record.notBefore;
  const key = beginTimer(state);
  return due === undefined || key === undefined ? undefined : { key, due };
};

/** The deadlines that must be scheduled while nobody owns it, and that to begin, if it has not. */
const awaited = (state: ExecutionState, now: number) => {
  const first = begin(state);
  const hasBegun = first === undefined ||
    (first.due <= now && (state.paused !== undefined || openOperations(state).length > 0));
  return { deadlines: timers(state), first: hasBegun ? undefined : first };
};

const overdue = ({ state, now, graceMs, schedules }: Evidence): ReadonlyArray<Trouble> => {
  const { deadlines, first } = awaited(state, now);
  return [...deadlines, ...(first === undefined ? [] : [first])].flatMap(({ key, due }) => {
    const scheduled = schedules.get(key);
    return scheduled === undefined || scheduled > now - graceMs ? [] : [{
      type: "overdueTimer" as const,
      key,
      due,
      why: `the schedule of ${key} came due at ${iso(scheduled)} and did not fire`,
    }];
  });
};

/** Whether its last owner let it go after all that it had to act on. */
const isLetGo = ({ lease, journal, mail }: Evidence): boolean =>
  lease?.record.kind === "released" && lease.revision > journal && lease.revision > mail;

const whyUnattended = (evidence: Evidence): string => {
  const { lease } = evidence;
  if (lease === undefined) return "nobody has ever claimed it, and its start is acknowledged";
  const { kind, workerInstanceId } = lease.record;
  return lease.held
    ? `its owner ${workerInstanceId} has acknowledged all that would bring it to another`
    : kind === "released"
    ? `something happened after ${workerInstanceId} had let it go, and is acknowledged`
    : `its last owner ${workerInstanceId} has lost it (${kind}), and everything is acknowledged`;
};

/** What keeps a suspended execution from going on, its children aside. */
const whileSuspended = (evidence: Evidence, state: ExecutionState): ReadonlyArray<Trouble> => {
  const { now, schedules } = evidence;
  const { deadlines, first } = awaited(state, now);
  const expected = first === undefined ? deadlines : [first, ...deadlines];
  const missing = expected.filter(({ key }) => !schedules.has(key)).map(({ key, due }) => ({
    type: "missingTimer" as const,
    key,
    due,
    why: `it waits until ${iso(due)} (${key}), and nothing is scheduled`,
  }));
  if (missing.length > 0) return missing;
  const isHeldBack = first !== undefined || state.paused !== undefined;
  const mustEnd = state.expired || state.cancel?.force === true;
  return !mustEnd && (isHeldBack || openOperations(state).length > 0)
    ? []
    : [{ type: "unattended", why: "it was let go although it waits for nothing" }];
};

/** Why an execution has no way out; nothing if it has one, as far as it does not await children. */
export const judge = (evidence: Evidence): ReadonlyArray<Trouble> => {
  const { state, fate, isOwned, lastAt, now, graceMs } = evidence;
  const after = takeUpToReplay(state);
  const [unread] = after.inbox;
  if (fate === "acked" && unread !== undefined) {
    const why = `${unread.record.kind} was acknowledged, and no record says what became of it`;
    return [{ type: "lostMail", mail: unread.sequence, why }];
  }
  if (after.done !== undefined) return [];
  const dead = overdue(evidence);
  if (fate === "unacked" || dead.length > 0) return dead;
  if (fate === "acked") {
    return isLetGo(evidence)
      ? whileSuspended(evidence, after)
      : [{ type: "unattended", why: whyUnattended(evidence) }];
  }
  const isQuiet = !isOwned && lastAt < now - graceMs;
  const isSuspended = isLetGo(evidence) && whileSuspended(evidence, after).length === 0;
  return !isQuiet || isSuspended
    ? []
    : [{ type: "unproven", why: `nobody owns it, and nothing happened since ${iso(lastAt)}` }];
};
