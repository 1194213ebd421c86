/**
 * A schedule as its callers hold it: a handle that knows the id and asks for the rest. What it asks
 * for is stored before it answers, and done by whichever worker has the schedule.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import type * as Schema from "effect/Schema";
import { InvalidInput } from "../schema/errors.ts";
import {
  type ActorName,
  executionIdentity,
  namedExecution,
  parse,
  Timestamp,
} from "../schema/ids.ts";
import { parseMisfire } from "../schema/misfire.ts";
import { Overlap } from "../schema/overlap.ts";
import { parseRunPolicy } from "../schema/run_policy.ts";
import { type ScheduleControl, scheduleSignal } from "../schema/schedule_control.ts";
import { ServerClock } from "../streams/server_clock.ts";
import type { ExecutionPage } from "../streams/execution_index.ts";
import { ExecutionIndex } from "../streams/execution_index.ts";
import { type Description, Executions, type Named } from "./executions.ts";
import { graceOf, type ScheduleOptions } from "./executions/task.ts";
import type { ErrorClass } from "./raise.ts";
import { makeRun, type Run } from "./run.ts";
import { runsTag, type ScheduleSummary } from "./work/schedule.ts";

export type { ScheduleSummary } from "./work/schedule.ts";

/** A schedule as it stands. */
export interface ScheduleDescription extends Description {
  /** What it last said of itself; nothing before a worker has taken it up. */
  readonly schedule:
    | ScheduleSummary & {
      /** When the next run is due; none, if it is paused or has no more. */
      readonly next?: string;
      readonly running: number;
      readonly paused?: boolean;
    }
    | undefined;
}

/** A schedule, by its id. */
export interface Schedule<Output = unknown, Raised = unknown> {
  /** The actor's name, a slash, and the name of the schedule. */
  readonly id: string;
  readonly tenant: string;
  /** Starts one run more, at once; the same `id` never starts two. */
  trigger(options?: { readonly id?: string }): Promise<Run<Output, Raised>>;
  /** Starts the runs of a time that is over, each once however often it is asked for; 1,000 at most. */
  backfill(time: { readonly from: Date; readonly to: Date }): Promise<void>;
  /** Starts no runs until `resume`, but those that are asked for by `trigger` and `backfill`. */
  pause(): Promise<void>;
  /** Goes on; the misfire policy says what becomes of the time between. */
  resume(): Promise<void>;
  /** Follows another policy from now on; runs under way go on. */
  change(options: ScheduleOptions): Promise<void>;
  /** Starts no more runs, and ends when the last has. */
  finish(): Promise<void>;
  /** Ends it at once, and cancels its runs. */
  cancel(options?: { readonly reason?: string }): Promise<void>;
  describe(): Promise<ScheduleDescription>;
  /** Resolves when it has ended; rejects if none of its runs succeeded. */
  result(): Promise<ScheduleSummary>;
  /** Its runs, newest first, a page at a time. */
  runs(
    query?: { readonly limit?: number; readonly from?: ExecutionPage["next"] },
  ): Promise<ExecutionPage>;
}

export const makeSchedule = <Output, Raised>(
  runtime: ManagedRuntime.ManagedRuntime<Executions | ExecutionIndex | ServerClock, unknown>,
  named: Named,
  errors: ReadonlyArray<ErrorClass<Raised>> = [],
): Schedule<Output, Raised> => {
  const { actor, name } = executionIdentity(named.execution);
  const whole = makeRun<ScheduleSummary>(runtime, named);

  const ask = (control: ScheduleControl, key?: string) =>
    Effect.asVoid(
      Effect.flatMap(Executions, (executions) =>
        executions.signal(
          named,
          scheduleSignal,
          control as Schema.Json,
          key === undefined ? {} : { key },
        )),
    );

  const run = <A, E>(effect: Effect.Effect<A, E, Executions | ExecutionIndex | ServerClock>) =>
    runtime.runPromise(effect);

  const instant = (what: string, date: Date) => parse(Timestamp, what, date.getTime());

  return {
    id: named.execution,
    tenant: named.tenant,
    trigger: ({ id = randomUUID().slice(0, 8) } = {}) =>
      run(Effect.gen(function* () {
        if (!/^[\w-]{1,64}$/.test(id)) {
          return yield* new InvalidInput({
            what: "id",
            value: id,
            rule: "expected 1 to 64 letters, digits, _ or -",
          });
        }
        const suffix = `now-${id}`;
        const { execution } = yield* namedExecution(actor as ActorName, `${name}~${suffix}`);
        yield* ask({ type: "trigger", name: suffix }, suffix);
        // It may be asked for its result before the schedule has started it.
        const started = { execution, tenant: named.tenant, life: 0 };
        return makeRun<Output, Raised>(runtime, started, errors);
      })),
    backfill: ({ from, to }) =>
      run(Effect.gen(function* () {
        yield* ask({
          type: "backfill",
          from: yield* instant("from", from),
          to: yield* instant("to", to),
        });
      })),
    pause: () => run(ask({ type: "pause" })),
    resume: () => run(ask({ type: "resume" })),
    change: ({ policy, misfire, overlap, grace }) =>
      run(Effect.gen(function* () {
        const now = yield* (yield* ServerClock).now;
        yield* ask({
          type: "change",
          ...(policy === undefined ? {} : { policy: yield* parseRunPolicy(policy, now) }),
          ...(misfire === undefined ? {} : { misfire: yield* parseMisfire(misfire) }),
          ...(overlap === undefined ? {} : { overlap: yield* parse(Overlap, "overlap", overlap) }),
          ...(yield* graceOf(grace)),
        });
      })),
    finish: () => run(ask({ type: "finish" })),
    cancel: (options) => whole.cancel(options),
    describe: async () => {
      const description = await whole.describe();
      return {
        ...description,
        schedule: description.cells["schedule"] as unknown as ScheduleDescription["schedule"],
      };
    },
    result: whole.result,
    runs: ({ limit = 50, from } = {}) =>
      run(Effect.flatMap(ExecutionIndex, (index) =>
        index.list({
          tenant: named.tenant,
          tag: { name: runsTag, value: named.execution },
          limit,
          ...(from === undefined ? {} : { from }),
        }))),
  };
};
