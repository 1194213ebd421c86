/**
 * The whole engine in this process's memory, for tests of actors: with a clock that the test moves and
 * workers that it can kill. The same code runs as on a server, and nothing outlives it. It shows
 * what an actor survives, not what a server or a network does.
 */
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Scope from "effect/Scope";
import type { Actor, StepContext } from "../actors/actor.ts";
import { layerMemory } from "../actors/layer.ts";
import type { ErrorClass } from "../actors/raise.ts";
import { outcomeOf, type Run } from "../actors/run.ts";
import { makeRuntime } from "../actors/runtime.ts";
import { type TokenKey, TokenKeys } from "../actors/signal_tokens.ts";
import { checkActors, makeVerbs, makeWorker } from "../actors/verbs.ts";
import type { Schedule } from "../actors/schedule.ts";
import type { Weir, Worker, WorkerOptions } from "../actors/weir.ts";
import { actingOn } from "../actors/access/acting.ts";
import type { NondeterministicProgram } from "../schema/execution_errors.ts";
import { parse, Tenant } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import { ExecutionIndex } from "../streams/execution_index.ts";
import * as EngineControl from "../streams/engine_control.ts";
import * as Leases from "../streams/lease.ts";
import { Expiries } from "../streams/retention.ts";
import * as ServerClock from "../streams/server_clock.ts";
import * as Sessions from "../streams/session.ts";
import { type Moment, MortalProcess } from "./process.ts";
import { ranTwice } from "./replay.ts";
import { VirtualClock } from "./virtual_clock.ts";

export interface MemoryOptions {
  /** Whose executions the verbs mean when none is named; `default` if left out. */
  readonly tenant?: string;
  /** On whose behalf all verbs are used; nobody's, if left out, and everything is allowed. */
  readonly principal?: string;
  /** The keys of tokens for signals; `WEIR_TOKEN_KEYS`, if left out. */
  readonly tokenKeys?: ReadonlyArray<TokenKey>;
  /** What time it is at first; now, if left out. */
  readonly startsAt?: Date;
  /**
   * Whether every actor's function, when it has come to its end, runs a second time on what its
   * context answered, steps left out, to see that it does the same; true if left out. What a
   * function does outside of its context happens twice then.
   */
  readonly runsTwice?: boolean;
}

const optionNames: OptionNames<MemoryOptions> = {
  tenant: true,
  principal: true,
  tokenKeys: true,
  startsAt: true,
  runsTwice: true,
};

/** A worker that can be killed. */
export interface MortalWorker extends Worker {
  /** How many records it has written about executions so far. */
  readonly appends: number;
  /**
   * Ends it as kill −9 would: it records nothing more, and its executions are another worker's as
   * soon as it has been silent for long enough.
   */
  crash(): Promise<void>;
  /**
   * Has it crash when it comes to a step, or a sleep, wait or call, of this name: `before` that is
   * recorded, so that it happens again, or right `after`; or at the nth record of any kind that it
   * writes about executions, counted from 1. Resolves when it has crashed.
   */
  crashAt(place: string | { readonly append: number }, moment: Moment): Promise<void>;
}

/**
 * Weir in memory. A `result` that is awaited lets time pass until it is there, and rejects with
 * `NondeterministicProgram` if the actor's function did something else when it ran again; of an
 * execution whose result nobody asks for, `close` does.
 */
export interface MemoryWeir extends Omit<Weir, "server" | "worker"> {
  /** What time it is there. */
  readonly now: Date;
  /** Lets time pass, and everything happen that is due meanwhile, each at its time. */
  advance(duration: Duration.Input): Promise<void>;
  worker(
    // deno-lint-ignore no-explicit-any -- an actor's types are its own business here
    actors: ReadonlyArray<Actor<any, any>>,
    options?: WorkerOptions,
  ): Promise<MortalWorker>;
}

/** Nobody waits longer for a result. */
const patience = "365 days";

/** What a process makes of what it sees; nothing of it is shared with another. */
const processServices = Layer.mergeAll(Leases.layer, ServerClock.layer, EngineControl.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

/** Tells which of an actor's steps are under way: when each try of one began, by the real clock. */
const observed = <Input, Output>(
  actor: Actor<Input, Output>,
  underWay: Set<{ readonly since: number }>,
): Actor<Input, Output> => ({
  ...actor,
  run: (context, input) =>
    actor.run({
      ...context,
      run: (name, step, options) =>
        context.run(name, async (tried: StepContext) => {
          const begun = { since: performance.now() };
          const end = () => underWay.delete(begun);
          underWay.add(begun);
          tried.signal.addEventListener("abort", end, { once: true });
          try {
            return await step(tried);
          } finally {
            end();
          }
        }, options),
    }, input),
});

/**
 * Runs the engine in memory, with time and crashes in the test's hands.
 *
 * **Example** (A week, and a crash)
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { actor } from "@weir/weir";
 * import { inMemory } from "@weir/weir/testing";
 *
 * let charges = 0;
 * const order = actor("order", async (ctx) => {
 *   const receipt = await ctx.run("charge", () => ++charges);
 *   await ctx.sleep("cool off", "7 days");
 *   return receipt;
 * });
 *
 * await using weir = await inMemory();
 * const first = await weir.worker([order]);
 * const crashed = first.crashAt("charge", "after");
 * const run = await weir.start(order, undefined);
 * await crashed;
 * await weir.worker([order]);
 * assert.equal(await run.result(), 1);
 * assert.equal(charges, 1);
 * ```
 */
export const inMemory = async (options: MemoryOptions = {}): Promise<MemoryWeir> => {
  const tenant = await Effect.runPromise(Effect.gen(function* () {
    yield* checkOptions("inMemory", options, optionNames);
    return yield* parse(Tenant, "tenant", options.tenant ?? "default");
  }));
  /** The steps that each worker has under way. */
  const steps = new Set<ReadonlySet<{ readonly since: number }>>();
  const clock = new VirtualClock(
    options.startsAt?.getTime() ?? Date.now(),
    () => Math.max(...[...steps].flatMap((underWay) => [...underWay].map(({ since }) => since))),
  );
  const runtime = makeRuntime(
    layerMemory(options.tokenKeys === undefined ? {} : { tokenKeys: options.tokenKeys }).pipe(
      Layer.provideMerge(Layer.succeedContext(clock.context)),
    ),
  );
  const context = await runtime.context();
  const verbs = makeVerbs(runtime, tenant);
  const { serve } = Context.get(context, Expiries);
  /** Who waits for a budget is told; what has ended stays, however far a test moves the time. */
  const bells = Expiries.of({
    serve: (handle) => serve((due) => handle(due.filter(({ kind }) => kind === "bell"))),
  });
  const workers = new Set<Worker>();
  /** By tenant and execution. */
  const secondRuns = new Map<string, Array<Promise<NondeterministicProgram | undefined>>>();

  const watched = <Input, Output>(actor: Actor<Input, Output>): Actor<Input, Output> =>
    options.runsTwice === false ? actor : ranTwice(actor, ({ tenant, executionId }, found) => {
      const of = `${tenant} ${executionId}`;
      const others = secondRuns.get(of);
      if (others === undefined) secondRuns.set(of, [found]);
      else others.push(found);
    });

  const projecting = runtime.runFork(Effect.flatMap(ExecutionIndex, ({ project }) => project));

  /** Lets time pass until something is there; fails if time cannot bring it about. */
  const passing = async <A>(awaited: Promise<A>, stuck: () => Promise<Error>): Promise<A> => {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    awaited.then(settle, settle);
    if (await clock.advanceUntil(() => isSettled, patience)) return awaited;
    throw await stuck();
  };

  /** Fails if a function did something else when it ran again. */
  const checked = async (of: string): Promise<void> => {
    for (const found of secondRuns.get(of)?.splice(0) ?? []) {
      const different = await found;
      if (different !== undefined) throw different;
    }
  };

  /** The result of an execution, with the time that it takes. */
  const resultOf = <Output>(run: Pick<Run<Output>, "id" | "tenant" | "result" | "describe">): Run<
    Output
  >["result"] =>
  async (resultOptions) => {
    const found = passing(run.result(resultOptions), async () => {
      const { status, why } = await run.describe();
      return new Error(`${run.id} does not end by itself: it is ${status}, and ${why}`);
    });
    await Promise.allSettled([found]);
    await checked(`${run.tenant} ${run.id}`);
    return found;
  };

  const timely = <Output, Raised, R extends Run<Output, Raised>>(
    run: R,
    errors: ReadonlyArray<ErrorClass<Raised>> | undefined,
  ): R => {
    const result = resultOf(run);
    return { ...run, result, outcome: () => outcomeOf(result(), errors) };
  };

  const timelySchedule = <Output, Raised, S extends Schedule<Output, Raised>>(
    schedule: S,
    errors: ReadonlyArray<ErrorClass<Raised>> | undefined,
  ): S => ({
    ...schedule,
    result: resultOf(schedule),
    trigger: async (options?: { readonly id?: string }) =>
      timely(await schedule.trigger(options), errors),
  });

  const worker: MemoryWeir["worker"] = async (actors, workerOptions = {}) => {
    await Effect.runPromise(checkActors(actors));
    const process = new MortalProcess(await runtime.context());
    const underWay = new Set<{ readonly since: number }>();
    const scope = Scope.makeUnsafe();
    const run = Effect.runPromiseWith(
      Context.merge(clock.context, process.services).pipe(
        Context.add(TokenKeys, Context.get(context, TokenKeys)),
      ),
    );
    const started = await run(
      Effect.flatMap(
        Layer.build(processServices),
        (services) =>
          makeWorker(
            // The code of a remote actor is not the test's, and knows its context by its identity.
            actors.map((actor: Actor<unknown, unknown> & { readonly isRemote?: boolean }) =>
              actor.isRemote === true ? actor : observed(watched(actor), underWay)
            ),
            // No program can register here, and who keeps them looks after them as long as time goes on.
            { remotes: false, ...workerOptions },
          ).pipe(Effect.provideContext(services)),
      ).pipe(Effect.provideService(Expiries, bells), Scope.provide(scope)),
    );
    steps.add(underWay);
    const end = () => {
      steps.delete(underWay);
      workers.delete(handle);
    };
    let closing: Promise<void> | undefined;
    const close = async () => {
      if (process.isDead) return;
      closing ??= run(Scope.close(scope, Exit.void)).then(end);
      await passing(closing, () => Promise.resolve(new Error("the worker does not end")));
    };
    const handle: MortalWorker = {
      identity: started.identity,
      get appends() {
        return process.appends;
      },
      crash: async () => {
        process.kill();
        end();
        await clock.settle();
      },
      crashAt: (place, moment) => process.killAt(place, moment).then(end),
      close,
      [Symbol.asyncDispose]: close,
    };
    workers.add(handle);
    return handle;
  };

  const close = async () => {
    for (const worker of workers) await worker.close();
    await Effect.runPromise(Fiber.interrupt(projecting));
    await runtime.dispose();
    for (const of of secondRuns.keys()) await checked(of);
  };
  const door = {
    ...verbs,
    tenant,
    start: async (actor, input, startOptions) =>
      timely(await verbs.start(actor, input, startOptions), actor.errors),
    submit: async (actor, input, submitOptions) =>
      timely(await verbs.submit(actor, input, submitOptions), actor.errors),
    submitAll: async (tasks, submitOptions) =>
      (await verbs.submitAll(tasks, submitOptions)).map((run, i) =>
        timely(run, tasks[i]!.actor.errors)
      ),
    schedule: async (actor, input, scheduleOptions) =>
      timelySchedule(await verbs.schedule(actor, input, scheduleOptions), actor.errors),
    getSchedule: (actor, id, getOptions) =>
      timelySchedule(verbs.getSchedule(actor, id, getOptions), actor.errors),
    get: (actor, id, getOptions) => timely(verbs.get(actor, id, getOptions), actor.errors),
    worker,
  } satisfies Partial<MemoryWeir>;
  return {
    ...actingOn(runtime, door, options.principal),
    get now() {
      return new Date(clock.currentTimeMillisUnsafe());
    },
    advance: (duration) => clock.advance(duration),
    close,
    [Symbol.asyncDispose]: close,
  };
};
