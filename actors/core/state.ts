/**
 * Where one life of an execution stands, as its records say. It is a value: replaying the same
 * records gives an equal one, on any machine and at any time. What a record changes is `evolve.ts`,
 * what a command writes is `decide.ts`.
 */
import * as HashMap from "effect/HashMap";
import { errandOfSignal } from "../../schema/errand_record.ts";
import type { Failure } from "../../schema/failure.ts";
import type { ActorName, ExecutionId, SignalId, Tenant, Timestamp } from "../../schema/ids.ts";
import type { DoneRecord } from "../../schema/journal_record.ts";
import type { MailRecord, SignalMail, StartRecord } from "../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Route } from "../../schema/route.ts";
import type * as Schema from "effect/Schema";

type Json = Schema.Json;

/** One message as it lies in the mailbox. */
export interface Mail<Record extends MailRecord = MailRecord> {
  readonly sequence: number;
  readonly at: Timestamp;
  readonly record: Record;
}

/** What an operation gave. */
export type Result =
  | { readonly type: "value"; readonly value?: Json }
  | { readonly type: "failure"; readonly failure: Failure }
  /** A wait that nobody answered in time. */
  | { readonly type: "timeout" }
  | { readonly type: "ended"; readonly outcome: OutcomeRecord }
  /** It was given up because the execution is cancelled. */
  | { readonly type: "cancelled" };

/** A result, and its place in the order in which results came. */
export interface Settled {
  readonly order: number;
  readonly result: Result;
}

/** What an operation is about. */
export type Matter =
  | {
    readonly kind: "run";
    /** How often it has failed so far, and when it is tried again. */
    readonly tries: number;
    readonly failure?: Failure;
    readonly retryAt?: Timestamp;
    readonly progress?: Json;
  }
  | { readonly kind: "sleep"; readonly due: Timestamp }
  | { readonly kind: "wait"; readonly signal: string; readonly due?: Timestamp }
  | {
    readonly kind: "call" | "spawn" | "end";
    readonly actor: ActorName;
    readonly execution: ExecutionId;
    readonly tenant: Tenant;
    readonly route?: Route;
    readonly onParentEnd: "cancel" | "abandon";
  }
  | { readonly kind: "note" | "cell" | "tag" };

/** One named thing that an actor did or awaits. */
export type Operation = Matter & {
  /** Counts operations as they were first recorded, from 1. */
  readonly opened: number;
  readonly since: Timestamp;
  readonly settled?: Settled;
};
export type OperationKind = Operation["kind"];

/** A signal that no wait has taken yet. */
export interface BufferedSignal {
  readonly sequence: number;
  readonly signalId: SignalId;
  readonly name: string;
  readonly payload?: Json;
  readonly source?: string;
}

export interface ExecutionState {
  /** The sequence of the start; 0 while there is none. */
  readonly life: number;
  readonly start: Mail<StartRecord> | undefined;
  /** The number of the last journal record. */
  readonly index: number;
  /** The sequence of the last mailbox message taken up. */
  readonly mail: number;
  /** What lies in the mailbox behind that, in order. */
  readonly inbox: ReadonlyArray<Mail>;
  readonly operations: HashMap.HashMap<string, Operation>;
  /** How many operations have been opened, and how many results there are. */
  readonly opened: number;
  readonly settled: number;
  readonly buffered: ReadonlyArray<BufferedSignal>;
  /** Signals by their sender's key: those that wait or came since it was last continued. */
  readonly signalKeys: HashMap.HashMap<string, SignalId>;
  /** Those that came in the run before. */
  readonly formerSignalKeys: HashMap.HashMap<string, SignalId>;
  readonly signals: number;
  readonly cells: HashMap.HashMap<string, Json>;
  readonly tags: HashMap.HashMap<string, string>;
  /** A request to cancel, and its place in the order of results. */
  readonly cancel:
    | { readonly order: number; readonly force: boolean; readonly reason?: string }
    | undefined;
  readonly paused: { readonly reason?: string } | undefined;
  /** Whether the deadline of the whole execution has been announced. */
  readonly expired: boolean;
  /** Attempts that failed since the start or the last replay, and when the next begins. */
  readonly failures: number;
  readonly retryAt: Timestamp | undefined;
  /** When somebody said that it is to wait for its time no more. */
  readonly promoted: Timestamp | undefined;
  readonly attempt: number;
  readonly epoch: number;
  readonly replays: number;
  /** A request to run again what is finished. */
  readonly retry: "failure" | "start" | undefined;
  readonly joins: ReadonlyArray<ParentReference>;
  /** Takeovers from owners that failed, in a row. */
  readonly reclaims: number;
  /** Whether anything was recorded since the last takeover. */
  readonly progress: boolean;
  /** How often it was continued, and with what input and behind how many operations last. */
  readonly continued:
    | { readonly count: number; readonly opened: number; readonly input?: Json }
    | undefined;
  readonly done: { readonly record: DoneRecord; readonly at: Timestamp } | undefined;
}

export const initial: ExecutionState = {
  life: 0,
  start: undefined,
  index: 0,
  mail: 0,
  inbox: [],
  operations: HashMap.empty(),
  opened: 0,
  settled: 0,
  buffered: [],
  signalKeys: HashMap.empty(),
  formerSignalKeys: HashMap.empty(),
  signals: 0,
  cells: HashMap.empty(),
  tags: HashMap.empty(),
  cancel: undefined,
  paused: undefined,
  expired: false,
  failures: 0,
  retryAt: undefined,
  promoted: undefined,
  attempt: 0,
  epoch: 0,
  replays: 0,
  retry: undefined,
  joins: [],
  reclaims: 0,
  progress: false,
  continued: undefined,
  done: undefined,
};

export const operation = (state: ExecutionState, key: string): Operation | undefined => {
  const found = HashMap.get(state.operations, key);
  return found._tag === "Some" ? found.value : undefined;
};

/** When the present attempt may begin; once one has failed, what the first one waited for is over. */
export const beginOf = ({ start, retryAt, promoted }: ExecutionState): number =>
  promoted === undefined ? retryAt ?? start?.record.notBefore ?? 0 : 0;

/** The timer that announces when it may begin; none, if it waits for no time. */
export const beginTimer = ({ start, retryAt, failures }: ExecutionState): string | undefined => {
  if (retryAt !== undefined) return attemptTimer(failures);
  return start?.record.notBefore === undefined ? undefined : delayTimer;
};

/** What the code is given. */
export const inputOf = (state: ExecutionState): Json | undefined =>
  state.continued === undefined ? state.start?.record.input : state.continued.input;

export const isOpen = (operation: Operation): boolean => operation.settled === undefined;

/** What is open, in the order in which it was opened. */
export const openOperations = (
  state: ExecutionState,
): ReadonlyArray<readonly [key: string, operation: Operation]> =>
  [...HashMap.entries(state.operations)]
    .filter(([, operation]) => isOpen(operation))
    .sort(([, a], [, b]) => a.opened - b.opened);

/**
 * The keys of timers that are not of a sleep or a wait. A key never stands for two deadlines, since
 * the server may lose the second while it announces the first.
 */
export const deadlineTimer = "weir.deadline";
export const delayTimer = "weir.delay";
export const attemptTimer = (failures: number): string => `weir.attempt/${failures}`;
/** What is noted when an attempt begins whose time is limited, and the timer of its end. */
export const attemptNote = (attempt: string): string => `weir.attempt/${attempt}`;
export const limitTimer = (attempt: string): string => `weir.limit/${attempt}`;
export const tryTimer = (key: string, tries: number): string => `weir.try/${tries}/${key}`;

/** The key under which a tag is known that the execution was started with. */
export const startTag = (name: string): string => `weir.start/${name}`;

/** The key under which the end of an execution is known that this one comes after. */
export const afterKey = (execution: string): string => `weir.after/${execution}`;

/** What is noted when an execution has made itself known to the one below which it was submitted. */
export const belowKey = "weir.below";

/** The signal by which an execution learns that it is its turn, and what waits for it. */
export const turnSignal = (turn: string): string => `weir.turn/${turn}`;

/** What waits for room in a budget, and all that its signal is to say. */
export const roomKey = (turn: string): string => `weir.budget/${turn}`;
export const roomSignal = (turn: string, { budget, dimension }: Lack): string =>
  `${roomKey(turn)}/${dimension}/${budget}`;

/** What is noted when something was not begun for want of a budget. */
export const lackNote = (round: string, before: string): string =>
  `weir.exhausted/${round}/${before}`;

/** What there is too little of. */
export interface Lack {
  readonly budget: string;
  readonly dimension: string;
}

/** What a signal of the engine's own is awaited for; nothing, if it is another. */
export const lackOf = (signal: string): Lack | undefined => {
  if (!signal.startsWith(roomKey(""))) return undefined;
  const [, , dimension = "", ...rest] = signal.split("/");
  return { dimension, budget: rest.join("/") };
};

/** Whether it waits for a remote worker, which only its own attempt does. */
export const isErrand = (operation: Operation): boolean =>
  operation.kind === "wait" && errandOfSignal(operation.signal) !== undefined;

/** The key under which the end of a spawned child is known. */
export const endOf = (key: string): string => `weir.end/${key}`;

/** The signals in the mailbox that are not taken up yet. */
export const isSignal = (mail: Mail): mail is Mail<SignalMail> => mail.record.kind === "signal";
