/**
 * The way back from `journal_events.ts`: where an execution of the engine stands, by the events that
 * tell its journal and by nothing else. What was appended among them changes nothing, and messages
 * count when the owner took them up, as for the engine itself. It knows no clock.
 */
import type * as Schema from "effect/Schema";
import { errandOfSignal } from "./errand_record.ts";
import type { Failure } from "./failure.ts";
import type { ExecutionId, SignalId, Tenant, Timestamp } from "./ids.ts";
import type { JournalRecord, SignalRecord, StepResult } from "./journal_record.ts";
import type { MailRecord, StartRecord } from "./mail_record.ts";
import type { OutcomeRecord } from "./outcome_record.ts";
import type { StoredEvent } from "./stored_event.ts";
import { recordOf, type ToldMail } from "./told_record.ts";

type Json = Schema.Json;

/** What an execution waits for, and since when. */
export type Awaited = { readonly key: string; readonly since: Timestamp } & AwaitedMatter;

type AwaitedMatter =
  /** A step that failed and is tried again. */
  | { readonly kind: "run"; readonly due: Timestamp; readonly failure: Failure }
  | { readonly kind: "sleep"; readonly due: Timestamp }
  | { readonly kind: "wait"; readonly signal: string; readonly due?: Timestamp }
  /** A child: `call` by its parent's code, `end` of one that was spawned. */
  | { readonly kind: "call" | "end"; readonly execution: ExecutionId; readonly tenant: Tenant };

/** Where an execution stands. */
export interface ExecutionState {
  /** Its outcome if it has ended; `waiting` if something is awaited, and it is not paused. */
  readonly status: "running" | "waiting" | "paused" | OutcomeRecord["type"];
  readonly startedAt: Timestamp;
  readonly attempt: number;
  /** Of the last takeover; 0 under the first owner. */
  readonly epoch: number;
  readonly reclaims: number;
  readonly replays: number;
  /** In the order in which it began to wait. */
  readonly waitingFor: ReadonlyArray<Awaited>;
  /** When the next attempt begins, or began, after one that failed. */
  readonly retryAt?: Timestamp;
  readonly paused?: { readonly reason?: string };
  readonly cancel?: { readonly force: boolean; readonly reason?: string };
  /** Whether the deadline of the whole execution has passed. */
  readonly expired: boolean;
  readonly steps: Readonly<Record<string, StepResult>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly cells: Readonly<Record<string, Json>>;
  /** The signals that no wait has taken, oldest first. */
  readonly buffered: ReadonlyArray<{ readonly signalId: SignalId; readonly name: string }>;
  /** How many signals were taken up. */
  readonly signals: number;
  readonly outcome?: OutcomeRecord;
}

/** One thing that the execution did or awaits, by its key. */
interface Operation {
  readonly since: Timestamp;
  readonly awaited: AwaitedMatter | undefined;
  readonly result: StepResult | undefined;
  /** Whether it is over, and whether a new attempt goes by how it ended. */
  readonly settled: "kept" | "forgotten" | undefined;
  /** Whether it is a child that ends with its parent. */
  readonly isDependent: boolean;
}

/** The state while it is rebuilt. */
class Rebuilding {
  readonly start: StartRecord;
  readonly startedAt: Timestamp;
  attempt = 0;
  epoch = 0;
  reclaims = 0;
  replays = 0;
  retryAt: Timestamp | undefined;
  paused: { readonly reason?: string } | undefined;
  cancel: { readonly force: boolean; readonly reason?: string } | undefined;
  expired = false;
  operations = new Map<string, Operation>();
  readonly tags: Map<string, string>;
  readonly cells = new Map<string, Json>();
  buffered: Array<{
    readonly signalId: SignalId;
    readonly name: string;
    readonly sequence: number;
  }> = [];
  signals = 0;
  outcome: OutcomeRecord | undefined;
  inbox: Array<ToldMail> = [];

  constructor(start: StartRecord, startedAt: Timestamp) {
    this.start = start;
    this.startedAt = startedAt;
    this.tags = new Map(Object.entries(start.tags ?? {}));
  }

  open(key: string, awaited: AwaitedMatter, at: Timestamp, isDependent = false): void {
    const since = this.operations.get(key)?.since ?? at;
    const settled = undefined;
    this.operations.set(key, { since, awaited, result: undefined, settled, isDependent });
  }

  settle(key: string, settled: "kept" | "forgotten"): void {
    const found = this.operations.get(key);
    if (found === undefined || found.settled !== undefined) return;
    this.operations.set(key, { ...found, settled });
  }

  isDueAt(key: string, due: Timestamp): boolean {
    const awaited = this.operations.get(key)?.awaited;
    return (awaited?.kind === "sleep" || awaited?.kind === "wait") && awaited.due === due;
  }

  elapse(key: string): void {
    const kind = this.operations.get(key)?.awaited?.kind;
    if (kind === "sleep" || kind === "wait") this.settle(key, "kept");
  }

  /** A new attempt begins with what succeeded, and with what is still awaited. */
  forgetFailures(): void {
    for (const [key, { settled, awaited, result }] of this.operations) {
      const isErrand = awaited?.kind === "wait" && errandOfSignal(awaited.signal) !== undefined;
      const isUnfinished = settled === undefined && (awaited?.kind === "run" || isErrand);
      if (isUnfinished || settled === "forgotten" || result?.type === "failure") {
        this.operations.delete(key);
      }
    }
  }

  /** Another attempt after the end, which has cancelled the children that were awaited. */
  forgetDependents(): void {
    for (const [key, { settled, isDependent }] of this.operations) {
      if (isDependent && settled === undefined) this.operations.delete(key);
    }
  }

  takeUp(messages: number): void {
    for (const { record } of this.inbox.splice(0, messages)) this.#act(record);
  }

  #act(record: MailRecord): void {
    switch (record.kind) {
      case "timer":
        if (record.key === "weir.deadline") this.expired ||= this.outcome === undefined;
        else if (this.isDueAt(record.key, record.due)) this.elapse(record.key);
        return;
      case "child": {
        // An earlier attempt may have called another child under the same key.
        const awaited = this.operations.get(record.key)?.awaited;
        const isMeant = (awaited?.kind === "call" || awaited?.kind === "end") &&
          awaited.execution === record.execution;
        if (isMeant) {
          this.settle(record.key, record.outcome.type === "success" ? "kept" : "forgotten");
        }
        return;
      }
      case "cancel": {
        const { reason, force = false, parent } = record;
        const own = this.start.parent;
        const isFromParent = parent === undefined || (own?.execution === parent.execution &&
          own.tenant === parent.tenant && own.life === parent.life);
        if (this.outcome !== undefined || !isFromParent) return;
        if (this.cancel !== undefined) {
          this.cancel = { ...this.cancel, force: force || this.cancel.force };
          return;
        }
        for (const key of this.operations.keys()) this.settle(key, "forgotten");
        this.cancel = { force, ...(reason === undefined ? {} : { reason }) };
        return;
      }
      case "pause":
        if (this.outcome === undefined) {
          this.paused = record.reason === undefined ? {} : { reason: record.reason };
        }
        return;
      case "resume":
        this.paused = undefined;
        return;
    }
  }

  record(record: JournalRecord, at: Timestamp): void {
    switch (record.kind) {
      case "claimed":
        this.epoch = record.epoch;
        // The lease need not have heard of the attempts that the journal has begun.
        this.attempt = Math.max(record.attempt, this.attempt + (record.reclaims > 0 ? 1 : 0));
        this.reclaims = record.reclaims;
        return;
      case "step": {
        const { key, result } = record;
        const found = this.operations.get(key);
        if (found?.settled !== undefined) return;
        const since = found?.since ?? at;
        const settled = result.type === "value" ? "kept" : "forgotten";
        const step = { since, awaited: undefined, result, settled, isDependent: false } as const;
        this.operations.set(key, step);
        return;
      }
      case "stepFailed": {
        const { key, failure, retryAt } = record;
        return this.open(key, { kind: "run", due: retryAt, failure }, at);
      }
      case "sleeping":
        return this.open(record.key, { kind: "sleep", due: record.due }, at);
      case "waiting": {
        const { key, signal, due } = record;
        return this.open(key, { kind: "wait", signal, ...(due === undefined ? {} : { due }) }, at);
      }
      case "elapsed":
        return this.elapse(record.key);
      case "calling": {
        const { key, verb, execution, tenant, onParentEnd } = record;
        const isDependent = onParentEnd === "cancel";
        return verb === "call"
          ? this.open(key, { kind: "call", execution, tenant }, at, isDependent)
          : this.open(`weir.end/${key}`, { kind: "end", execution, tenant }, at, isDependent);
      }
      case "callFailed":
        return this.settle(record.key, "forgotten");
      case "signal":
        return this.#signalled(record);
      case "tag":
        if (record.change === "attached") this.tags.set(record.name, record.value ?? "");
        else this.tags.delete(record.name);
        return;
      case "cell":
        if (record.value === undefined) this.cells.delete(record.name);
        else this.cells.set(record.name, record.value);
        return;
      case "attemptFailed":
        this.forgetFailures();
        this.attempt++;
        this.retryAt = record.retryAt;
        return;
      case "continued":
        for (const [key, { awaited }] of this.operations) {
          if (awaited?.kind !== "wait" || record.taken.includes(key)) this.operations.delete(key);
        }
        for (const name of record.cleared) this.cells.delete(name);
        this.signals = 0;
        return;
      case "replayed":
        if (record.from === "start") {
          this.operations.clear();
          this.cells.clear();
        } else {
          this.forgetFailures();
          this.forgetDependents();
        }
        this.outcome = undefined;
        this.cancel = undefined;
        this.expired = false;
        this.attempt++;
        this.replays++;
        return;
      case "done":
        this.outcome ??= record.outcome;
        this.paused = undefined;
        this.retryAt = undefined;
    }
  }

  #signalled({ effect, key, signalId, name, sequence, count }: SignalRecord): void {
    this.takeUp(this.inbox.findIndex((mail) => mail.sequence === sequence) + 1);
    this.signals = count;
    if (effect === "buffered") this.buffered.push({ signalId, name, sequence });
    if (effect !== "satisfied") return;
    this.buffered = this.buffered.filter((other) => other.sequence !== sequence);
    if (key !== undefined) this.settle(key, "kept");
  }

  /** Takes up what nobody has taken up, as far as that needs no record of the owner. */
  takeUpRest(): void {
    while (this.inbox.length > 0) {
      const { kind } = this.inbox[0]!.record;
      if (kind === "signal" || (kind === "retry" && this.outcome !== undefined)) return;
      this.takeUp(1);
    }
  }
}

const waitingFor = (operations: ReadonlyMap<string, Operation>): ReadonlyArray<Awaited> =>
  [...operations].flatMap(([key, { since, awaited, settled }]) =>
    awaited === undefined || settled !== undefined ? [] : [{ key, since, ...awaited }]
  );

const steps = (operations: ReadonlyMap<string, Operation>): Readonly<Record<string, StepResult>> =>
  Object.fromEntries(
    [...operations].flatMap(([key, { result }]) => result === undefined ? [] : [[key, result]]),
  );

const statusOf = ({ outcome, paused, operations }: Rebuilding): ExecutionState["status"] => {
  if (outcome !== undefined) return outcome.type;
  if (paused !== undefined) return "paused";
  return waitingFor(operations).length > 0 ? "waiting" : "running";
};

const shown = (state: Rebuilding): ExecutionState => {
  const { retryAt, paused, cancel, outcome, operations } = state;
  return {
    status: statusOf(state),
    startedAt: state.startedAt,
    attempt: state.attempt,
    epoch: state.epoch,
    reclaims: state.reclaims,
    replays: state.replays,
    waitingFor: outcome === undefined ? waitingFor(operations) : [],
    ...(retryAt === undefined ? {} : { retryAt }),
    ...(paused === undefined ? {} : { paused }),
    ...(cancel === undefined ? {} : { cancel }),
    expired: state.expired,
    steps: steps(operations),
    tags: Object.fromEntries(state.tags),
    cells: Object.fromEntries(state.cells),
    buffered: state.buffered.map(({ signalId, name }) => ({ signalId, name })),
    signals: state.signals,
    ...(outcome === undefined ? {} : { outcome }),
  };
};

/** Where the events leave the execution; nothing if the engine has not begun it. */
export const executionStateOf = (
  events: ReadonlyArray<Pick<StoredEvent, "event" | "timestamp" | "recordedBy">>,
): ExecutionState | undefined => {
  let state: Rebuilding | undefined;
  for (const { event, timestamp, recordedBy } of events) {
    const told = recordedBy === "engine" ? recordOf(event) : undefined;
    if (told === undefined) continue;
    if (told.type === "mail" && told.record.kind === "start") {
      state ??= new Rebuilding(told.record, timestamp);
    } else if (told.type === "mail") state?.inbox.push(told);
    else if (told.type === "takenUp") state?.takeUp(told.messages);
    else state?.record(told.record, timestamp);
  }
  state?.takeUpRest();
  return state === undefined ? undefined : shown(state);
};
