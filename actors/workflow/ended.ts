/**
 * How executions of workflows have ended, for whoever awaits them, asks now and then, or reads their
 * ends: by what their records say, of whatever tenant. It begins nothing.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { memoize } from "effect/Function";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Workflow from "effect/workflow/Workflow";
import type { Executions, Named } from "../executions.ts";
import { unpack } from "./exit_codec.ts";
import { isMendedWait } from "./names.ts";

/** What a workflow has that its narrow type leaves out. */
interface Props {
  readonly successSchema: Schema.Top;
  readonly errorSchema: Schema.Top;
}

type AnyExit = Exit.Exit<unknown, unknown>;

// Made once for each workflow: a codec is compiled when it is first used.
export const exitOf = memoize((workflow: Workflow.Any) => {
  const { successSchema, errorSchema } = workflow as unknown as Props;
  return Schema.toCodecJson(Schema.Exit(successSchema, errorSchema, Schema.Defect()));
});

const askAgain = Schedule.min([
  Schedule.exponential("50 millis", 1.5),
  Schedule.spaced("5 seconds"),
]);

/** The interface has no errors: what may pass is tried until it does, and the rest is a defect. */
export const insist = <A, E extends { readonly retryable?: boolean }>(
  effect: Effect.Effect<A, E>,
): Effect.Effect<A> =>
  Effect.orDie(
    Effect.retry(effect, { while: ({ retryable }) => retryable === true, schedule: askAgain }),
  );

/** An end that the schemas of today cannot read is a defect of that execution, and not of who reads it. */
const decoded = (workflow: Workflow.Any, travelled: unknown): Effect.Effect<AnyExit> =>
  Effect.catchDefect(
    unpack(travelled, exitOf(workflow)),
    (defect) => Effect.succeed(Exit.die(defect)),
  );

/** How an execution ended, by what whoever awaited it was told. */
export const exitOfEnd = (
  workflow: Workflow.Any,
  ended: Effect.Effect<unknown, unknown>,
): Effect.Effect<AnyExit> =>
  Effect.matchCauseEffect(ended, {
    onSuccess: (value) => decoded(workflow, value),
    onFailure: (cause) => {
      const error = Cause.squash(cause) as {
        readonly _tag?: string;
        readonly failure?: { readonly data?: { readonly workflow?: unknown } };
      };
      const travelled = error?.failure?.data?.workflow;
      if (travelled !== undefined) return decoded(workflow, travelled);
      const isCancelled = error?._tag === "ExecutionCancelled" ||
        (error as { readonly outcome?: string })?.outcome === "cancelled";
      return Effect.succeed(isCancelled ? Exit.interrupt() : Exit.die(error));
    },
  });

/** The result of an execution, for whoever waits however long. */
export const result = (executions: Executions["Service"], of: Named) =>
  Effect.retry(executions.result(of), {
    while: ({ retryable }) => retryable,
    schedule: askAgain,
  });

/** How far an execution is. */
export const poll = (
  executions: Executions["Service"],
  workflow: Workflow.Any,
  of: Named,
): Effect.Effect<Option.Option<Workflow.Result<unknown, unknown>>> =>
  Effect.gen(function* () {
    const found = yield* executions.describe(of);
    switch (found.status) {
      case "waiting":
      case "delayed":
      case "active":
        return Option.none();
      case "suspended":
      case "paused": {
        const failed = found.waitingFor.some(({ key }) => isMendedWait(key));
        return Option.some(new Workflow.Suspended(failed ? { failed } : {}));
      }
      default:
        return Option.some(
          new Workflow.Complete({ exit: yield* exitOfEnd(workflow, result(executions, of)) }),
        );
    }
  }).pipe(
    Effect.catchTag("ExecutionNotFound", () => Effect.succeedNone),
    insist,
  );
