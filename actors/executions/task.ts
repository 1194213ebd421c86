/**
 * What people say of a task, checked and as its start holds it. Everything is refused here that the
 * engine could not do later; what must be there before is looked for by whoever starts it.
 */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { optionalMillis } from "../../schema/duration.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { type ExecutionId, parse, shown, Timestamp } from "../../schema/ids.ts";
import { type MisfireInput, parseMisfire } from "../../schema/misfire.ts";
import { checkOptions, type OptionNames } from "../../schema/option_names.ts";
import { defaultOverlap, Overlap } from "../../schema/overlap.ts";
import { parseRunPolicy, type RunPolicy, type RunPolicyInput } from "../../schema/run_policy.ts";
import {
  After,
  Bound,
  type BoundInput,
  type OnExhausted,
  Queued,
  type QueuedInput,
  Safety,
  type Schedule,
  type Task,
  TaskRetry,
} from "../../schema/task.ts";
import { stackOf } from "../../streams/budgets/input.ts";
import { checkRetry, type RetryPolicy } from "../retry_policy.ts";
import { calendarOf, nextOccurrence } from "../work/calendar.ts";

export interface ScheduleOptions {
  /** How often it runs; once, if left out. */
  readonly policy?: RunPolicyInput;
  /** What becomes of runs whose time passed while nobody was there; the newest runs for all. */
  readonly misfire?: MisfireInput;
  /** What becomes of a run whose time comes while another still runs; both run. */
  readonly overlap?: Overlap;
  /** How late a run may begin and yet be on time, from a second on; a minute, if left out. */
  readonly grace?: Duration.Input;
}

export interface TaskOptions extends ScheduleOptions {
  /**
   * The ids of executions that must have succeeded before; if one has not, this one is skipped, and
   * so is what was to come after it.
   */
  readonly after?: ReadonlyArray<string | { readonly id: string }>;
  /**
   * The execution below which it is, of the same tenant, which must be under way: it is cancelled
   * with that one, and when that ends before it. Eight may be below each other.
   */
  readonly parent?: string | { readonly id: string; readonly tenant?: string };
  /** How often the whole is tried; what its actor says, if left out. */
  readonly retry?: Omit<RetryPolicy, "retryIf">;
  /** How long one attempt may take. */
  readonly timeout?: Duration.Input;
  /** The queue in which it waits for its turn; it begins as soon as a worker is there, if left out. */
  readonly queue?: string | {
    readonly name: string;
    /** What no more of a tenant than the queue says may hold at once; one, if it says nothing. */
    readonly key?: string;
    /** Whether it keeps its turn between two attempts, which it does if left out. */
    readonly hold?: "through-retries" | "per-attempt";
  };
  /**
   * The budgets that it is bound to: it begins only while all of them have something left, and so do
   * those that it starts itself.
   */
  readonly budgets?: ReadonlyArray<
    string | {
      readonly name: string;
      /** What becomes of it if it runs when nothing is left; it waits until there is, if left out. */
      readonly onExhausted?: OnExhausted;
      /** Whether what it has consumed is taken back if it does not succeed. */
      readonly release?: "on-failure";
    }
  >;
  /** What may become of it if it is run twice, for those who read it. */
  readonly safety?: Safety;
  /** What it is for, for those who read it. */
  readonly description?: string;
}

export const taskOptionNames: OptionNames<TaskOptions> = {
  after: true,
  parent: true,
  retry: true,
  timeout: true,
  queue: true,
  budgets: true,
  safety: true,
  description: true,
  policy: true,
  misfire: true,
  overlap: true,
  grace: true,
};
const queuedNames: OptionNames<typeof QueuedInput.Type> = { name: true, key: true, hold: true };
const boundNames: OptionNames<typeof BoundInput.Type> = {
  name: true,
  onExhausted: true,
  release: true,
};

const Budgets = Schema.Array(Bound);

const utf8 = new TextEncoder();

const Description = Schema.String.check(
  Schema.isMaxLength(2_000, { expected: "a text of at most 2,000 characters" }),
);

const retryOf = Effect.fnUntraced(function* (policy: Omit<RetryPolicy, "retryIf">) {
  yield* checkRetry(policy);
  const { attempts = 4, backoff, delay, factor, maxDelay, jitter } = policy;
  const delayMs = yield* optionalMillis("retry delay", delay);
  const maxDelayMs = yield* optionalMillis("longest retry delay", maxDelay);
  return yield* parse(TaskRetry, "retry", {
    attempts,
    ...(backoff === undefined ? {} : { backoff }),
    ...(delayMs === undefined ? {} : { delayMs }),
    ...(factor === undefined ? {} : { factor }),
    ...(maxDelayMs === undefined ? {} : { maxDelayMs }),
    ...(jitter === undefined ? {} : { jitter }),
  });
});

/** Clocks and timers are not more exact than this; whoever asks for less would miss each run. */
const leastGraceMs = 1_000;

/** In bytes: a run is called by its schedule and up to 70 more, of the 200 that an id may have. */
const longestScheduleId = 128;

/** How late a run may be, as it is stored. */
export const graceOf = (grace: Duration.Input | undefined) =>
  Effect.map(
    optionalMillis("grace", grace, leastGraceMs),
    (graceMs) => graceMs === undefined ? {} : { graceMs },
  );

/** Refuses a calendar that has no time left: its schedule would end at once, as if all were well. */
export const checkComes = (policy: RunPolicy, from: number) =>
  policy.type !== "cron" || nextOccurrence(calendarOf(policy), from - 1) !== undefined
    ? Effect.void
    : Effect.fail(
      new InvalidInput({
        what: "cron expression",
        value: shown(policy.expression),
        rule: `expected one that comes true some day from ${new Date(from).toISOString()} on`,
      }),
    );

/** A schedule as its start holds it; none, if it runs once. */
export const scheduleOf = Effect.fnUntraced(function* (
  { policy, misfire, overlap = defaultOverlap, grace }: ScheduleOptions,
  now: number,
): Effect.fn.Return<Schedule | undefined, InvalidInput> {
  if (policy === undefined || policy.type === "once") return undefined;
  return {
    ...(yield* graceOf(grace)),
    policy: yield* parseRunPolicy(policy, now),
    misfire: yield* parseMisfire(misfire),
    overlap: yield* parse(Overlap, "overlap", overlap),
  };
});

const refuseUnlessList = (what: string, given: unknown) =>
  Array.isArray(given)
    ? Effect.void
    : Effect.fail(new InvalidInput({ what, value: shown(given), rule: "expected an array" }));

const boundOf = Effect.fnUntraced(function* (given: NonNullable<TaskOptions["budgets"]>) {
  yield* refuseUnlessList("budgets", given);
  for (const each of given) {
    if (typeof each !== "string") yield* checkOptions("a budget of a task", each, boundNames);
  }
  const bound = yield* parse(
    Budgets,
    "budgets",
    given.map((each) => ({
      onExhausted: "suspend",
      ...(typeof each === "string" ? { name: each } : each),
    })),
  );
  yield* stackOf(bound.map(({ name }) => name));
  return bound;
});

/** What makes it a task, if anything does. */
export const taskOf = Effect.fnUntraced(function* <E>(
  options: TaskOptions,
  execution: ExecutionId,
  now: Effect.Effect<number, E>,
  delayMs = 0,
): Effect.fn.Return<Task | undefined, InvalidInput | E> {
  const { after, retry, timeout, safety, description, policy, queue, budgets } = options;
  if (after !== undefined) yield* refuseUnlessList("after", after);
  const ids = after?.map((each) => typeof each === "string" ? each : each?.id);
  const submittedAt = policy === undefined || policy.type === "once" ? 0 : yield* now;
  const schedule = yield* scheduleOf(options, submittedAt);
  const timeoutMs = yield* optionalMillis("timeout", timeout, 1);
  if (typeof queue !== "string") yield* checkOptions("the queue of a task", queue, queuedNames);
  const task: Task = {
    ...(ids === undefined || ids.length === 0
      ? {}
      : { after: [...new Set(yield* parse(After, "after", ids))] }),
    ...(retry === undefined ? {} : { retry: yield* retryOf(retry) }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(queue === undefined ? {} : {
      queue: yield* parse(Queued, "queue", {
        hold: "through-retries",
        ...(typeof queue === "string" ? { name: queue } : queue),
      }),
    }),
    ...(budgets === undefined || budgets.length === 0 ? {} : { budgets: yield* boundOf(budgets) }),
    ...(safety === undefined ? {} : { safety: yield* parse(Safety, "safety", safety) }),
    ...(description === undefined
      ? {}
      : { description: yield* parse(Description, "description", description) }),
    ...(schedule === undefined ? {} : {
      // Behind others it is not known when it begins.
      schedule: ids === undefined || ids.length === 0
        ? { ...schedule, since: Timestamp.make(Math.floor(submittedAt + delayMs)) }
        : schedule,
    }),
  };
  if (schedule !== undefined && utf8.encode(execution).length > longestScheduleId) {
    return yield* new InvalidInput({
      what: "id of a schedule",
      value: execution,
      rule: `expected at most ${longestScheduleId} bytes with its actor, since its runs add to it`,
    });
  }
  if (task.after?.includes(execution)) {
    return yield* new InvalidInput({
      what: "after",
      value: execution,
      rule: "a task does not come after itself",
    });
  }
  return Object.keys(task).length === 0 ? undefined : task;
});
