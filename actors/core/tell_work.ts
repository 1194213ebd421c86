/**
 * What the records of one execution say in the words of `schema/work_event.ts`: a pure fold over its
 * mail, its journal and its lease in the order of the log. Every state that it tells of a run may
 * follow the one before, and whoever reads the same records tells the same. What has no record is
 * not told: that something is due, say, is told by the record that comes of it.
 */
import { type ExecutionId, type Tenant, Timestamp } from "../../schema/ids.ts";
import type { Failure } from "../../schema/failure.ts";
import type { DoneRecord, JournalRecord } from "../../schema/journal_record.ts";
import { expiresAt, isHeld, type LeaseRecord } from "../../schema/lease_record.ts";
import type { MailRecord, StartRecord } from "../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import { isFinal, type RunState, wayTo } from "../../schema/run_state.ts";
import {
  type OtherWorkFact,
  type RecordedWorkEvent,
  type TaskSpec,
  type WorkEvent,
  workEventsAt,
  type WorkFact,
} from "../../schema/work_event.ts";
import type { ReadableRecord } from "../../streams/readable_record.ts";
import { receive, record as evolve } from "./evolve.ts";
import { type LastLease, runStateOf } from "./run_state.ts";
import { attemptName, roomTurn } from "./decide.ts";
import { type ExecutionState, initial, lackOf, openOperations } from "./state.ts";

/** A lease by its last record, and when the claim lapses or would have. */
interface Claim extends LastLease {
  readonly expiry: Timestamp;
  /** The attempt with which its owner began. */
  readonly attempt: number;
}

/** A run as it was told so far. */
interface Run {
  readonly id: string;
  readonly state: RunState;
  /** The attempt that has started and not finished. */
  readonly attempt: string | undefined;
}

/** What is remembered of the records before. */
export interface WorkContext {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly state: ExecutionState;
  readonly claim: Claim | undefined;
  /** None before the start, and none of a schedule, which has runs of its own. */
  readonly run: Run | undefined;
}

export const beforeWork = (
  { execution, tenant }: Pick<WorkContext, "execution" | "tenant">,
): WorkContext => ({ execution, tenant, state: initial, claim: undefined, run: undefined });

/** The events of one record, and what to remember for the next. */
export interface ToldWork {
  readonly events: ReadonlyArray<RecordedWorkEvent>;
  readonly context: WorkContext;
}

/** How an attempt has ended. */
type AttemptEnd = Pick<
  Extract<WorkEvent, { readonly kind: "attemptFinished" }>,
  "result" | "error" | "output"
>;

const failed = ({ name, message, code }: Failure): AttemptEnd => ({
  result: code === "WEIR_ATTEMPT_TIMED_OUT" ? "timeout" : "failure",
  error: `${name}: ${message}`,
});

const lost = (why: string): AttemptEnd => ({ result: "failure", error: `OwnerLost: ${why}` });

const endOfAttempt = (outcome: OutcomeRecord): AttemptEnd => {
  switch (outcome.type) {
    case "success":
      return {
        result: "success",
        ...(outcome.value === undefined ? {} : { output: outcome.value }),
      };
    case "failure":
      return failed(outcome.failure);
    case "expired":
      return { result: "timeout", error: "Expired: the deadline of the execution has passed" };
    case "cancelled":
    case "skipped": {
      const { type, reason = "" } = outcome;
      const name = type === "skipped" ? "Skipped" : "Cancelled";
      return { result: "failure", error: reason === "" ? name : `${name}: ${reason}` };
    }
  }
};

const taskSpec = (id: ExecutionId, start: StartRecord): TaskSpec => {
  const { input, parent, priority = 0, requires, tags = {}, task = {} } = start;
  const { description, queue, retry, safety, schedule, timeoutMs } = task;
  return {
    id,
    ...(input === undefined ? {} : { payload: input }),
    runPolicy: schedule?.policy ?? { type: "once" },
    constraints: {
      ...(retry === undefined ? {} : { maxAttempts: retry.attempts }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(queue?.key === undefined ? {} : { concurrencyKey: queue.key }),
      ...(safety === undefined ? {} : { safetyLevel: safety }),
      ...(requires === undefined ? {} : { requiredCapabilities: requires }),
    },
    metadata: { tags, priority, ...(description === undefined ? {} : { description }) },
    ...(parent === undefined ? {} : { parentTaskId: parent.execution }),
  };
};

/** Why a run is suspended, as far as its records say. */
const reasonOf = (state: ExecutionState): string | undefined => {
  if (state.paused !== undefined) {
    const { reason } = state.paused;
    return reason === undefined ? "paused" : `paused: ${reason}`;
  }
  const room = roomTurn(state).signal;
  const lack = room === undefined ? undefined : lackOf(room);
  if (lack !== undefined) return `budget: no ${lack.dimension} left in ${lack.budget}`;
  const [first] = openOperations(state);
  return first === undefined ? undefined : `${first[1].kind} ${first[0]}`;
};

/** Tells one record. */
class Telling {
  readonly #context: WorkContext;
  readonly #at: Timestamp;
  readonly #sequence: number;
  readonly #facts: Array<WorkFact | OtherWorkFact> = [];
  #state: ExecutionState;
  #claim: Claim | undefined;
  #run: Run | undefined;

  constructor(context: WorkContext, at: Timestamp, sequence: number) {
    this.#context = context;
    this.#at = at;
    this.#sequence = sequence;
    this.#state = context.state;
    this.#claim = context.claim;
    this.#run = context.run;
  }

  get told(): ToldWork {
    const { execution: executionId, tenant } = this.#context;
    const place = { sequence: this.#sequence, at: this.#at, executionId, tenant };
    return {
      events: workEventsAt(place, this.#facts),
      context: { ...this.#context, state: this.#state, claim: this.#claim, run: this.#run },
    };
  }

  record({ type, record }: ReadableRecord): void {
    switch (type) {
      case "mail":
        this.#mail(record);
        return this.#settle();
      case "journal":
        return this.#journal(record);
      case "lease":
        this.#lease(record);
        return this.#settle();
      case "unknown":
        this.#facts.push({ kind: "other", raw: { kind: record.kind, record } });
    }
  }

  #mail(record: MailRecord): void {
    const before = this.#state;
    this.#state = receive(before, { sequence: this.#sequence, at: this.#at, record });
    if (record.kind !== "start" || before.life !== 0) return;
    const { execution } = this.#context;
    const { after, runOf, schedule } = record.task ?? {};
    if (runOf === undefined) {
      this.#facts.push({ kind: "taskCreated", taskSpec: taskSpec(execution, record) });
    }
    if (after !== undefined) {
      this.#facts.push({ kind: "dependencyDeclared", taskId: execution, dependsOn: after });
    }
    if (schedule === undefined) this.#create(record);
  }

  #create({ notBefore, priority = 0, task }: StartRecord): void {
    const { execution } = this.#context;
    const { replays } = this.#state;
    const id = replays === 0 ? execution : `${execution}#${replays + 1}`;
    const due = replays === 0 ? notBefore ?? task?.runOf?.at : undefined;
    this.#run = { id, state: "scheduled", attempt: undefined };
    this.#facts.push({
      kind: "runCreated",
      run: {
        id,
        taskId: task?.runOf?.schedule ?? execution,
        state: "scheduled",
        createdAt: this.#at,
        scheduledAt: due ?? this.#at,
        effectivePriority: priority,
      },
    });
  }

  #journal(record: JournalRecord): void {
    this.#state = evolve(this.#state, record, this.#at);
    if (record.kind === "attemptFailed") return this.#go("retryWait", failed(record.failure));
    if (record.kind === "done") return this.#done(record);
    if (record.kind === "replayed" && this.#run !== undefined) {
      this.#create(this.#state.start!.record);
    }
    this.#settle();
  }

  #done({ outcome }: DoneRecord): void {
    const isCanceled = outcome.type === "cancelled" || outcome.type === "skipped";
    if (isCanceled && this.#state.start?.record.task?.runOf === undefined) {
      this.#facts.push({ kind: "taskCanceled", taskId: this.#context.execution });
    }
    this.#settle(endOfAttempt(outcome));
  }

  #lease(record: LeaseRecord): void {
    if (record.kind === "acquired" || record.kind === "reclaimed") return this.#acquire(record);
    const run = this.#run;
    const claim = this.#claim;
    // What was claimed before the start was an execution that is gone.
    if (run === undefined || claim === undefined) return;
    const at = this.#at;
    const held = isHeld(record);
    const expiry = held ? Timestamp.make(expiresAt(record, at)) : claim.expiry;
    const fact = { runId: run.id, owner: record.workerInstanceId, expiry };
    const isRunning = run.state === "running";
    switch (record.kind) {
      case "renewed":
        this.#facts.push({ kind: "leaseHeartbeat", ...fact });
        break;
      case "released":
        this.#facts.push({ kind: "leaseReleased", ...fact });
        if (isRunning) this.#go("suspended", { result: "suspended" });
        break;
      case "expired":
        this.#facts.push({ kind: "leaseExpired", ...fact });
        if (isRunning) this.#go("ready", lost("the lease expired"));
        break;
      case "revoked":
        this.#facts.push({ kind: "leaseExpired", ...fact });
        if (isRunning) this.#go("ready", lost(`the lease was revoked by ${record.revokedBy}`));
        break;
    }
    this.#claim = { ...claim, record, at, held, expiry };
  }

  #acquire(record: LeaseRecord): void {
    const run = this.#run;
    if (run === undefined) return;
    if (run.state === "running" || run.state === "leased") {
      this.#go("ready", lost("the lease was gone"));
    }
    const at = this.#at;
    const expiry = Timestamp.make(expiresAt(record, at));
    this.#claim = { record, at, held: true, expiry, attempt: this.#attemptOf(record) };
    const owner = record.workerInstanceId;
    this.#settle(undefined, { kind: "leaseAcquired", runId: run.id, owner, expiry });
  }

  /** The lease need not have heard of the attempts that the journal has begun. */
  #attemptOf({ attempt, reclaims = 0 }: LeaseRecord): number {
    return Math.max(attempt, this.#state.attempt + (reclaims > 0 ? 1 : 0));
  }

  /** Tells the way to where the records have come; what is acquired, at its place on it. */
  #settle(end?: AttemptEnd, acquired?: WorkFact): void {
    if (this.#run === undefined) return;
    const from = this.#run.state;
    const attempt = Math.max(this.#state.attempt, this.#claim?.attempt ?? 0);
    const state = runStateOf({ ...this.#state, attempt }, this.#claim, this.#at);
    // It runs although its code has left nothing behind, and it never ran only because time passes.
    const goesOn = from === "running" && state !== "suspended";
    const isWrong = !isFinal(state) &&
      (goesOn || wayTo(from, state)?.slice(0, -1).includes("running") === true);
    this.#go(isWrong ? from : state, end, acquired);
  }

  #go(to: RunState, end?: AttemptEnd, acquired?: WorkFact): void {
    const from = this.#run?.state;
    const way = from === undefined || isFinal(from) ? undefined : wayTo(from, to);
    let waiting = acquired;
    for (const next of way ?? []) {
      if (next === "leased" && waiting !== undefined) {
        this.#facts.push(waiting);
        waiting = undefined;
      }
      this.#step(next, end);
    }
    if (waiting !== undefined) this.#facts.push(waiting);
  }

  /** One transition, which is told once, and the attempt that starts or finishes with it. */
  #step(newState: RunState, end: AttemptEnd = { result: "suspended" }): void {
    const { id: runId, state: previousState, attempt } = this.#run!;
    if (attempt !== undefined) {
      this.#facts.push({ kind: "attemptFinished", runId, attemptId: attempt, ...end });
    }
    let started: string | undefined;
    if (newState === "running") {
      const epoch = this.#claim?.record.epoch ?? this.#state.epoch;
      const attempt = Math.max(this.#state.attempt, this.#claim?.attempt ?? 0);
      started = `${epoch}.${attemptName({ ...this.#state, attempt })}`;
      this.#facts.push({ kind: "attemptStarted", runId, attemptId: started });
    }
    this.#run = { id: runId, state: newState, attempt: started };
    if (newState === "canceled") this.#facts.push({ kind: "runCanceled", runId });
    else if (newState === "suspended") {
      const reason = reasonOf(this.#state);
      this.#facts.push({
        kind: "runSuspended",
        runId,
        ...(reason === undefined ? {} : { reason }),
      });
    } else if (previousState === "suspended") this.#facts.push({ kind: "runResumed", runId });
    else this.#facts.push({ kind: "runStateChanged", runId, previousState, newState });
  }
}

/** What one record tells, given when and where the server stored it. */
export const tellWork = (
  context: WorkContext,
  record: ReadableRecord,
  at: Timestamp,
  sequence: number,
): ToldWork => {
  const telling = new Telling(context, at, sequence);
  telling.record(record);
  return telling.told;
};
