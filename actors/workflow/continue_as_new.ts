/**
 * Ending a run of a workflow and beginning the next with another payload, under the same execution
 * id: what was recorded before is not replayed any more, and whoever awaits the result gets that of
 * the last run. Messages that were not taken are there for the next run.
 */
import * as Effect from "effect/Effect";
import type * as Workflow from "effect/workflow/Workflow";
import type { WorkflowInstance } from "effect/workflow/WorkflowEngine";
import { currentBody } from "./workflow_body.ts";
import { WorkflowExtras } from "./workflow_extras.ts";

/** Goes on as a new run of the workflow, whose body this is in. */
export const continueAsNew = <W extends Workflow.Any>(
  workflow: W,
  payload: Workflow.PayloadSchema<W>["~type.make.in"],
): Effect.Effect<never, never, WorkflowExtras | WorkflowInstance> =>
  Effect.gen(function* () {
    yield* WorkflowExtras;
    const body = yield* currentBody("ContinueAsNew.continueAsNew");
    if (body.instance.workflow._tag !== workflow._tag) {
      const { _tag } = body.instance.workflow;
      return yield* Effect.die(new Error(`${_tag} cannot be continued as ${workflow._tag}`));
    }
    body.continueAs(workflow.payloadSchema.make(payload) as object);
    return yield* Effect.interruptible(Effect.never);
  });
