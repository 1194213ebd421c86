/**
 * Looking at the executions of a workflow, and acting on them: which there are, where one stands, what
 * it has done in words of workflows, and how they end, one after the other, behind a cursor that the
 * reader keeps. It reads Weir's index, log and families, and stores nothing.
 */
import * as Effect from "effect/Effect";
import type * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type * as Workflow from "effect/workflow/Workflow";
import type { Cursor } from "../../schema/cursor.ts";
import { type ExecutionId, executionIdentity, Tenant, type Timestamp } from "../../schema/ids.ts";
import {
  ExecutionIndex,
  type ExecutionStatus,
  type ListedExecution,
  type TagQuery,
} from "../../streams/execution_index.ts";
import { Families, type FamilyError } from "../../streams/families.ts";
import { type Description, Executions, type NotThere } from "../executions.ts";
import { poll } from "./ended.ts";
import { actorOf, executionOf } from "./names.ts";
import { eventOf, type WorkflowEvent } from "./workflow_event.ts";
import type { Target } from "./workflow_extras.ts";

export type { WorkflowEvent };

/** Whose executions are meant; those of "default", if it is left out. */
export interface OfTenant {
  readonly tenant?: Tenant;
}

export interface ListOptions extends OfTenant {
  readonly status?: ExecutionStatus;
  readonly tag?: TagQuery;
  /** The most that a page holds, from 1 to 1,000; 100, if left out. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly from?: Cursor;
}

/** An execution of the workflow, as it is listed. */
export interface ListedWorkflowRun extends Omit<ListedExecution, "execution" | "actor"> {
  readonly executionId: string;
}

export interface WorkflowRunPage {
  readonly runs: ReadonlyArray<ListedWorkflowRun>;
  /** Where the next page begins; absent on the last one. */
  readonly next?: Cursor;
  /** Whatever was stored before this time is in the page. */
  readonly asOf: Timestamp;
}

/** How an execution has ended. */
export interface WorkflowCompletion<W extends Workflow.Any> {
  /** Resumes behind this end. */
  readonly cursor: Cursor;
  readonly executionId: string;
  readonly at: Timestamp;
  readonly exit: Exit.Exit<W["successSchema"]["Type"], W["errorSchema"]["Type"]>;
}

export interface CompletionsOptions extends OfTenant {
  /** A cursor, or `earliest` or `now`; `now`, if left out. */
  readonly after?: string;
}

const defaultTenant = Tenant.make("default");
const idOf = (execution: ExecutionId): string => executionIdentity(execution).name;

const named = ({ workflow, executionId }: Target, { tenant = defaultTenant }: OfTenant) => ({
  execution: executionOf(workflow._tag, executionId),
  tenant,
});

/** The executions of a workflow, newest first. */
export const list = Effect.fn("WorkflowRuns.list")(function* (
  workflow: Workflow.Any,
  { tenant = defaultTenant, limit = 100, ...options }: ListOptions = {},
) {
  const index = yield* ExecutionIndex;
  const { executions, ...page } = yield* index.list({
    tenant,
    limit,
    actor: actorOf(workflow._tag),
    ...options,
  });
  const runs = executions.map(({ execution, actor: _, ...run }): ListedWorkflowRun => ({
    executionId: idOf(execution),
    ...run,
  }));
  return { ...page, runs } satisfies WorkflowRunPage;
});

/** Where an execution stands, and why. */
export const describe = (
  of: Target,
  options: OfTenant = {},
): Effect.Effect<Description, NotThere, Executions> =>
  Effect.flatMap(Executions, (executions) => executions.describe(named(of, options)));

/** What an execution has done, and what was done to it. */
export const history = (
  of: Target,
  options: OfTenant = {},
): Stream.Stream<WorkflowEvent, NotThere, Executions> =>
  Stream.unwrap(
    Effect.map(Executions, (executions) => executions.history(named(of, options))),
  ).pipe(
    Stream.mapEffect(eventOf),
    Stream.filter((event) => event !== undefined),
  );

/** Asks an execution to stop; what it has done is compensated. */
export const cancel = Effect.fn("WorkflowRuns.cancel")(function* (
  of: Target,
  { reason, ...options }: OfTenant & { readonly reason?: string } = {},
) {
  const executions = yield* Executions;
  yield* executions.cancel(named(of, options), reason === undefined ? {} : { reason });
});

/** Runs an execution again that has ended: from what failed, or from the start. */
export const retry = Effect.fn("WorkflowRuns.retry")(function* (
  of: Target,
  { from, ...options }: OfTenant & { readonly from?: "failure" | "start" } = {},
) {
  const executions = yield* Executions;
  yield* executions.retry(named(of, options), from === undefined ? {} : { from });
});

/**
 * How executions of a workflow end, in the order of the log. An end that was taken back by a retry is
 * left out; the next one comes.
 */
export const completions = <W extends Workflow.Any>(
  workflow: W,
  { tenant = defaultTenant, ...options }: CompletionsOptions = {},
): Stream.Stream<
  WorkflowCompletion<W>,
  FamilyError,
  Executions | Families | Workflow.RequirementsClient<W>
> =>
  Stream.unwrap(Effect.gen(function* () {
    const families = yield* Families;
    const executions = yield* Executions;
    const actor = actorOf(workflow._tag);
    const result = (execution: ExecutionId) =>
      poll(executions, workflow, { execution, tenant }) as Effect.Effect<
        Option.Option<Workflow.Result<W["successSchema"]["Type"], W["errorSchema"]["Type"]>>,
        never,
        Workflow.RequirementsClient<W>
      >;
    return families.read("completions", { tenant, ...options }).pipe(
      Stream.filter(({ executionId }) => executionIdentity(executionId).actor === actor),
      Stream.mapEffect(({ cursor, executionId: execution, at }) => {
        const executionId = idOf(execution);
        return Effect.map(
          result(execution),
          (found): WorkflowCompletion<W> | undefined =>
            Option.isSome(found) && found.value._tag === "Complete"
              ? { cursor, executionId, at, exit: found.value.exit }
              : undefined,
        );
      }, { concurrency: 16 }),
      Stream.filter((completion) => completion !== undefined),
    );
  }));
