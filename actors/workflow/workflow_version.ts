/**
 * Changes of a workflow's code, of which each execution goes one way for as long as it is: that of the
 * code which first came to the place. Executions that were past it before the change keep the old way.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import { type WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
import { VersionNotSupported } from "../../schema/execution_errors.ts";
import { WorkflowExtras } from "./workflow_extras.ts";

export interface VersionOptions {
  /** What is changed. */
  readonly id: string;
  /** The versions that this code knows; executions that come here first have the greatest. */
  readonly min: number;
  readonly max: number;
}

type Within = WorkflowEngine | WorkflowExtras | WorkflowInstance;

/** The version that an execution has, recorded once. */
export const version = ({ id, min, max }: VersionOptions): Effect.Effect<number, never, Within> =>
  Effect.gen(function* () {
    const isNew = yield* (yield* WorkflowExtras).isNew;
    const version = yield* Activity.make({
      name: `version/${id}`,
      success: Schema.Int,
      execute: Effect.succeed(isNew ? max : min),
    });
    if (version >= min && version <= max) return version;
    const { executionId } = yield* WorkflowInstance;
    return yield* Effect.die(
      new VersionNotSupported({ execution: executionId, change: id, version, min, max }),
    );
  });

/** Whether an execution goes the new way: not if it was past this place before there was one. */
export const patched = (id: string): Effect.Effect<boolean, never, Within> =>
  Effect.map(version({ id, min: 0, max: 1 }), (version) => version === 1);
