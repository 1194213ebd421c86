/**
 * An actor's code as a task: what must have succeeded before it is awaited first, each attempt has its
 * time, and one that has a schedule runs that instead. Code that is no task stays as it is.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as Schema from "effect/Schema";
import type { ChildFailed } from "../../schema/execution_errors.ts";
import type { Failure } from "../../schema/failure.ts";
import { type ExecutionId, executionIdentity } from "../../schema/ids.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import type { TaskRetry } from "../../schema/task.ts";
import { afterKey, belowKey } from "../core/state.ts";
import type { ActorCode, OperationError, Operations } from "../engine/operations.ts";
import type { RetryPolicy } from "../retry_policy.ts";
import { boundOperations } from "./bound_operations.ts";
import { runSchedule } from "./schedule.ts";

type Json = Schema.Json;

/** What must have succeeded before has not: the execution ends without having begun. */
export class Skipped {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

/** The code that an execution runs, and what its start says of its attempts. */
export interface TaskCode extends ActorCode {
  /** How long an attempt may take. */
  readonly timeoutMs?: number;
}

export const timedOut = (timeoutMs = 0): Failure => ({
  name: "AttemptTimedOut",
  message: `the attempt took longer than ${Duration.format(Duration.millis(timeoutMs))}`,
  code: "WEIR_ATTEMPT_TIMED_OUT",
});

const retryOf = ({ attempts, backoff, delayMs, factor, maxDelayMs, jitter }: TaskRetry) =>
  ({
    attempts,
    ...(backoff === undefined ? {} : { backoff }),
    ...(delayMs === undefined ? {} : { delay: delayMs }),
    ...(factor === undefined ? {} : { factor }),
    ...(maxDelayMs === undefined ? {} : { maxDelay: maxDelayMs }),
    ...(jitter === undefined ? {} : { jitter }),
  }) satisfies RetryPolicy;

/** Awaits one execution, and gives what it gave; if it did not succeed, nothing begins. */
const await_ = (operations: Operations, execution: ExecutionId) => {
  const { actor, name } = executionIdentity(execution);
  const { tenant } = operations;
  if (actor === undefined) return Effect.fail(new Skipped(`${name} is of no actor`));
  return operations.after(afterKey(execution), { actor, execution, tenant }).pipe(
    Effect.map((value) => [execution, value ?? null] as const),
    Effect.catchTag("ChildFailed", (failed: ChildFailed) => Effect.fail(new Skipped(why(failed)))),
  );
};

const why = ({ execution, outcome, failure }: ChildFailed): string =>
  failure === undefined
    ? `${execution} ended as ${outcome}`
    : `${execution} ended as ${outcome}: ${failure.message}`;

/** What all of them gave, as soon as all have succeeded; the first that has not is why it ends. */
const awaitAll = (
  operations: Operations,
  after: ReadonlyArray<ExecutionId>,
): Effect.Effect<Readonly<Record<string, Json>>, Skipped | OperationError> =>
  Effect.map(
    Effect.forEach(after, (execution) => await_(operations, execution), {
      concurrency: "unbounded",
    }),
    Object.fromEntries<Json>,
  );

/** The code of an actor, as the start of an execution wants it. */
export const asTask = (code: ActorCode, start: StartRecord | undefined): TaskCode => {
  const parent = start?.parent?.key === belowKey ? start.parent : undefined;
  if (start?.task === undefined && parent === undefined) return code;
  const { after = [], budgets, retry, timeoutMs, schedule } = start?.task ?? {};
  return {
    ...code,
    ...(retry === undefined ? {} : { retry: retryOf(retry) }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    run: (operations, input) =>
      Effect.gen(function* () {
        if (parent !== undefined && !(yield* operations.below(parent))) {
          return yield* Effect.fail(
            new Skipped(`${parent.execution} has ended, below which it was`),
          );
        }
        const results = after.length === 0 ? {} : yield* awaitAll(operations, after);
        if (schedule !== undefined) {
          return yield* runSchedule(operations, start!, schedule, input);
        }
        yield* Effect.andThen(operations.room.toBegin, operations.turn).pipe(
          Effect.catchTag(
            "Cancelled",
            // What it has done it may undo.
            (error) => operations.isBehind() ? Effect.void : Effect.fail(error),
          ),
        );
        if (timeoutMs !== undefined || budgets !== undefined) {
          yield* operations.beginAttempt(timeoutMs);
        }
        const own = budgets === undefined
          ? operations
          : boundOperations(operations, budgets, timeoutMs);
        return yield* code.run({ ...own, results }, input);
      }),
  };
};
