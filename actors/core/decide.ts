/**
 * From commands to records: what an owner writes for what its actor asks, or for the next message of
 * its mailbox, and what must follow once that is stored. Nothing is decided about an execution that
 * has ended but its replay. It draws no times: deadlines come with the command.
 */
import * as HashMap from "effect/HashMap";
import * as Result from "effect/Result";
import { type ExecutionId, type Tenant, Timestamp } from "../../schema/ids.ts";
import type { JournalRecord, LogRecord, TagRecord } from "../../schema/journal_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { Route } from "../../schema/route.ts";
import type { BudgetName } from "../../schema/budget.ts";
import type { Bound, Queued } from "../../schema/task.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import {
  attemptNote,
  belowKey,
  deadlineTimer,
  type ExecutionState,
  isOpen,
  isSignal,
  type Lack,
  lackOf,
  limitTimer,
  type Mail,
  openOperations,
  operation,
  type OperationKind,
  roomKey,
  tryTimer,
  turnSignal,
} from "./state.ts";
import { errandOfSignal } from "../../schema/errand_record.ts";

/** A child as its parent names it. */
export interface Child {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly route?: Route;
}

type Place = "life" | "index" | "mail";
type WithoutPlace<Record> = Record extends JournalRecord ? Omit<Record, Place> : never;

/** What an owner wants to record; its place in the journal is decided here. */
export type Command =
  | WithoutPlace<Exclude<LogRecord, { readonly kind: "claimed" | "replayed" }> | TagRecord>
  | {
    readonly kind: "done";
    readonly outcome: OutcomeRecord;
    readonly keepUntil?: Timestamp;
  };

/** The turn of a queue that the present attempt needs, if it needs one. */
export const turnOf = (state: ExecutionState): Turn | undefined => {
  const { queue, schedule } = state.start?.record.task ?? {};
  if (queue === undefined || schedule !== undefined) return undefined;
  const perAttempt = `attempt ${roundOf(state)}`;
  return { queue, turn: queue.hold === "per-attempt" ? perAttempt : `run ${state.replays}` };
};

/** The present attempt for who does not care how many owners it has had. */
export const roundOf = ({ replays, continued, failures }: ExecutionState): string =>
  `${replays}.${continued?.count ?? 0}.${failures}`;

/** The budgets that it is bound to; what a schedule says of them is for its runs. */
export const budgetsOf = (state: ExecutionState): ReadonlyArray<Bound> => {
  const { budgets = [], schedule } = state.start?.record.task ?? {};
  return schedule === undefined ? budgets : [];
};

/** How often the present attempt has waited for room in a budget, with the time that it waits now. */
const waitsForRoom = (state: ExecutionState): number => {
  if (budgetsOf(state).length === 0) return 0;
  const prefix = roomKey(`${state.attempt}.`);
  return HashMap.reduce(
    state.operations,
    0,
    (count, _, key) => key.startsWith(prefix) ? count + 1 : count,
  );
};

/** The present attempt, which is another for the clock each time that it has waited for a budget. */
export const attemptName = (state: ExecutionState): string => {
  const waits = waitsForRoom(state);
  return waits === 0 ? `${state.attempt}` : `${state.attempt}.${waits}`;
};

/** The wait for room in a budget that is under way, of this attempt or one before, or the next. */
export const roomTurn = (
  state: ExecutionState,
): { readonly turn: string; readonly signal?: string } => {
  if (budgetsOf(state).length === 0) return { turn: "" };
  for (const [key, operation] of HashMap.entries(state.operations)) {
    if (!isOpen(operation) || operation.kind !== "wait" || !key.startsWith(roomKey(""))) continue;
    return { turn: key.slice(roomKey("").length), signal: operation.signal };
  }
  return { turn: `${state.attempt}.${waitsForRoom(state) + 1}` };
};

/** Whether the present attempt may run as far as budgets are concerned, and has said so. */
export const hasRoom = (state: ExecutionState): boolean =>
  budgetsOf(state).length === 0 ||
  operation(state, attemptNote(attemptName(state)))?.settled !== undefined;

/** Whether the present attempt has begun, but waits for room in a budget. */
export const isHeldUp = (state: ExecutionState): boolean =>
  !hasRoom(state) &&
  HashMap.some(
    state.operations,
    (_, key) =>
      key === attemptNote(`${state.attempt}`) || key.startsWith(attemptNote(`${state.attempt}.`)),
  );

/** The turns that it had before, which its owner then may have died before giving up. */
export const formerTurns = (state: ExecutionState): ReadonlyArray<Turn> => {
  const present = turnOf(state);
  if (present === undefined) return [];
  return [...HashMap.keys(state.operations)]
    .filter((key) => key.startsWith(turnSignal("")) && key !== turnSignal(present.turn))
    .map((key) => ({ queue: present.queue, turn: key.slice(turnSignal("").length) }));
};

/** A turn of a queue. */
export interface Turn {
  readonly queue: Queued;
  readonly turn: string;
}

/** What must happen after an execution has ended; each may happen twice without harm. */
export type FollowUp =
  | { readonly type: "leave"; readonly turn: Turn }
  | ({ readonly type: "giveUp"; readonly turn: string } & Lack)
  /** What it has consumed is taken back, once for each time that it has ended. */
  | {
    readonly type: "release";
    readonly budgets: ReadonlyArray<BudgetName>;
    readonly replays: number;
  }
  /** What remote workers were asked for is not wanted any more. */
  | { readonly type: "withdraw"; readonly errand: string }
  | { readonly type: "cancelChild"; readonly child: Child }
  | {
    readonly type: "notify";
    readonly parent: ParentReference;
    readonly outcome: OutcomeRecord;
  };

/** Why a command is refused. */
export type Refusal =
  | { readonly type: "ended" }
  | { readonly type: "notStarted" }
  /** The operation is not in a state in which this can happen to it. */
  | { readonly type: "misplaced"; readonly key: string };

export const defaultLimits = { signals: 10_000, replays: 10 } as const;
export type Limits = { readonly signals: number; readonly replays: number };

/** The fields that every record begins with. */
const place = (state: ExecutionState, mail = state.mail) => ({
  life: state.life,
  index: state.index + 1,
  mail,
});

/** The kinds of operations of which a record takes an open one on; none: it opens a new one. */
const continued: { readonly [Kind in Command["kind"]]?: ReadonlyArray<OperationKind> } = {
  step: ["run"],
  stepFailed: ["run"],
  elapsed: ["sleep", "wait"],
  callFailed: ["call", "end"],
};

const isMisplaced = (
  state: ExecutionState,
  { kind, key }: Command & { readonly key: string },
): boolean => {
  const found = operation(state, key);
  const kinds = continued[kind];
  if (found === undefined) return kinds !== undefined && !kinds.includes("run");
  return found.settled !== undefined || kinds?.includes(found.kind) !== true;
};

/** The record that a command writes. */
export const decide = (
  state: ExecutionState,
  command: Command,
): Result.Result<JournalRecord, Refusal> => {
  if (state.start === undefined) return Result.fail({ type: "notStarted" });
  if (state.done !== undefined) return Result.fail({ type: "ended" });
  if ("key" in command && isMisplaced(state, command)) {
    return Result.fail({ type: "misplaced", key: command.key });
  }
  const isAnew = command.kind === "attemptFailed" || command.kind === "continued";
  if (isAnew && (state.cancel !== undefined || state.expired)) {
    return Result.fail({ type: "ended" });
  }
  if (command.kind === "waiting") return Result.succeed(wait(state, command));
  if (command.kind !== "done") return Result.succeed({ ...command, ...place(state) });
  return Result.succeed({
    ...command,
    ...place(state),
    attempt: state.attempt,
    startedAt: state.start.at,
  });
};

/** A wait takes the oldest signal of its name that came before it, or begins. */
const wait = (
  state: ExecutionState,
  command: Extract<Command, { readonly kind: "waiting" }>,
): JournalRecord => {
  const early = state.buffered.find(({ name }) => name === command.signal);
  if (early === undefined) return { ...command, ...place(state) };
  const { signalId, name, sequence, source } = early;
  return {
    kind: "signal",
    ...place(state),
    signalId,
    name,
    effect: "satisfied",
    sequence,
    key: command.key,
    ...(source === undefined ? {} : { source }),
    count: state.signals,
  };
};

/** What an owner must write before it may take up the first message of the inbox; often nothing. */
export const beforeTakingUp = (
  state: ExecutionState,
  limits: Limits = defaultLimits,
): JournalRecord | undefined => {
  const [mail] = state.inbox;
  if (mail === undefined) return undefined;
  if (isSignal(mail)) return deliver(state, mail, limits);
  if (mail.record.kind === "retry" && state.done !== undefined && state.replays < limits.replays) {
    return { kind: "replayed", ...place(state, mail.sequence), from: mail.record.from };
  }
  return undefined;
};

const deliver = (
  state: ExecutionState,
  { record, sequence }: Mail & { readonly record: { readonly kind: "signal" } },
  limits: Limits,
): JournalRecord => {
  const { key, name, signalId, source } = record;
  const delivery = {
    kind: "signal" as const,
    ...place(state, sequence),
    signalId,
    name,
    sequence,
    ...(source === undefined ? {} : { source }),
  };
  if (key !== undefined && isKnownKey(state, key)) {
    return { ...delivery, effect: "deduped", count: state.signals };
  }
  // However many others have sent, it is to learn that it may go on, or that its errand is done.
  const isTooMany = state.signals >= limits.signals && !isOfEngine(name);
  if (state.done !== undefined || isTooMany) {
    const raw = state.done === undefined ? "limit_exceeded" : "execution_ended";
    return { ...delivery, effect: { type: "other", raw }, count: state.signals };
  }
  const count = state.signals + 1;
  const waiting = openOperations(state).find(([, operation]) =>
    operation.kind === "wait" && operation.signal === name
  );
  return waiting === undefined
    ? { ...delivery, effect: "buffered", count }
    : { ...delivery, effect: "satisfied", key: waiting[0], count };
};

const isOfEngine = (signal: string): boolean =>
  signal.startsWith(turnSignal("")) || signal.startsWith(roomKey("")) ||
  errandOfSignal(signal) !== undefined;

const isKnownKey = ({ signalKeys, formerSignalKeys }: ExecutionState, key: string): boolean =>
  HashMap.has(signalKeys, key) || HashMap.has(formerSignalKeys, key);

/** Whom the end of an execution concerns. */
export const afterEnd = (
  state: ExecutionState,
  outcome: OutcomeRecord,
): ReadonlyArray<FollowUp> => {
  const parent = state.start?.record.parent;
  const called = parent === undefined || parent.key === belowKey ? [] : [parent];
  const turn = turnOf(state);
  return [
    ...(turn === undefined ? [] : [{ type: "leave", turn } as const]),
    ...waitsLeft(state),
    ...(outcome.type === "success" ? [] : released(state)),
    ...[...called, ...state.joins.filter(({ key }) => key !== belowKey)]
      .map((each) => answerTo(each, outcome)),
    ...givenUp(state),
  ];
};

/** The budgets that have back what a task has consumed that does not succeed. */
const released = (state: ExecutionState): ReadonlyArray<FollowUp> => {
  const budgets = budgetsOf(state).flatMap(({ name, release }) =>
    release === "on-failure" ? [name] : []
  );
  return budgets.length === 0 ? [] : [{ type: "release", budgets, replays: state.replays }];
};

/** The places among those who wait for a budget that nobody has called. */
const waitsLeft = (state: ExecutionState): ReadonlyArray<FollowUp> =>
  budgetsOf(state).length === 0
    ? []
    : [...HashMap.entries(state.operations)].flatMap(([key, operation]): Array<FollowUp> => {
      const lack = operation.kind === "wait" ? lackOf(operation.signal) : undefined;
      const isLeft = isOpen(operation) || operation.settled?.result.type === "cancelled";
      if (lack === undefined || !isLeft) return [];
      return [{ type: "giveUp", turn: key.slice(roomKey("").length), ...lack }];
    });

/** What somebody is told who asked how this execution ends: what was submitted below it ends as well. */
export const answerTo = (asked: ParentReference, outcome: OutcomeRecord): FollowUp =>
  asked.key === belowKey
    ? { type: "cancelChild", child: asked }
    : { type: "notify", parent: asked, outcome };

/** What others do for it, and need not go on with. */
export const givenUp = (state: ExecutionState): ReadonlyArray<FollowUp> => [
  ...errandsToWithdraw(state),
  ...childrenToCancel(state),
];

/** What remote workers were asked for, and have not done. */
export const errandsToWithdraw = (state: ExecutionState): ReadonlyArray<FollowUp> =>
  [...HashMap.values(state.operations)].flatMap((operation): ReadonlyArray<FollowUp> => {
    if (operation.kind !== "wait" || operation.settled?.result.type === "value") return [];
    const errand = errandOfSignal(operation.signal);
    return errand === undefined ? [] : [{ type: "withdraw", errand }];
  });

/** The children that do not outlive what called them. */
export const childrenToCancel = (state: ExecutionState): ReadonlyArray<FollowUp> => [
  ...[...HashMap.values(state.operations)].flatMap((operation): ReadonlyArray<FollowUp> => {
    if (operation.kind !== "call" && operation.kind !== "end") return [];
    const { onParentEnd, settled } = operation;
    const isRunning = settled === undefined || settled.result.type === "cancelled";
    return isRunning && onParentEnd === "cancel" ? [{ type: "cancelChild", child: operation }] : [];
  }),
  ...state.joins.flatMap((child): ReadonlyArray<FollowUp> =>
    child.key === belowKey ? [{ type: "cancelChild", child }] : []
  ),
];

/** When the whole must have ended; what is run again by hand has all the time. */
export const deadlineOf = (state: ExecutionState): Timestamp | undefined =>
  state.replays === 0 ? state.start?.record.deadline : undefined;

/** When the present attempt must have ended, if its time is limited, it has begun and goes on. */
export const attemptLimit = (state: ExecutionState): Timestamp | undefined => {
  const timeoutMs = state.start?.record.task?.timeoutMs;
  if (timeoutMs === undefined || state.cancel !== undefined) return undefined;
  const result = operation(state, attemptNote(attemptName(state)))?.settled?.result;
  return result?.type === "value" && typeof result.value === "number"
    ? Timestamp.make(Math.ceil(result.value) + timeoutMs)
    : undefined;
};

/** The deadlines that somebody must announce while nobody owns the execution. */
export const timers = (
  state: ExecutionState,
): ReadonlyArray<{ readonly key: string; readonly due: Timestamp }> => {
  if (state.done !== undefined || state.start === undefined) return [];
  const deadline = deadlineOf(state);
  const limit = attemptLimit(state);
  return [
    ...(limit === undefined ? [] : [{ key: limitTimer(attemptName(state)), due: limit }]),
    ...openOperations(state).flatMap(([key, operation]) => {
      if (operation.kind === "run") {
        const { retryAt, tries } = operation;
        return retryAt === undefined ? [] : [{ key: tryTimer(key, tries), due: retryAt }];
      }
      return (operation.kind === "sleep" || operation.kind === "wait") &&
          operation.due !== undefined
        ? [{ key, due: operation.due }]
        : [];
    }),
    ...(deadline === undefined || state.expired ? [] : [{ key: deadlineTimer, due: deadline }]),
  ];
};
