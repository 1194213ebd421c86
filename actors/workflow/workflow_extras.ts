/**
 * What Weir's own primitives for workflows ask of an engine, beyond Effect's `WorkflowEngine`:
 * channels into an execution, cells that can be read from outside, and whether code has been here
 * before. Values are JSON; what they mean is the primitives' business.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import type * as Stream from "effect/Stream";
import type * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
import type { SignalLimitExceeded } from "../../schema/execution_errors.ts";
import type { NotThere, SendError } from "../executions.ts";

type Json = Schema.Json;

/** An execution of a workflow. */
export interface Target {
  readonly workflow: Workflow.Any;
  readonly executionId: string;
}

/** Why something could not be sent to an execution. */
export type OfferError = SendError | SignalLimitExceeded;

/** Within the body of a workflow. */
type Within = WorkflowEngine | WorkflowInstance;

export class WorkflowExtras extends Context.Service<WorkflowExtras, {
  /** Adds a message to a channel, once for each id; it is durable when this returns. */
  readonly send: (
    to: Target,
    channel: string,
    id: string,
    message: Json,
  ) => Effect.Effect<void, OfferError>;
  /** The message at a place of a channel, counted from 0, as soon as there is one. */
  readonly receive: (channel: string, place: number) => Effect.Effect<Json, never, Within>;
  /** Puts a value into a cell, once for each count, which tells the values of this run apart. */
  readonly assign: (
    cell: string,
    count: number,
    value: Json,
  ) => Effect.Effect<void, never, Within>;
  /** What a cell holds. */
  readonly read: (of: Target, cell: string) => Effect.Effect<Option.Option<Json>, NotThere>;
  /** What a cell holds and is given, until the execution has ended. */
  readonly changes: (of: Target, cell: string) => Stream.Stream<Json, NotThere>;
  /** Whether the code of an execution is here for the first time. */
  readonly isNew: Effect.Effect<boolean, never, WorkflowInstance>;
}>()("@weir/weir/actors/WorkflowExtras") {}
