/**
 * What makes an execution a task: what must have succeeded before it, how often it is tried and for
 * how long, how often it runs, and of which schedule it is a run. It travels in the start, so that a
 * task is there as a whole or not at all. What follows from it is decided by the engine.
 */
import * as Schema from "effect/Schema";
import { BudgetName } from "./budget.ts";
import { boundedText, ExecutionId, Timestamp } from "./ids.ts";
import { Misfire } from "./misfire.ts";
import { Overlap } from "./overlap.ts";
import { QueueName } from "./queue_limits.ts";
import { RunPolicy } from "./run_policy.ts";

const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

/** Executions that must have succeeded before this one begins, of the same tenant. */
export const After = Schema.Array(ExecutionId).check(
  Schema.isMaxLength(1_000, { expected: "at most 1,000 executions" }),
);

/** How often a task is tried, and how long the pauses are. */
export const TaskRetry = Schema.Struct({
  attempts: Positive,
  backoff: Schema.optionalKey(Schema.Literals(["fixed", "exponential"])),
  delayMs: Schema.optionalKey(Schema.Natural),
  factor: Schema.optionalKey(Schema.Number),
  maxDelayMs: Schema.optionalKey(Schema.Natural),
  jitter: Schema.optionalKey(Schema.Boolean),
});
export type TaskRetry = typeof TaskRetry.Type;

/** What may become of a task that is run twice; said for people, and not acted on. */
export const Safety = Schema.Literals(["pure", "idempotent", "transactional"]);
export type Safety = typeof Safety.Type;

/** How a task runs more than once. */
export const Schedule = Schema.Struct({
  policy: RunPolicy,
  misfire: Misfire,
  overlap: Overlap,
  /** How late a run may be and yet be on time; a minute, if left out. */
  graceMs: Schema.optionalKey(Positive),
  /** From when its times count; from when a worker takes it up first, if left out. */
  since: Schema.optionalKey(Timestamp),
});
export type Schedule = typeof Schedule.Type;

/** Where a task waits for its turn. */
export const Queued = Schema.Struct({
  name: QueueName,
  /** What no more than so many may hold at once. */
  key: Schema.optionalKey(boundedText(200)),
  /** Whether it keeps its turn between two attempts. */
  hold: Schema.Literals(["through-retries", "per-attempt"]),
});
export type Queued = typeof Queued.Type;

/** As people say it. */
export const QueuedInput = Schema.Struct({
  ...Queued.fields,
  hold: Schema.optionalKey(
    Queued.fields.hold.annotate({ description: "How long it keeps its turn" }),
  ),
});

/** What becomes of a task that runs when a budget has nothing left. */
export const OnExhausted = Schema.Literals(["suspend", "fail", "warn"]);
export type OnExhausted = typeof OnExhausted.Type;

/** A budget that a task is bound to. */
export const Bound = Schema.Struct({
  name: BudgetName,
  onExhausted: OnExhausted,
  /** When what it has consumed is taken back; never, if left out. */
  release: Schema.optionalKey(Schema.Literal("on-failure")),
});
export type Bound = typeof Bound.Type;

/** As people say it. */
export const BoundInput = Schema.Struct({
  ...Bound.fields,
  onExhausted: Schema.optionalKey(OnExhausted.annotate({
    description: "What becomes of it if it runs when nothing is left; it waits, if left out",
  })),
});

/** The schedule that an execution is a run of. */
export const RunOf = Schema.Struct({
  schedule: ExecutionId,
  /** When its time was; none, if somebody asked for it. */
  at: Schema.optionalKey(Timestamp),
});
export type RunOf = typeof RunOf.Type;

/** The field `task` of a start. */
export const Task = Schema.Struct({
  after: Schema.optionalKey(After),
  retry: Schema.optionalKey(TaskRetry),
  /** How long one attempt may take. */
  timeoutMs: Schema.optionalKey(Positive),
  safety: Schema.optionalKey(Safety),
  description: Schema.optionalKey(Schema.String),
  queue: Schema.optionalKey(Queued),
  /** It begins, and begins again, only while all of these have something left. */
  budgets: Schema.optionalKey(Schema.Array(Bound)),
  schedule: Schema.optionalKey(Schedule),
  runOf: Schema.optionalKey(RunOf),
});
export type Task = typeof Task.Type;

/** What a child is as a task: bound like its parent, unless it has budgets of its own. */
export const boundLike = (
  { budgets = [] }: Pick<Task, "budgets">,
  task: Task | undefined,
): Task | undefined =>
  task?.budgets === undefined && budgets.length > 0 ? { ...task, budgets } : task;
