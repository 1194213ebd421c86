/**
 * The extras of workflows on Effect's own engine in memory, for unit tests and for who goes back: both
 * services come from one layer, since a channel wakes whoever waits. A workflow that is continued is
 * a child of what it was, which ends when that ends; nothing survives the process.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import * as SubscriptionRef from "effect/SubscriptionRef";
import * as Activity from "effect/workflow/Activity";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import {
  layerMemory as layerEffect,
  WorkflowEngine,
  WorkflowInstance,
} from "effect/workflow/WorkflowEngine";
import { ExecutionEnded } from "../../schema/execution_errors.ts";
import { Json } from "../../schema/json.ts";
import { type Carried, Continued, nothing, WorkflowBody } from "./workflow_body.ts";
import { WorkflowExtras } from "./workflow_extras.ts";

type Json = Schema.Json;
/** A body, whose types do not matter here. */
type Execute = (payload: object, executionId: string) => Effect.Effect<unknown, unknown>;
type Register = (
  workflow: Workflow.Any,
  execute: Execute,
) => Effect.Effect<void, never, Scope.Scope>;
type Done = Parameters<WorkflowEngine["Service"]["deferredDone"]>;

/** What is known of an execution, and of those that it was continued as. */
interface Execution {
  readonly channels: Map<string, Array<Json>>;
  readonly ids: Set<string>;
  readonly seen: SubscriptionRef.SubscriptionRef<Seen>;
  /** What others were done with, for those that are to come. */
  readonly deferreds: Map<string, Done>;
  runs: ReadonlyArray<Run>;
}

/** What those outside see of it. */
interface Seen {
  readonly cells: ReadonlyMap<string, Json>;
  readonly end?: Exit.Exit<unknown, unknown>;
}

interface Run {
  readonly executionId: string;
  readonly payload: object;
  readonly before: Carried;
}

const runId = (executionId: string, count: number): string =>
  count === 0 ? executionId : `${executionId}~${count}`;
const parsed = (id: string): readonly [executionId: string, count: number] => {
  const found = /^(.*)~(\d+)$/s.exec(id);
  return found === null ? [id, 0] : [found[1]!, Number(found[2])];
};

const message = (channel: string, place: number) =>
  DurableDeferred.make(`weir/${channel}/${place}`, { success: Json });

const make = Effect.gen(function* () {
  const effect = yield* WorkflowEngine;
  const executions = new Map<string, Execution>();

  const executionOf = (executionId: string): Execution => {
    const known = executions.get(executionId);
    if (known !== undefined) return known;
    const execution: Execution = {
      channels: new Map(),
      ids: new Set(),
      seen: Effect.runSync(SubscriptionRef.make<Seen>({ cells: new Map() })),
      deferreds: new Map(),
      runs: [],
    };
    executions.set(executionId, execution);
    return execution;
  };

  const present = (executionId: string): string =>
    runId(executionId, Math.max(0, executionOf(executionId).runs.length - 1));

  /** What somebody else does a deferred with, is done for all runs that await it. */
  const deferredDone = (deferred: Done[0], options: Done[1]) =>
    Effect.flatMap(Effect.serviceOption(WorkflowInstance), (instance) => {
      const { executionId, deferredName } = options;
      const isOwn = Option.isSome(instance) && instance.value.executionId === executionId;
      if (isOwn || parsed(executionId)[1] > 0) return effect.deferredDone(deferred, options);
      const { deferreds } = executionOf(executionId);
      if (!deferreds.has(deferredName)) deferreds.set(deferredName, [deferred, options]);
      return effect.deferredDone(deferred, { ...options, executionId: present(executionId) });
    });

  /** Goes on with the run that follows on one. */
  const follow = Effect.fnUntraced(function* (
    workflow: Workflow.Any,
    execution: Execution,
    { executionId, payload }: Run,
  ) {
    for (const [deferred, options] of execution.deferreds.values()) {
      yield* effect.deferredDone(deferred, { ...options, executionId });
    }
    return yield* effect.execute(workflow as never, { executionId, payload: payload as never });
  });

  /** A run of the body, or those that follow on it. */
  const runOf = Effect.fnUntraced(function* (
    workflow: Workflow.Any,
    execute: Execute,
    payload: object,
    id: string,
  ) {
    const [executionId, count] = parsed(id);
    const execution = executionOf(executionId);
    const run = execution.runs[count] ?? { executionId: id, payload, before: nothing };
    if (count === execution.runs.length) execution.runs = [...execution.runs, run];
    const next = execution.runs[count + 1];
    if (next !== undefined) return yield* follow(workflow, execution, next);
    if (count === 0) {
      yield* Workflow.addFinalizer((end) =>
        SubscriptionRef.update(execution.seen, (seen) => ({ ...seen, end }))
      );
    }
    const body = new WorkflowBody(yield* WorkflowInstance, run.before);
    const result = yield* body.run(execute(payload, executionId));
    if (!(result instanceof Continued)) return result;
    const following: Run = {
      executionId: runId(executionId, count + 1),
      payload: result.payload,
      before: body.carried,
    };
    execution.runs = [...execution.runs, following];
    return yield* follow(workflow, execution, following);
  });

  const registering: Register = (workflow, execute) =>
    (effect.register as unknown as Register)(
      workflow,
      (payload, id) =>
        Effect.provideService(
          runOf(workflow, execute, payload, id),
          WorkflowEngine,
          engine,
        ) as ReturnType<Execute>,
    );
  const register = registering as unknown as WorkflowEngine["Service"]["register"];

  const engine: WorkflowEngine["Service"] = WorkflowEngine.of({
    ...effect,
    register,
    deferredDone: deferredDone as WorkflowEngine["Service"]["deferredDone"],
  });

  const ofInstance = Effect.map(WorkflowInstance, ({ executionId }) => {
    const [id] = parsed(executionId);
    return executionOf(id);
  });

  const extras = WorkflowExtras.of({
    send: Effect.fnUntraced(function* (to, channel, id, value) {
      const { channels, ids, seen } = executionOf(to.executionId);
      const { end } = yield* SubscriptionRef.get(seen);
      if (end !== undefined) {
        return yield* new ExecutionEnded({
          execution: to.executionId,
          outcome: Exit.isSuccess(end) ? "success" : "failure",
          attempt: 0,
          epoch: 0,
        });
      }
      const key = `${channel}\n${id}`;
      if (ids.has(key)) return;
      ids.add(key);
      const messages = channels.get(channel) ?? [];
      const place = messages.push(value) - 1;
      channels.set(channel, messages);
      const deferred = message(channel, place);
      yield* effect.deferredDone(deferred, {
        workflowName: to.workflow._tag,
        executionId: present(to.executionId),
        deferredName: deferred.name,
        exit: Exit.succeed(value),
      });
    }),
    receive: Effect.fnUntraced(function* (channel, place) {
      const { channels } = yield* ofInstance;
      const messages = channels.get(channel) ?? [];
      if (place < messages.length) return messages[place]!;
      return yield* DurableDeferred.await(message(channel, place));
    }),
    assign: (cell, count, value) =>
      Effect.flatMap(ofInstance, ({ seen }) =>
        Activity.make({
          name: `weir/${cell}/${count}`,
          execute: SubscriptionRef.update(seen, ({ cells, ...rest }) => ({
            ...rest,
            cells: new Map(cells).set(cell, value),
          })),
        })),
    read: ({ executionId }, cell) =>
      Effect.map(
        SubscriptionRef.get(executionOf(executionId).seen),
        ({ cells }) => Option.fromUndefinedOr(cells.get(cell)),
      ),
    changes: ({ executionId }, cell) =>
      SubscriptionRef.changes(executionOf(executionId).seen).pipe(
        Stream.takeUntil(({ end }) => end !== undefined),
        Stream.map(({ cells }) => cells.get(cell)),
        Stream.changes,
        Stream.filter((value) => value !== undefined),
      ),
    isNew: Effect.succeed(true),
  });

  return Context.make(WorkflowEngine, engine).pipe(Context.add(WorkflowExtras, extras));
});

/** Effect's engine in memory, with the extras. */
export const layerMemory: Layer.Layer<WorkflowEngine | WorkflowExtras> = make.pipe(
  Layer.effectContext,
  Layer.provide(layerEffect),
);
