/**
 * A schedule as its callers hold it: a handle that knows the id and asks for the rest. What it asks
 * for is stored before it answers, and done by whichever worker has the schedule.
 */
import type * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import type { ExecutionIndex, ExecutionPage } from "../streams/execution_index.ts";
import type { ServerClock } from "../streams/server_clock.ts";
import type { Executions, Named } from "./executions.ts";
import * as Schedules from "./executions/schedules.ts";
import type { ScheduleDescription } from "./executions/schedules.ts";
import type { Steering } from "./executions/steering.ts";
import type { ScheduleOptions } from "./executions/task.ts";
import type { ErrorClass } from "./raise.ts";
import { makeRun, type Run } from "./run.ts";
import type { ListQuery } from "./weir.ts";
import type { ScheduleSummary } from "./work/schedule.ts";

export type { ScheduleDescription } from "./executions/schedules.ts";
export type { ScheduleSummary } from "./work/schedule.ts";

/** Which schedules are listed; a schedule that `pause` has stopped is `suspended`, as between runs. */
export type ScheduleListQuery = Omit<ListQuery, "tag">;

/** What there is by schedules. */
export interface ScheduleVerbs {
  /** The schedules, those that have ended too, newest first, a page at a time, as `weir.list` gives them. */
  list(query?: ScheduleListQuery): Promise<ExecutionPage>;
}

/** A schedule, by its id. */
export interface Schedule<Output = unknown, Raised = unknown> {
  /** The actor's name, a slash, and the name of the schedule. */
  readonly id: string;
  readonly tenant: string;
  /** Starts one run more, at once; the same `id` starts no other for as long as its run is kept. */
  trigger(options?: { readonly id?: string }): Promise<Run<Output, Raised>>;
  /**
   * Starts the runs of a time that is over, each once however often and in whatever windows it is
   * asked for. `to` may be now at the latest, by the server's clock; more than 1,000 runs are asked
   * for in parts.
   */
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

/** Who answers for schedules. */
type Asked = Executions | ExecutionIndex | ServerClock | Steering;

export const makeSchedule = <Output, Raised>(
  runtime: ManagedRuntime.ManagedRuntime<Asked, unknown>,
  named: Named,
  errors: ReadonlyArray<ErrorClass<Raised>> = [],
): Schedule<Output, Raised> => {
  const whole = makeRun<ScheduleSummary>(runtime, named);
  const run = <A, E>(effect: Effect.Effect<A, E, Asked>) => runtime.runPromise(effect);

  return {
    id: named.execution,
    tenant: named.tenant,
    trigger: async (options) =>
      makeRun<Output, Raised>(runtime, await run(Schedules.trigger(named, options)), errors),
    backfill: (time) => run(Schedules.backfill(named, time)),
    pause: () => run(Schedules.pause(named)),
    resume: () => run(Schedules.resume(named)),
    change: (options) => run(Schedules.change(named, options)),
    finish: () => run(Schedules.finish(named)),
    cancel: (options) => whole.cancel(options),
    describe: () => run(Schedules.describe(named)),
    result: whole.result,
    runs: (query) => run(Schedules.runs(named, query)),
  };
};
