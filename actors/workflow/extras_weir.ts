/**
 * The extras of workflows on Weir's engine: a channel is a signal that is sent any number of times, a
 * cell is the engine's own. Who reads and who sends needs nothing but the log.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import * as Workflow from "effect/workflow/Workflow";
import { WorkflowInstance } from "effect/workflow/WorkflowEngine";
import type { Tenant } from "../../schema/ids.ts";
import type { Executions } from "../executions.ts";
import { channelSignal, executionOf, messageWait } from "./names.ts";
import { CurrentRun } from "./run.ts";
import { type Target, WorkflowExtras } from "./workflow_extras.ts";

type Json = Schema.Json;

/** Asks the journal for something, or suspends when the execution is to stop. */
const ask = Effect.fnUntraced(function* (
  name: string,
  effect: Parameters<CurrentRun["Service"]["ask"]>[2],
) {
  const run = yield* CurrentRun;
  const instance = yield* WorkflowInstance;
  const answer = yield* Workflow.wrapActivityResult(run.ask(instance, name, effect), Option.isNone);
  if (Option.isNone(answer)) return yield* Workflow.suspend(instance);
  return (yield* answer.value as Exit.Exit<Json>);
}) as (
  ...request: [string, Parameters<CurrentRun["Service"]["ask"]>[2]]
) => Effect.Effect<Json, never, WorkflowInstance>;

export const make = (
  executions: Executions["Service"],
  tenant: Tenant,
): WorkflowExtras["Service"] => {
  const named = ({ workflow, executionId }: Target) => ({
    execution: executionOf(workflow._tag, executionId),
    tenant,
  });

  const read: WorkflowExtras["Service"]["read"] = (of, cell) =>
    Effect.map(
      executions.describe(named(of)),
      ({ cells }) => Object.hasOwn(cells, cell) ? Option.some(cells[cell]!) : Option.none(),
    );

  return WorkflowExtras.of({
    send: (to, channel, id, message) => {
      const signal = channelSignal(channel);
      return Effect.asVoid(
        executions.signal(named(to), signal, message, { key: `${signal}\n${id}` }),
      );
    },
    receive: (channel, place) => {
      const name = messageWait(channel, place);
      return ask(name, (operations) =>
        Effect.map(
          operations.wait(channelSignal(channel), { name }),
          (received) => Exit.succeed(received?.payload ?? null),
        ));
    },
    assign: (cell, count, value) =>
      Effect.asVoid(
        ask(`cell ${cell} ${count}`, (operations) =>
          Effect.as(operations.setCell(cell, value), Exit.succeed(null))),
      ),
    read,
    changes: (of, cell) => executions.cell(named(of), cell),
    isNew: Effect.map(CurrentRun, (run) => run.isNew) as Effect.Effect<boolean>,
  });
};
