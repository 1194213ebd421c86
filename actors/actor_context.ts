/**
 * The context of one run of an actor's function, on the engine's operations: promises of what the
 * journal says. It guards what would make a replay differ from the first run: nothing durable is done
 * within a step, nothing behind the end of the function, and nothing is begun and then forgotten.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schema from "effect/Schema";
import { BudgetName } from "../schema/budget.ts";
import {
  BudgetExhausted,
  ChildFailed,
  ContextClosed,
  InsideStep,
  NotAwaited,
  StepFailed,
} from "../schema/execution_errors.ts";
import { ActorName, Lane, namedExecution, parse } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import { Requires, routeOf } from "../schema/route.ts";
import type {
  Actor,
  ActorContext,
  ChildOptions,
  ConsumeContextOptions,
  SpawnedChild,
  StateCell,
  StepContext,
  WatchedBudget,
} from "./actor.ts";
import { definition, nameOf } from "./definition.ts";
import type { Emit } from "./engine/emit.ts";
import type { ErrandRequest, Operations, RunOptions } from "./engine/operations.ts";
import { type ErrorClass, raise } from "./raise.ts";
import type { SignalDefinition } from "./signal.ts";
import { check } from "./standard_schema.ts";

type Json = Schema.Json;

/** The try of a step within which code runs, and whose it is. */
interface Tried {
  readonly by: Operations;
  readonly step: string;
  readonly emit: Emit;
}

const tried = new AsyncLocalStorage<Tried>();

const sentOut = new WeakMap<ActorContext, (request: ErrandRequest) => Promise<unknown>>();

/** Has a remote worker do what the execution was started with; once in an attempt. */
export const sendOut = (context: ActorContext, request: ErrandRequest): Promise<unknown> =>
  sentOut.get(context)!(request);

/** A promise that knows whether anybody has ever asked for what it gives. */
export class Durable<A> extends Promise<A> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  /** Called once, as soon as somebody asks. */
  onAwaited: (() => void) | undefined;

  override then<B = A, C = never>(
    onFulfilled?: ((value: A) => B | PromiseLike<B>) | null,
    onRejected?: ((reason: unknown) => C | PromiseLike<C>) | null,
  ): Promise<B | C> {
    this.onAwaited?.();
    this.onAwaited = undefined;
    return super.then(onFulfilled, onRejected);
  }
}

/** Makes a signal for who looks at it: one for each step would cost as much as the step. */
class Signals {
  #isAborted = false;
  #controller: AbortController | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#isAborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  abort(): void {
    this.#isAborted = true;
    this.#controller?.abort();
  }
}

/** What a function gives now or promises, told by a signal when nobody waits for it any more. */
const signalled = <A>(
  run: (signals: Signals) => A | PromiseLike<A>,
): Effect.Effect<A, unknown> =>
  Effect.callback((resume) => {
    const signals = new Signals();
    const fail = (error: unknown) => resume(Effect.fail(error));
    try {
      const result = run(signals);
      if (!isThenable(result)) return resume(Effect.succeed(result));
      // Whatever promises, and whatever that promises, ends as one does that is awaited.
      Promise.resolve(result).then((value) => resume(Effect.succeed(value)), fail);
    } catch (error) {
      return fail(error);
    }
    return Effect.sync(() => signals.abort());
  });

const isThenable = <A>(value: A | PromiseLike<A>): value is PromiseLike<A> =>
  typeof (value as { readonly then?: unknown } | null | undefined)?.then === "function";

export interface OpenContext {
  readonly context: ActorContext;
  /** Ends it with the function that it was for; gives what that has begun and forgotten. */
  readonly close: () => NotAwaited | undefined;
}

const childOptionNames: OptionNames<ChildOptions> = {
  name: true,
  id: true,
  tags: true,
  lane: true,
  requires: true,
  onParentEnd: true,
};

const consumeOptionNames: OptionNames<ConsumeContextOptions> = {
  budgets: true,
  overage: true,
  unallocated: true,
  leave: true,
};

const parseBudgetName = (name: string) => parse(BudgetName, "budget name", name);

const OnParentEnd = Schema.Literals(["cancel", "abandon"]);

const childOf = Effect.fnUntraced(function* (
  actor: { readonly name: string },
  input: unknown,
  options: ChildOptions,
) {
  yield* checkOptions("a child", options, childOptionNames);
  const { id, lane, requires, tags, onParentEnd } = options;
  const { name: actorName } = yield* definition("actor", actor);
  const named = id === undefined
    ? { actor: yield* parse(ActorName, "actor name", actorName) }
    : yield* namedExecution(actorName, id);
  const required = requires === undefined
    ? undefined
    : yield* parse(Requires, "requires", requires);
  const route = routeOf(
    lane === undefined ? undefined : yield* parse(Lane, "lane", lane),
    required,
  );
  return {
    ...named,
    input: input as Json | undefined,
    ...(route === undefined ? {} : { route }),
    ...(required === undefined ? {} : { requires: required }),
    ...(tags === undefined ? {} : { tags }),
    ...(onParentEnd === undefined
      ? {}
      : { onParentEnd: yield* parse(OnParentEnd, "onParentEnd", onParentEnd) }),
  };
});

export const contextOf = (
  operations: Operations,
  errors: ReadonlyArray<ErrorClass> = [],
): OpenContext => {
  const { execution, tenant, attempt, cancelled } = operations;
  /** What was begun and is not awaited yet. */
  const forgotten = new Set<{ readonly verb: string; readonly step: string }>();
  const watched = new Map<string, WatchedBudget>();
  let isClosed = false;

  /** Why a verb cannot be used here and now. */
  const refusal = (verb: string): InsideStep | ContextClosed | undefined => {
    const within = tried.getStore();
    if (within?.by === operations) return new InsideStep({ execution, step: within.step, verb });
    return isClosed ? new ContextClosed({ execution, verb }) : undefined;
  };

  /** A promise that nobody may be waiting for when it fails. */
  const promise = <A>(effect: Effect.Effect<A, unknown>): Durable<A> => {
    const result = new Durable<A>((resolve, reject) => {
      Effect.runFork(effect).addObserver((exit) => {
        if (Exit.isSuccess(exit)) resolve(exit.value);
        else reject(Cause.squash(exit.cause));
      });
    });
    Promise.prototype.then.call(result, undefined, () => {});
    return result;
  };

  const durably = <A>(verb: string, effect: Effect.Effect<A, unknown>): Durable<A> => {
    const refused = refusal(verb);
    return promise(refused === undefined ? effect : Effect.fail(refused));
  };

  /** What would be lost if the function returned and nobody had waited for it. */
  const awaited = <A>(
    verb: string,
    step: string,
    effect: Effect.Effect<A, unknown>,
  ): Promise<A> => {
    const promise = durably(verb, effect);
    const begun = { verb, step };
    forgotten.add(begun);
    promise.onAwaited = () => forgotten.delete(begun);
    return promise;
  };

  const immediately = <A>(verb: string, value: () => A): A => {
    const refused = refusal(verb);
    if (refused !== undefined) throw refused;
    return value();
  };

  /** Has errors of the actor's own classes, and of the child's, arrive as what they were. */
  const raising = <A, E>(
    effect: Effect.Effect<A, E>,
    classes: ReadonlyArray<ErrorClass> = [],
  ): Effect.Effect<A, unknown> =>
    Effect.mapError(
      effect,
      (error) =>
        error instanceof StepFailed || error instanceof ChildFailed
          ? raise([...errors, ...classes], error, error.failure)
          : error,
    );

  const context: ActorContext = {
    executionId: execution,
    tenant,
    attempt,
    results: operations.results,
    cancelled,
    run: <A>(
      name: string,
      step: (context: StepContext) => A | PromiseLike<A>,
      options?: RunOptions,
    ) =>
      awaited(
        "run",
        name,
        raising(operations.run(
          name,
          ({ emit, ...rest }) =>
            signalled((signals) =>
              tried.run({ by: operations, step: name, emit }, () =>
                step({
                  ...rest,
                  get signal() {
                    return signals.signal;
                  },
                  emit: (output, frame) => promise(emit(output, frame)),
                }))
            ),
          options,
        )),
      ) as Promise<A>,
    consume: (name, amounts, given = {}) =>
      awaited(
        "consume",
        name,
        raising(Effect.gen(function* () {
          yield* checkOptions("consume", given, consumeOptionNames);
          const { budgets, ...options } = given;
          const names = typeof budgets === "string" ? [budgets] : budgets;
          return yield* operations.consume(name, amounts, {
            ...options,
            ...(names === undefined
              ? {}
              : { budgets: yield* Effect.forEach(names, parseBudgetName) }),
          });
        })),
      ),
    budget: (name) => {
      const known = watched.get(name);
      if (known !== undefined) return known;
      const budget = Effect.runSync(parseBudgetName(name));
      let controller: AbortController | undefined;
      const own = {
        get exhausted() {
          if (controller === undefined) {
            controller = new AbortController();
            operations.room.watch(budget, (lack) => {
              const isOver = controller!.signal.aborted;
              if (lack === undefined && isOver) controller = new AbortController();
              if (lack === undefined || isOver) return;
              controller!.abort(new BudgetExhausted({ execution, ...lack }));
            });
          }
          return controller.signal;
        },
      };
      watched.set(name, own);
      return own;
    },
    sleep: (name, duration) => awaited("sleep", name, operations.sleep(name, duration)),
    wait: <A>(signal: SignalDefinition<A>, options = {}) =>
      awaited(
        "wait",
        nameOf(signal),
        Effect.gen(function* () {
          const { name, payload: schema } = yield* definition("signal", signal);
          const received = yield* operations.wait(name, options);
          return received === undefined || schema === undefined
            ? received?.payload as A
            : yield* check(schema, `the payload of ${name}`, received.payload);
        }),
      ),
    token: (signal, options) =>
      awaited(
        "token",
        nameOf(signal),
        Effect.flatMap(
          definition("signal", signal),
          ({ name }) => operations.token(name, options),
        ),
      ),
    call: <Input, Output>(
      actor: Actor<Input, Output>,
      input: Input,
      options: ChildOptions = {},
    ) =>
      awaited(
        "call",
        nameOf(actor),
        raising(
          Effect.flatMap(childOf(actor, input, options), (child) =>
            operations.call(options.name ?? actor.name, { ...child, tenant })),
          actor?.errors,
        ),
      ) as Promise<Output>,
    spawn: <Input, Output>(
      actor: Actor<Input, Output>,
      input: Input,
      options: ChildOptions = {},
    ) =>
      awaited(
        "spawn",
        nameOf(actor),
        childOf(actor, input, options).pipe(
          Effect.flatMap((child) =>
            operations.spawn(options.name ?? actor.name, { ...child, tenant })
          ),
          Effect.map(({ execution, result }): SpawnedChild<Output> => ({
            id: execution,
            result: () =>
              durably("result", raising(result, actor.errors)) as Promise<unknown> as Promise<
                Output
              >,
          })),
        ),
      ),
    join: <Input, Output>(
      actor: Actor<Input, Output>,
      id: string,
      options: { readonly name?: string } = {},
    ) =>
      awaited(
        "join",
        options?.name ?? nameOf(actor),
        raising(
          Effect.gen(function* () {
            const { name } = yield* definition("actor", actor);
            yield* checkOptions("join", options, { name: true });
            const named = yield* namedExecution(name, id);
            return yield* operations.join(options.name ?? name, { ...named, tenant });
          }),
          actor?.errors,
        ),
      ) as Promise<Output>,
    now: () => durably("now", Effect.map(operations.now, (now) => new Date(now))),
    uuid: () => immediately("uuid", operations.uuid),
    random: () => immediately("random", operations.random),
    emit: (output, frame) => {
      const within = tried.getStore();
      return within?.by === operations
        ? promise(within.emit(output, frame))
        : durably("emit", operations.emit(output, frame));
    },
    outbox: {
      add: (eventType, payload, options) =>
        awaited("outbox.add", eventType, operations.addEvent(eventType, payload, options)),
    },
    tag: (name, value = "") => awaited("tag", name, operations.tag(name, value)),
    untag: (name) => awaited("untag", name, operations.untag(name)),
    state: <A>(name: string): StateCell<A> => ({
      get: () => operations.cell(name) as A | undefined,
      set: (value) => awaited("state", name, operations.setCell(name, value as Json | undefined)),
    }),
  };

  sentOut.set(
    context,
    (request) => awaited("errand", "remote", raising(operations.errand(request))),
  );
  return {
    context,
    close: () => {
      isClosed = true;
      const [first] = forgotten;
      return first === undefined ? undefined : new NotAwaited({ execution, ...first });
    },
  };
};
