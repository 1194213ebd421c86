/**
 * A schedule: an execution whose code starts the runs of a task when their time comes, awaits their
 * ends and does what people ask of it. Everything that it decides follows from its journal, so that
 * each run is started once whatever happens to its worker. When runs are due is `due.ts`.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { Cancelled, ChildFailed, ScheduleFailed } from "../../schema/execution_errors.ts";
import {
  type ActorName,
  ExecutionId,
  executionIdentity,
  executionText,
  longestMs,
  Timestamp,
} from "../../schema/ids.ts";
import type { Failure } from "../../schema/failure.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import { ScheduleControl, scheduleSignal } from "../../schema/schedule_control.ts";
import type { Schedule } from "../../schema/task.ts";
import type { Operations } from "../engine/operations.ts";
import { kindTag, runsTag } from "../tags.ts";
import { backfill, type Window } from "./backfill.ts";
import { due } from "./due.ts";
import {
  beginning,
  changed,
  ended,
  isOver,
  type Kept,
  KeptRecord,
  type OpenRun,
} from "./schedule_state.ts";

/** What came of a schedule. */
export interface ScheduleSummary {
  /** Runs that were started. */
  readonly created: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Runs that were left out, by its misfire or overlap policy, or of a backfill of too many. */
  readonly skipped: number;
}

/** The next run: when it is due, and how far off that was when it was asked. */
interface Next {
  readonly at: number;
  readonly inMs: number;
}

/** What a schedule goes on for. */
type Wake =
  | { readonly type: "due" }
  | { readonly type: "control"; readonly payload: Schema.Json | undefined }
  | {
    readonly type: "ended";
    readonly run: OpenRun;
    readonly outcome: keyof Kept["counts"];
    readonly failure?: Failure;
  }
  | { readonly type: "failed"; readonly error: unknown };

/** The tag by which schedules are listed. */
export const schedulesTag = { name: kindTag, value: "schedule" } as const;

/** After so many runs the code begins anew, so that its journal is not read from the beginning. */
const runsOfAnEra = 30;

const decodeControl = Schema.decodeUnknownOption(ScheduleControl);
const decodeKept = Schema.decodeUnknownSync(KeptRecord);
const encodeKept = Schema.encodeSync(KeptRecord);
const waitName = "control";

/** Wakes in the order in which they come, without a turn of the event loop between. */
class Wakes {
  readonly #come: Array<Wake> = [];
  #onCome: (() => void) | undefined;

  offer(wake: Wake): void {
    this.#come.push(wake);
    this.#onCome?.();
  }

  async take(): Promise<Wake> {
    while (this.#come.length === 0) await new Promise<void>((come) => this.#onCome = come);
    return this.#come.shift()!;
  }
}

const endOf = (error: unknown) => {
  if (!(error instanceof ChildFailed) || error.outcome !== "failure") {
    return { outcome: "cancelled" as const };
  }
  const { failure } = error;
  return { outcome: "failed" as const, ...(failure === undefined ? {} : { failure }) };
};

/** One run of a schedule's code; what it awaits are promises, whose order a replay repeats. */
class ScheduleRun {
  readonly #operations: Operations;
  readonly #start: StartRecord;
  readonly #actor: ActorName;
  readonly #name: string;
  readonly #wakes = new Wakes();
  #kept: Kept;
  #waits = 0;
  #started = 0;
  #shown = "";

  constructor(operations: Operations, start: StartRecord, kept: Kept) {
    const { actor, name } = executionIdentity(operations.execution);
    this.#operations = operations;
    this.#start = start;
    this.#actor = actor!;
    this.#name = name;
    this.#kept = kept;
  }

  async run(): Promise<ScheduleSummary> {
    for (const run of this.#kept.open) this.#watch(run, this.#joinAgain(run));
    let next: Next | undefined;
    let isListening = false;
    for (;;) {
      await this.#startBuffered();
      if (!isListening) next = await this.#startDue();
      await this.#show(next?.at);
      if (next === undefined && isOver(this.#kept)) break;
      if (!isListening) {
        if (this.#started >= runsOfAnEra) await this.#beginAnew();
        this.#listen(next?.inMs);
        isListening = true;
      }
      const wake = await this.#wakes.take();
      if (wake.type === "failed") throw wake.error;
      if (wake.type === "ended") {
        this.#kept = ended(this.#kept, wake.run, wake.outcome, wake.failure);
        continue;
      }
      isListening = false;
      if (wake.type === "control") await this.#obey(wake.payload);
    }
    const { counts, created, skipped } = this.#kept;
    if (created > 0 && counts.completed === 0) {
      throw new ScheduleFailed({ execution: this.#operations.execution, created });
    }
    return { created, ...counts, skipped };
  }

  /** Starts what is due, and says when the next is. */
  async #startDue(): Promise<Next | undefined> {
    const now = await Effect.runPromise(this.#operations.now);
    const { paused, finishing, policy, misfire, graceMs } = this.#kept;
    if (paused || finishing) return undefined;
    const look = { now, misfire, ...(graceMs === undefined ? {} : { graceMs }) };
    const { create, skipped, progress, next } = due(policy, this.#kept.progress, look);
    this.#kept = { ...this.#kept, progress, skipped: this.#kept.skipped + skipped };
    for (const { number, at } of create) await this.#startOne(number, at);
    return next === undefined ? undefined : { at: next, inMs: Math.max(next - now, 0) };
  }

  /** One run whose time has come, as those that still run allow it. */
  async #startOne(number: number, at: number): Promise<void> {
    const kept = this.#kept;
    const suffix = String(kept.offset + number + 1);
    const others = kept.open.filter((open) => open.at !== undefined);
    if (others.length > 0 && (kept.overlap === "skip" || kept.buffered !== undefined)) {
      this.#kept = { ...kept, skipped: kept.skipped + 1 };
      return;
    }
    if (others.length > 0 && kept.overlap === "buffer-one") {
      this.#kept = { ...kept, buffered: { suffix, at } };
      return;
    }
    if (kept.overlap === "cancel-other") {
      const { tenant } = this.#operations;
      const route = this.#start.route === undefined ? {} : { route: this.#start.route };
      for (const { execution } of others) {
        await Effect.runPromise(this.#operations.cancel({ execution, tenant, ...route }));
      }
    }
    await this.#begin(suffix, at);
  }

  async #startBuffered(): Promise<void> {
    const { buffered, ...rest } = this.#kept;
    if (buffered === undefined || rest.paused) return;
    if (rest.open.some(({ at }) => at !== undefined)) return;
    this.#kept = rest;
    await this.#begin(buffered.suffix, buffered.at);
  }

  async #begin(suffix: string, at: number | undefined): Promise<void> {
    const { execution: schedule, tenant } = this.#operations;
    const execution = ExecutionId.make(executionText(this.#actor, `${this.#name}~${suffix}`));
    if (this.#kept.open.some((open) => open.execution === execution)) return;
    const { input, route, requires, tags, priority, task } = this.#start;
    const { schedule: _, ...rest } = task!;
    const { [schedulesTag.name]: _kind, ...others } = tags ?? {};
    const ofSchedule = { [runsTag]: schedule };
    const runOf = { schedule, ...(at === undefined ? {} : { at: Timestamp.make(at) }) };
    const { result } = await Effect.runPromise(this.#operations.spawn(`run ${suffix}`, {
      actor: this.#actor,
      execution,
      input,
      tenant,
      task: { ...rest, runOf },
      // The first, since a list searches a number of them.
      tags: { ...ofSchedule, ...others, ...ofSchedule },
      ...(route === undefined ? {} : { route }),
      ...(requires === undefined ? {} : { requires }),
      ...(priority === undefined ? {} : { priority }),
    }));
    const run: OpenRun = { execution, ...(at === undefined ? {} : { at }) };
    this.#started++;
    this.#kept = {
      ...this.#kept,
      open: [...this.#kept.open, run],
      created: this.#kept.created + 1,
    };
    this.#watch(run, result);
  }

  /** A run that was started before the code began anew. */
  #joinAgain({ execution }: OpenRun) {
    return this.#operations.join(`again ${execution}`, {
      actor: this.#actor,
      execution,
      tenant: this.#operations.tenant,
      onParentEnd: "cancel",
    });
  }

  #watch(run: OpenRun, result: Effect.Effect<unknown, unknown>): void {
    Effect.runPromise(result).then(
      () => this.#wakes.offer({ type: "ended", run, outcome: "completed" }),
      (error) =>
        this.#wakes.offer(
          error instanceof Cancelled
            ? { type: "failed", error }
            : { type: "ended", run, ...endOf(error) },
        ),
    );
  }

  #listen(dueInMs: number | undefined): void {
    this.#waits++;
    const wait = this.#operations.wait(scheduleSignal, {
      name: waitName,
      ...(dueInMs === undefined ? {} : { timeout: Math.min(dueInMs, longestMs) }),
    });
    Effect.runPromise(wait).then(
      (received) =>
        this.#wakes.offer(
          received === undefined ? { type: "due" } : { type: "control", payload: received.payload },
        ),
      (error) => this.#wakes.offer({ type: "failed", error }),
    );
  }

  async #obey(payload: Schema.Json | undefined): Promise<void> {
    const decoded = Option.getOrUndefined(decodeControl(payload));
    if (decoded === undefined) return;
    switch (decoded.type) {
      case "trigger":
        return this.#begin(decoded.name, undefined);
      case "backfill":
        return this.#backfill(decoded);
      default:
        this.#kept = changed(this.#kept, decoded, await Effect.runPromise(this.#operations.now));
    }
  }

  async #backfill(window: Window): Promise<void> {
    const { policy, progress, backfilled = [] } = this.#kept;
    const { create, skipped, done } = backfill(policy, progress.base, window, backfilled);
    this.#kept = { ...this.#kept, backfilled: done, skipped: this.#kept.skipped + skipped };
    for (const at of create) await this.#begin(new Date(at).toISOString(), at);
  }

  /** Shows it to whoever asks, if there is anything new. */
  async #show(next: number | undefined): Promise<void> {
    const {
      counts,
      created,
      skipped,
      paused,
      open,
      policy,
      misfire,
      overlap,
      graceMs,
      lastFailure,
    } = this.#kept;
    const value = {
      policy,
      misfire,
      overlap,
      ...(graceMs === undefined ? {} : { graceMs }),
      ...(next === undefined ? {} : { next: new Date(next).toISOString() }),
      created,
      running: open.length,
      ...counts,
      skipped,
      ...(lastFailure === undefined ? {} : { lastFailure }),
      ...(paused ? { paused } : {}),
    };
    const text = JSON.stringify(value);
    if (text === this.#shown) return;
    this.#shown = text;
    await Effect.runPromise(this.#operations.setCell("schedule", value));
  }

  async #beginAnew(): Promise<never> {
    const taken = Array.from(
      { length: this.#waits },
      (_, i) => i === 0 ? waitName : `${waitName}#${i + 1}`,
    );
    const over = { taken, cleared: [] };
    return await Effect.runPromise(this.#operations.continueAs(encodeKept(this.#kept), over));
  }
}

/** The code of an execution that has a schedule. */
export const runSchedule = (
  operations: Operations,
  start: StartRecord,
  schedule: Schedule,
  carried: Schema.Json | undefined,
): Effect.Effect<ScheduleSummary, unknown> =>
  Effect.tryPromise({
    try: async () => {
      const kept = operations.continuations > 0
        ? decodeKept(carried)
        : beginning(schedule, await Effect.runPromise(operations.now));
      return await new ScheduleRun(operations, start, kept).run();
    },
    catch: (error) => error,
  });
