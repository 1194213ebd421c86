/**
 * Effect's `WorkflowEngine` on Weir's engine: each workflow is an actor, each activity a step, each
 * deferred a signal, each clock a sleep, each child a call. Who owns an execution, what is fenced and
 * who recovers it is the engine's business; this translates.
 */
import { randomUUID } from "node:crypto";
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import { memoize } from "effect/Function";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Scope from "effect/Scope";
import type * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import {
  type Encoded,
  makeUnsafe,
  WorkflowEngine,
  WorkflowInstance,
} from "effect/workflow/WorkflowEngine";
import type { InvalidInput } from "../schema/errors.ts";
import { type ExecutionId, Tenant, WorkerInstanceId } from "../schema/ids.ts";
import type { EngineControl } from "../streams/engine_control.ts";
import { HandOver } from "../streams/hand_over.ts";
import { Leases } from "../streams/lease.ts";
import { Log } from "../streams/log.ts";
import { Mailboxes } from "../streams/mailbox.ts";
import { make as makeValues } from "../streams/persistence/keyed_values.ts";
import { ServerClock } from "../streams/server_clock.ts";
import { Sessions } from "../streams/session.ts";
import type { Operations } from "./engine/operations.ts";
import { make as makeWorker, type WorkerOptions } from "./engine/worker.ts";
import { parseLimits } from "./engine/worker_limits.ts";
import { Executions, type Named } from "./executions.ts";
import { make as makeExtras } from "./workflow/extras_weir.ts";
import { exitOf, exitOfEnd, insist, poll, result } from "./workflow/ended.ts";
import { encodedValues, here, pack } from "./workflow/exit_codec.ts";
import {
  actorOf,
  deferredSignal,
  executionOf,
  interruptSignal,
  resumeSignal,
} from "./workflow/names.ts";
import { CurrentRun, type Registered, WorkflowRun } from "./workflow/run.ts";
import { make as makeSharedWorker } from "./workflow/shared_worker.ts";
import { Continued, CurrentBody, NextRun, nextRun, nothing } from "./workflow/workflow_body.ts";
import { WorkflowExtras } from "./workflow/workflow_extras.ts";

export interface WorkflowEngineOptions extends Omit<WorkerOptions, "actors" | "identity"> {
  /** Whose executions these are; "default" if left out. */
  readonly tenant?: Tenant;
}

type Json = Schema.Json;
type AnyExit = Exit.Exit<unknown, unknown>;

/** What runs workflows. */
type WorkerServices =
  | EngineControl
  | HandOver
  | Leases
  | Log
  | Mailboxes
  | ServerClock
  | Sessions;

/** A workflow that did not succeed: how it ended travels with what people read of it. */
class WorkflowFailed extends Error {
  override readonly name: string;
  readonly workflow: Json;
  constructor(cause: Cause.Cause<unknown>, workflow: Json) {
    const error = Cause.squash(cause);
    const isObject = typeof error === "object" && error !== null;
    super(isObject && "message" in error ? String(error.message) : Cause.pretty(cause));
    this.name = isObject && "_tag" in error ? String(error._tag) : "WorkflowFailed";
    this.workflow = workflow;
  }
}

/** What a workflow has that its narrow type leaves out. */
interface Props {
  readonly payloadSchema: Schema.Top;
}

const isInterrupted = (exit: AnyExit): boolean =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause);

// Made once for each workflow: a codec is compiled when it is first used.
const inputOf = memoize((workflow: Workflow.Any) =>
  Schema.toCodecJson((workflow as unknown as Props).payloadSchema)
);

/** How long what was done early waits for its execution. */
const earlyMs = 7 * 24 * 60 * 60 * 1_000;

const make = Effect.fnUntraced(function* (
  { tenant = Tenant.make("default"), ...options }: WorkflowEngineOptions,
  services: Context.Context<WorkerServices> | undefined,
) {
  const executions = yield* Executions;
  const early = makeValues(yield* Log, yield* ServerClock, "deferred", tenant);
  const named = (workflow: Workflow.Any, executionId: string): Named => ({
    execution: executionOf(workflow._tag, executionId),
    tenant,
  });

  const payloadOf = (workflow: Workflow.Any, payload: unknown) =>
    here(Schema.encodeEffect(inputOf(workflow))(payload));

  /** The code of a workflow as the engine runs it. */
  const codeOf = (registered: Registered) => ({
    name: actorOf(registered.workflow._tag),
    run: (operations: Operations, input: Json | undefined) =>
      Effect.scopedWith((scope) =>
        Effect.gen(function* () {
          const { workflow } = registered;
          const [, executionId] = /^[^/]*\/(.*)$/s.exec(operations.execution)!;
          const next = operations.continuations === 0
            ? { payload: input, before: nothing }
            : yield* here(Schema.decodeUnknownEffect(NextRun)(input));
          const payload = yield* here(Schema.decodeUnknownEffect(inputOf(workflow))(next.payload));
          const run = new WorkflowRun(operations, scope, readEarly(operations.execution));
          const exit = yield* run.complete(
            registered,
            payload as object,
            executionId!,
            engine,
            next.before,
          );
          if (Exit.isSuccess(exit) && exit.value instanceof Continued) {
            const { body, payload } = exit.value;
            const encoded = yield* payloadOf(workflow, payload) as Effect.Effect<Json>;
            return yield* run.continueAs(nextRun(encoded, body), body);
          }
          const { cancelled } = operations;
          if (cancelled.aborted && isInterrupted(exit)) return yield* Effect.fail(cancelled.reason);
          const travelling = yield* pack(exit, exitOf(workflow));
          if (Exit.isSuccess(exit)) return travelling;
          return yield* Effect.fail(new WorkflowFailed(exit.cause, travelling));
        })
      ),
  });

  const start = (workflow: Workflow.Any, executionId: string, payload: unknown) =>
    Effect.flatMap(
      payloadOf(workflow, payload),
      (input) =>
        insist(executions.start(actorOf(workflow._tag), tenant, input, {
          id: executionId,
          unserved: true,
        })),
    );

  const childOptions = (workflow: Workflow.Any, input: unknown) => ({
    actor: actorOf(workflow._tag),
    input: input as Json,
    tenant,
    onParentEnd: "abandon" as const,
  });

  /** Tells an execution something, unless nobody is there whom it would concern. */
  const tell = (of: Named, name: string, payload: Json, key?: string) =>
    executions.signal(of, name, payload, key === undefined ? {} : { key }).pipe(
      Effect.catchTag(["ExecutionEnded", "ExecutionNotFound"], () => Effect.void),
      insist,
      Effect.asVoid,
    );

  /** What was done before its execution was started, by the names of the deferreds. */
  const readEarly = (execution: ExecutionId) =>
    Effect.map(
      early.get(execution),
      (content) =>
        content !== undefined && "text" in content
          ? JSON.parse(content.text) as Readonly<Record<string, Json>>
          : {},
    );

  const keepEarly = (execution: ExecutionId, name: string, exit: Json) =>
    early.update(execution, (kept, now) => {
      const known = kept !== undefined && "text" in kept.content
        ? JSON.parse(kept.content.text) as Readonly<Record<string, Json>>
        : {};
      if (Object.hasOwn(known, name)) return [undefined, undefined];
      const content = { text: JSON.stringify({ ...known, [name]: exit }) };
      return [undefined, { content, until: now + earlyMs }];
    });

  /**
   * The first who does a deferred counts. What is done before there is an execution is kept for it;
   * if that was started meanwhile, it was told, or is told now.
   */
  const finish = Effect.fnUntraced(function* (of: Named, name: string, exit: Json) {
    const signal = deferredSignal(name);
    const isThere = executions.signal(of, signal, exit, { key: signal }).pipe(
      Effect.as(true),
      Effect.catchTag("ExecutionEnded", () => Effect.succeed(true)),
      Effect.catchTag("ExecutionNotFound", () => Effect.succeed(false)),
      insist,
    );
    if (yield* isThere) return;
    yield* insist(keepEarly(of.execution, name, exit));
    yield* isThere;
  });

  const serve = services && (yield* makeSharedWorker((actors) =>
    makeWorker({
      ...options,
      identity: WorkerInstanceId.make(`workflow-${randomUUID()}`),
      actors,
    }).pipe(Effect.provideContext(Context.omit(Scope.Scope)(services)), Effect.orDie)
  ));

  const encoded: Encoded = {
    register: Effect.fnUntraced(function* (workflow, execute) {
      if (serve === undefined) {
        return yield* Effect.die(
          new Error(`${workflow._tag} cannot run on a client: provide the layer of the engine`),
        );
      }
      const { run, ...code } = codeOf({ workflow, execute });
      // The worker is that of others as well, and what the schemas ask for is here.
      const context = yield* Effect.context<never>();
      yield* serve({
        ...code,
        run: (...started) => Effect.provideContext(run(...started), context),
      });
    }),

    execute: ((workflow: Workflow.Any, { executionId, payload, discard, parent, detached }: {
      readonly executionId: string;
      readonly payload: object;
      readonly discard: boolean;
      readonly parent?: WorkflowInstance["Service"] | undefined;
      readonly detached?: boolean | undefined;
    }) =>
      Effect.gen(function* () {
        const of = named(workflow, executionId);
        const run = yield* Effect.serviceOption(CurrentRun);
        if (discard || parent === undefined || Option.isNone(run) || detached === true) {
          const begin = start(workflow, executionId, payload);
          if (discard) {
            const body = Option.getOrUndefined(yield* Effect.serviceOption(CurrentBody));
            // Nobody would ask again for what an activity has recorded: it is not run again itself.
            if (Option.isNone(run) || parent === undefined || body?.instance !== parent) {
              return yield* Effect.asVoid(begin);
            }
            return yield* run.value.startChild(parent, of.execution, begin);
          }
          yield* begin;
          const exit = yield* exitOfEnd(workflow, result(executions, of));
          return new Workflow.Complete({ exit });
        }
        const input = yield* payloadOf(workflow, payload);
        return yield* run.value.child(
          parent,
          of.execution as ExecutionId,
          childOptions(workflow, input),
          (ended) => exitOfEnd(workflow, ended),
        );
      })) as Encoded["execute"],

    poll: (workflow, executionId) => poll(executions, workflow, named(workflow, executionId)),

    interrupt: (workflow, executionId) =>
      tell(named(workflow, executionId), interruptSignal, null, interruptSignal),

    interruptUnsafe: (workflow, executionId) =>
      executions.cancel(named(workflow, executionId)).pipe(
        Effect.catchTag(["ExecutionEnded", "ExecutionNotFound"], () => Effect.void),
        insist,
      ),

    resume: (workflow, executionId) => tell(named(workflow, executionId), resumeSignal, null),

    awaitComplete: (workflow, executionId) =>
      Effect.asVoid(Effect.exit(result(executions, named(workflow, executionId)))),

    activityExecute: Effect.fnUntraced(function* (activity, attempt) {
      const instance = yield* WorkflowInstance;
      return yield* (yield* current(instance)).activity(instance, activity, attempt);
    }),

    deferredResult: Effect.fnUntraced(function* (deferred: DurableDeferred.Any) {
      const instance = yield* WorkflowInstance;
      return yield* (yield* current(instance)).deferred(instance, deferred.name);
    }),

    deferredDone: ({ workflowName, executionId, deferredName, exit }) => {
      const of = { execution: executionOf(workflowName, executionId), tenant };
      return Effect.gen(function* () {
        const packed = yield* pack(exit, encodedValues);
        const run = Option.getOrUndefined(yield* Effect.serviceOption(CurrentRun));
        if (run?.execution === of.execution) return yield* run.done(deferredName, packed);
        yield* finish(of, deferredName, packed);
      });
    },

    scheduleClock: Effect.fnUntraced(function* (_workflow, { clock }) {
      const run = yield* Effect.serviceOption(CurrentRun);
      if (Option.isSome(run)) run.value.schedule(clock.deferred.name, clock.duration);
    }),
  };

  const current = Effect.fnUntraced(function* ({ executionId }: WorkflowInstance["Service"]) {
    const run = yield* Effect.serviceOption(CurrentRun);
    if (Option.isSome(run)) return run.value;
    return yield* Effect.die(new Error(`${executionId} does not run on this engine`));
  });

  const engine: WorkflowEngine["Service"] = makeUnsafe(encoded);
  return Context.make(WorkflowEngine, engine).pipe(
    Context.add(WorkflowExtras, makeExtras(executions, tenant)),
  );
});

/** The engine for processes that run workflows. */
export const layer = (
  options: WorkflowEngineOptions = {},
): Layer.Layer<WorkflowEngine | WorkflowExtras, InvalidInput, Executions | WorkerServices> =>
  Layer.effectContext(Effect.gen(function* () {
    // Where it can be told: the worker is made with the first workflow, whose layer has no errors.
    yield* parseLimits({ ...options, actors: [] });
    return yield* make(options, yield* Effect.context<WorkerServices>());
  }));

/** The engine for processes that start workflows, await, wake and interrupt them, and run none. */
export const layerClient = (
  options: Pick<WorkflowEngineOptions, "tenant"> = {},
): Layer.Layer<WorkflowEngine | WorkflowExtras, never, Executions | Log | ServerClock> =>
  Layer.effectContext(make(options, undefined));
