/**
 * What anybody may ask of a schedule: each is a signal to its execution, or a read, and what is no
 * schedule is asked for nothing. That it is stored is all that they say; whichever worker has the
 * schedule does it.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import type * as Schema from "effect/Schema";
import { InvalidInput } from "../../schema/errors.ts";
import {
  type ActorName,
  executionIdentity,
  namedExecution,
  parse,
  Timestamp,
} from "../../schema/ids.ts";
import { type Misfire, parseMisfire } from "../../schema/misfire.ts";
import { Overlap } from "../../schema/overlap.ts";
import { parseRunPolicy, type RunPolicy } from "../../schema/run_policy.ts";
import { type ScheduleControl, scheduleSignal } from "../../schema/schedule_control.ts";
import { ExecutionIndex, type ExecutionPage } from "../../streams/execution_index.ts";
import { ServerClock } from "../../streams/server_clock.ts";
import { type Description, Executions, type Named } from "../executions.ts";
import { runsTag } from "../tags.ts";
import { isTooMuch, mostBackfilled } from "../work/backfill.ts";
import type { ScheduleSummary } from "../work/schedule.ts";
import type { FailedRun } from "../work/schedule_state.ts";
import { Steering } from "./steering.ts";
import { checkComes, graceOf, type ScheduleOptions } from "./task.ts";

/** A schedule as it stands. */
export interface ScheduleDescription extends Description {
  /** What it last said of itself; nothing before a worker has taken it up. */
  readonly schedule:
    | ScheduleSummary & {
      /** What it follows now, as it was parsed. */
      readonly policy: RunPolicy;
      readonly misfire: Misfire;
      readonly overlap: Overlap;
      readonly graceMs?: number;
      /** When the next run is due; none, if it is paused or has no more. */
      readonly next?: string;
      readonly running: number;
      readonly paused?: boolean;
      /** The last run that failed or could not be started, and why. */
      readonly lastFailure?: FailedRun;
    }
    | undefined;
}

/** What a schedule was started with; what is none is refused. */
const scheduleOf = Effect.fnUntraced(function* (named: Named) {
  const { task } = yield* (yield* Executions).started(named);
  if (task?.schedule !== undefined) return task.schedule;
  return yield* new InvalidInput({
    what: "schedule",
    value: named.execution,
    rule: "it was started to run once",
  });
});

const send = Effect.fnUntraced(function* (named: Named, control: ScheduleControl, key?: string) {
  const { signal } = yield* Steering;
  yield* signal(
    named,
    scheduleSignal,
    control as Schema.Json,
    key === undefined ? {} : { key },
  );
});

const ask = Effect.fnUntraced(function* (named: Named, control: ScheduleControl, key?: string) {
  yield* scheduleOf(named);
  yield* send(named, control, key);
});

const instant = (what: string, date: Date) => parse(Timestamp, what, date.getTime());

const isThere = Effect.fnUntraced(function* (named: Named) {
  return yield* (yield* Executions).started(named).pipe(
    Effect.as(true),
    Effect.catchTag("ExecutionNotFound", () => Effect.succeed(false)),
  );
});

/** Starts one run more, and gives the execution that this is or will be. */
export const trigger = Effect.fnUntraced(function* (
  named: Named,
  { id = randomUUID().slice(0, 8) }: { readonly id?: string } = {},
) {
  if (!/^[\w-]{1,64}$/.test(id)) {
    return yield* new InvalidInput({
      what: "id",
      value: id,
      rule: "expected 1 to 64 letters, digits, _ or -",
    });
  }
  const { actor, name } = executionIdentity(named.execution);
  const suffix = `now-${id}`;
  const { execution } = yield* namedExecution(actor as ActorName, `${name}~${suffix}`);
  // It may be asked for its result before the schedule has started it.
  const run = { execution, tenant: named.tenant, life: 0 };
  yield* scheduleOf(named);
  // The schedule forgets keys when its code begins anew, and would count the run once more.
  if (yield* isThere(run)) return run;
  yield* send(named, { type: "trigger", name: suffix }, suffix);
  return run;
});

const shownAt = (instant: number) => new Date(instant).toISOString();

/** Refuses what is not over, or more than is made up for at once. */
const checkWindow = Effect.fnUntraced(function* (
  window: { readonly from: Timestamp; readonly to: Timestamp },
  policy: RunPolicy,
  now: number,
) {
  const [from, to] = [shownAt(window.from), shownAt(window.to)];
  if (window.from > window.to) {
    return yield* new InvalidInput({
      what: "from",
      value: from,
      rule: `expected a time that is not after "to", ${to}`,
    });
  }
  if (window.to > now) {
    // The calendar would run them once more when they are due.
    return yield* new InvalidInput({
      what: "to",
      value: to,
      rule: `expected a time that is over: the server's clock shows ${shownAt(now)}`,
    });
  }
  // When a repeat has begun, the schedule alone knows: there it counts what is too much as skipped.
  if (policy.type === "cron" && isTooMuch(policy, window.from, window)) {
    return yield* new InvalidInput({
      what: "backfill",
      value: `${from} to ${to}`,
      rule: `expected at most ${mostBackfilled} runs: ask for parts of it, one after the other`,
    });
  }
});

export const backfill = Effect.fnUntraced(function* (
  named: Named,
  { from, to }: { readonly from: Date; readonly to: Date },
) {
  const window = { from: yield* instant("from", from), to: yield* instant("to", to) };
  const { schedule } = yield* describe(named);
  const policy = schedule?.policy ?? (yield* scheduleOf(named)).policy;
  yield* checkWindow(window, policy, yield* (yield* ServerClock).now);
  yield* send(named, { type: "backfill", ...window });
});

export const pause = (named: Named) => ask(named, { type: "pause" });

export const resume = (named: Named) => ask(named, { type: "resume" });

export const finish = (named: Named) => ask(named, { type: "finish" });

export const change = Effect.fnUntraced(function* (
  named: Named,
  { policy, misfire, overlap, grace }: ScheduleOptions,
) {
  const now = yield* (yield* ServerClock).now;
  const next = policy === undefined ? undefined : yield* parseRunPolicy(policy, now);
  if (next !== undefined) yield* checkComes(next, now);
  yield* ask(named, {
    type: "change",
    ...(next === undefined ? {} : { policy: next }),
    ...(misfire === undefined ? {} : { misfire: yield* parseMisfire(misfire) }),
    ...(overlap === undefined ? {} : { overlap: yield* parse(Overlap, "overlap", overlap) }),
    ...(yield* graceOf(grace)),
  });
});

export const describe = Effect.fnUntraced(function* (named: Named) {
  yield* scheduleOf(named);
  const description = yield* (yield* Executions).describe(named);
  const shown: ScheduleDescription = {
    ...description,
    schedule: description.cells["schedule"] as unknown as ScheduleDescription["schedule"],
  };
  return shown;
});

/** Its runs, newest first, a page at a time. */
export const runs = Effect.fnUntraced(function* (
  named: Named,
  { limit = 50, from }: { readonly limit?: number; readonly from?: ExecutionPage["next"] } = {},
) {
  return yield* (yield* ExecutionIndex).list({
    tenant: named.tenant,
    tag: { name: runsTag, value: named.execution },
    limit,
    ...(from === undefined ? {} : { from }),
  });
});
