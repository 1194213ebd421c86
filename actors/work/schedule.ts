/**
 * A schedule: an execution whose code starts the runs of a task when their time comes, awaits their
 * ends and does what people ask of it. Everything that it decides follows from its journal, so that
 * each run is started once whatever happens to its worker. When runs are due is `due.ts`.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import * as Schema from "effect/Schema";
import { ScheduleFailed } from "../../schema/execution_errors.ts";
import { ExecutionId, executionIdentity, executionText, Timestamp } from "../../schema/ids.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import { ScheduleControl, scheduleSignal } from "../../schema/schedule_control.ts";
import type { Schedule } from "../../schema/task.ts";
import type { ActorName } from "../../schema/ids.ts";
import type { Operations } from "../engine/operations.ts";
import { due } from "./due.ts";
import { occurrencesOf } from "./occurrences.ts";
import {
  beginning,
  changed,
  ended,
  type Kept,
  KeptRecord,
  type OpenRun,
} from "./schedule_state.ts";

/** What a schedule goes on for. */
type Wake =
  | { readonly type: "due" }
  | { readonly type: "control"; readonly payload: Schema.Json | undefined }
  | { readonly type: "ended"; readonly run: OpenRun; readonly outcome: keyof Kept["counts"] }
  | { readonly type: "failed"; readonly error: Effect.Error<ReturnType<Operations["wait"]>> };

/** The tag by which the runs of a schedule are listed. */
export const runsTag = "weir.schedule";

/** After so many runs the code begins anew, so that its journal is not read from the beginning. */
const runsOfAnEra = 200;
/** The most runs that one request makes up for. */
const mostBackfilled = 1_000;

const decodeControl = Schema.decodeUnknownOption(ScheduleControl);
const decodeKept = Schema.decodeUnknownSync(KeptRecord);
const encodeKept = Schema.encodeSync(KeptRecord);
const waitName = "control";

export const runSchedule = Effect.fnUntraced(function* (
  operations: Operations,
  start: StartRecord,
  schedule: Schedule,
  carried: Schema.Json | undefined,
) {
  const { execution, tenant } = operations;
  const { actor, name } = executionIdentity(execution);
  const { schedule: _, ...task } = start.task!;
  const wakes = yield* Queue.unbounded<Wake>();
  let kept = operations.continuations === 0
    ? beginning(schedule, yield* operations.now)
    : decodeKept(carried);
  let waits = 0;
  let started = 0;

  const watch = (run: OpenRun, result: Effect.Effect<unknown, unknown>) =>
    Effect.forkChild(
      Effect.flatMap(
        Effect.exit(result),
        (exit) => Queue.offer(wakes, { type: "ended", run, outcome: outcomeOf(exit) }),
      ),
    );

  const runOf = (suffix: string): ExecutionId =>
    ExecutionId.make(executionText(actor, `${name}~${suffix}`));

  const begin = Effect.fnUntraced(function* (suffix: string, at: number | undefined) {
    const run: OpenRun = { execution: runOf(suffix), ...(at === undefined ? {} : { at }) };
    if (kept.open.some((open) => open.execution === run.execution)) return;
    const { input, route, requires, tags, priority } = start;
    const { result } = yield* operations.spawn(`run ${suffix}`, {
      actor: actor as ActorName,
      execution: run.execution,
      input,
      tenant,
      task: {
        ...task,
        runOf: {
          schedule: execution,
          ...(at === undefined ? {} : { at: Timestamp.make(at) }),
        },
      },
      ...(route === undefined ? {} : { route }),
      ...(requires === undefined ? {} : { requires }),
      tags: { ...tags, [runsTag]: execution },
      ...(priority === undefined ? {} : { priority }),
    });
    started++;
    kept = { ...kept, open: [...kept.open, run], created: kept.created + 1 };
    yield* watch(run, result);
  });

  /** One run whose time has come, as those that still run allow it. */
  const beginDue = Effect.fnUntraced(function* (number: number, at: number) {
    const suffix = String(kept.offset + number + 1);
    const others = kept.open.filter((open) => open.at !== undefined);
    if (others.length > 0 && kept.overlap === "skip") {
      kept = { ...kept, skipped: kept.skipped + 1 };
    } else if (others.length > 0 && kept.overlap === "buffer-one") {
      if (kept.buffered === undefined) kept = { ...kept, buffered: { suffix, at } };
      else kept = { ...kept, skipped: kept.skipped + 1 };
    } else {
      if (kept.overlap === "cancel-other") {
        for (const other of others) {
          const route = start.route === undefined ? {} : { route: start.route };
          yield* operations.cancel({ execution: other.execution, tenant, ...route });
        }
      }
      yield* begin(suffix, at);
    }
  });

  /** Starts what is due, and says when the next is. */
  const lookNow = Effect.fnUntraced(function* () {
    const now = yield* operations.now;
    if (kept.paused || kept.finishing) return undefined;
    const { create, skipped, progress, next } = due(kept.policy, kept.progress, {
      now,
      misfire: kept.misfire,
    });
    kept = { ...kept, progress, skipped: kept.skipped + skipped };
    for (const { number, at } of create) yield* beginDue(number, at);
    return next === undefined ? undefined : { at: next, inMs: Math.max(next - now, 0) };
  });

  const obey = Effect.fnUntraced(function* (control: ScheduleControl) {
    switch (control.type) {
      case "trigger":
        return yield* begin(control.name, undefined);
      case "backfill": {
        const { next } = occurrencesOf(kept.policy, kept.progress.base);
        let at = next(control.from - 1);
        for (let n = 0; at !== undefined && at <= control.to && n < mostBackfilled; n++) {
          yield* begin(new Date(at).toISOString(), at);
          at = next(at);
        }
        return;
      }
      default:
        kept = changed(kept, control, yield* operations.now);
    }
  });

  const listen = (timeoutMs: number | undefined) => {
    waits++;
    const wait = operations.wait(scheduleSignal, {
      name: waitName,
      ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
    });
    return Effect.forkChild(
      wait.pipe(
        Effect.matchEffect({
          onSuccess: (received) =>
            Queue.offer(
              wakes,
              received === undefined
                ? { type: "due" }
                : { type: "control", payload: received.payload },
            ),
          onFailure: (error) => Queue.offer(wakes, { type: "failed", error }),
        }),
      ),
    );
  };

  /** Shows it to whoever asks, if there is anything new. */
  let shown = "";
  const show = Effect.fnUntraced(function* (next: number | undefined) {
    const { counts, created, skipped, paused, open } = kept;
    const value = {
      ...(next === undefined ? {} : { next: new Date(next).toISOString() }),
      created,
      running: open.length,
      ...counts,
      skipped,
      ...(paused ? { paused } : {}),
    };
    const text = JSON.stringify(value);
    if (text === shown) return;
    shown = text;
    yield* operations.setCell("schedule", value);
  });

  for (const run of kept.open) {
    const { execution } = run;
    const joined = operations.join(`again ${execution}`, {
      actor: actor as ActorName,
      execution,
      tenant,
      onParentEnd: "cancel",
    });
    yield* watch(run, joined);
  }
  let isListening = false;
  let next: { readonly at: number; readonly inMs: number } | undefined;
  for (;;) {
    if (!isListening) next = yield* lookNow();
    if (kept.buffered !== undefined && kept.open.every(({ at }) => at === undefined)) {
      const { suffix, at } = kept.buffered;
      const { buffered: _, ...rest } = kept;
      kept = rest;
      yield* begin(suffix, at);
    }
    const isOver = next === undefined && !kept.paused && kept.buffered === undefined;
    yield* show(next?.at);
    if (isOver && kept.open.length === 0) break;
    if (!isListening) {
      if (started >= runsOfAnEra) {
        const taken = Array.from(
          { length: waits },
          (_, i) => i === 0 ? waitName : `${waitName}#${i + 1}`,
        );
        yield* operations.continueAs(encodeKept(kept), { taken, cleared: [] });
      }
      yield* listen(next?.inMs);
      isListening = true;
    }
    const wake = yield* Queue.take(wakes);
    if (wake.type === "failed") return yield* Effect.fail(wake.error);
    if (wake.type === "ended") {
      kept = ended(kept, wake.run, wake.outcome);
      continue;
    }
    isListening = false;
    if (wake.type === "control") {
      const control = decodeControl(wake.payload);
      if (Option.isSome(control)) yield* obey(control.value);
    }
  }
  const { counts, created, skipped } = kept;
  const summary = { created, ...counts, skipped };
  if (created > 0 && counts.completed === 0) {
    return yield* new ScheduleFailed({ execution, created });
  }
  return summary;
});

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): keyof Kept["counts"] => {
  if (Exit.isSuccess(exit)) return "completed";
  const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as
    | { readonly outcome?: string }
    | undefined;
  return error?.outcome === "failure" ? "failed" : "cancelled";
};
