/**
 * An actor as plain TypeScript: a named async function whose steps, sleeps and waits are durable
 * because they go through its context. The function runs again from the top after a crash or a
 * suspension, and is answered from the log; what it does outside of the context is not recorded.
 */
import * as Effect from "effect/Effect";
import type * as Duration from "effect/Duration";
import type { Amounts } from "../schema/budget.ts";
import { InvalidInput } from "../schema/errors.ts";
import { type ActorName, type Lane, shown } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";
import type { Consumed, ConsumeOptions } from "../streams/budgets.ts";
import { contextOf } from "./actor_context.ts";
import type { ActorCode, RunOptions, TokenOptions } from "./engine/operations.ts";
import type { AddEventOptions } from "./engine/outbox.ts";
import type { Keep } from "./keep.ts";
import type { ErrorClass, Raised } from "./raise.ts";
import type { RetryPolicy } from "./retry_policy.ts";
import type { SignalDefinition } from "./signal.ts";
import { type AnySchema, check } from "./standard_schema.ts";

/** One try of a step, as its function sees it. */
export interface StepContext {
  /** The same for every try of this step, and different from that of any other. */
  readonly idempotencyKey: string;
  /** Aborts when the try is given up: its time is over, or the execution is cancelled or lost. */
  readonly signal: AbortSignal;
  /** Counts the tries from 1. */
  readonly try: number;
  /** What the last try said of how far it had come. */
  readonly progress: unknown;
  /** Says that the step is alive, and how far it has come. */
  heartbeat(progress?: unknown): void;
  /**
   * Gives out a frame of this try for whoever follows the execution. Resolves as soon as there is
   * room for more; the frame is stored before the result of the step is.
   */
  emit(output: string, frame: unknown): Promise<void>;
}

export interface ChildOptions {
  /** The name of the call, if not that of the actor. */
  readonly name?: string;
  /** The name of the child execution; derived from the parent's and the call's, if left out. */
  readonly id?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly lane?: Lane | string;
  readonly requires?: ReadonlyArray<string>;
  /** What becomes of the child if this execution ends first; it is cancelled, if left out. */
  readonly onParentEnd?: "cancel" | "abandon";
}

/** A child that was started and runs beside. */
export interface SpawnedChild<Output> {
  readonly id: string;
  result(): Promise<Output>;
}

/** A value that the actor sets and that anybody can read. */
export interface StateCell<A> {
  get(): A | undefined;
  set(value: A | undefined): Promise<void>;
}

/** The outbox as an actor has it. */
export interface Outbox {
  /**
   * Adds an event that is published whatever becomes of this worker, and gives its id. It is stored
   * in one step with the record of it, so that no replay adds it again.
   */
  add(eventType: string, payload: unknown, options?: AddEventOptions): Promise<string>;
}

export interface ConsumeContextOptions extends Omit<ConsumeOptions, "key" | "execution"> {
  /** Those that the task is bound to, if left out. */
  readonly budgets?: string | ReadonlyArray<string>;
}

/** A budget as a function sees it that runs. */
export interface WatchedBudget {
  /**
   * Aborts when the budget has nothing left of a dimension, whoever has consumed it. It is watched
   * from when this is first asked for; once there is room again there is another signal.
   */
  readonly exhausted: AbortSignal;
}

/** What an actor's function does durably. */
export interface ActorContext {
  readonly executionId: string;
  readonly tenant: string;
  readonly attempt: number;
  /** What those gave behind which it was submitted, by their ids. */
  readonly results: Readonly<Record<string, unknown>>;
  /** Aborts when the execution is asked to stop, or this worker has lost it. */
  readonly cancelled: AbortSignal;
  /** Runs a function until it has succeeded once, and remembers what it gave. */
  run<A>(
    name: string,
    step: (context: StepContext) => A | PromiseLike<A>,
    options?: RunOptions,
  ): Promise<A>;
  /**
   * Consumes from the budgets that the task is bound to, once, however often this runs. If that would
   * exceed a hard limit, the binding of the budget says what follows.
   */
  consume(name: string, amounts: Amounts, options?: ConsumeContextOptions): Promise<Consumed>;
  /** A budget of the tenant, while this runs. */
  budget(name: string): WatchedBudget;
  sleep(name: string, duration: Duration.Input): Promise<void>;
  /** Waits for a signal; with a timeout, `undefined` says that none came in time. */
  wait<A>(signal: SignalDefinition<A>, options?: { readonly name?: string }): Promise<A>;
  wait<A>(
    signal: SignalDefinition<A>,
    options: { readonly name?: string; readonly timeout: Duration.Input },
  ): Promise<A | undefined>;
  /**
   * A token with which whoever has it may send this execution the signal, once: with `weir.complete`,
   * or by a POST that needs nothing else. It is taken for 7 days, if `expires` does not say otherwise.
   */
  token<A>(signal: SignalDefinition<A>, options?: TokenOptions): Promise<string>;
  /** Starts another execution and waits for its result. */
  call<Input, Output>(
    actor: Actor<Input, Output>,
    input: NoInfer<Input>,
    options?: ChildOptions,
  ): Promise<Output>;
  /** Starts another execution and goes on. */
  spawn<Input, Output>(
    actor: Actor<Input, Output>,
    input: NoInfer<Input>,
    options?: ChildOptions,
  ): Promise<SpawnedChild<Output>>;
  /** Waits for the result of an execution that somebody else started, and that is there. */
  join<Input, Output>(
    actor: Actor<Input, Output>,
    id: string,
    options?: { readonly name?: string },
  ): Promise<Output>;
  /** The server's time, as it was when this was first asked. */
  now(): Promise<Date>;
  /** A random UUID, the same in every replay. */
  uuid(): string;
  /** A random number from 0 to 1, the same in every replay. */
  random(): number;
  /**
   * Gives out a frame, any JSON value up to 64 KiB, for whoever follows the execution. Resolves as
   * soon as there is room for more. A replay does not give out again what was given; within a step
   * this is the step's own `emit`.
   */
  emit(output: string, frame: unknown): Promise<void>;
  /** What is told to others once what the actor has done is recorded. */
  readonly outbox: Outbox;
  tag(name: string, value?: string): Promise<void>;
  untag(name: string): Promise<void>;
  state<A>(name: string): StateCell<A>;
}

export interface ActorOptions<Input, Output, Class extends ErrorClass = ErrorClass> {
  /** Checks the input before anything is started with it. */
  readonly input?: AnySchema<Input>;
  /** Checks the result before it is recorded. */
  readonly output?: AnySchema<Output>;
  /**
   * Errors that keep their class when they cross a boundary: from a step or a child into this
   * actor, and from it to whoever awaits its result. What is an instance of none of these arrives as
   * `StepFailed`, `ChildFailed` or `ExecutionFailed`, which say what it was.
   */
  readonly errors?: ReadonlyArray<Class>;
  /** How often the whole is tried again when it fails; not at all, if left out. */
  readonly retry?: RetryPolicy;
  /** How long its executions are kept after their end; what its worker says, if left out. */
  readonly keep?: Keep;
}

/** The names of an actor's options, for those that have more. */
export const actorOptionNames: OptionNames<ActorOptions<unknown, unknown>> = {
  input: true,
  output: true,
  errors: true,
  retry: true,
  keep: true,
};

/** An actor: a name, and the function that its executions run. */
export interface Actor<Input, Output, Raised = unknown>
  extends ActorOptions<Input, Output, ErrorClass<Raised>> {
  readonly name: string;
  readonly run: (context: ActorContext, input: Input) => Output | PromiseLike<Output>;
}

/**
 * Names a function whose executions survive. It is left where it stands when its execution is
 * suspended, lost or moved, and runs again from the top: what awaits the context then never settles,
 * so that neither `catch` nor `finally` runs before its time. They run when what they guard has
 * really ended, as often as the function comes to its end. What must happen once, or be given back
 * whatever happens to the process, is a step.
 *
 * **Example** (An order)
 *
 * ```ts
 * import { actor, signal } from "@weir/weir";
 *
 * const approval = signal<{ by: string }>("approval");
 *
 * export const order = actor("order", async (ctx, input: { cents: number }) => {
 *   const receipt = await ctx.run("charge", () => `receipt over ${input.cents}`);
 *   const ok = await ctx.wait(approval, { timeout: "7 days" });
 *   return { receipt, by: ok?.by };
 * });
 * ```
 */
export function actor<Input, Output>(
  name: string,
  run: (context: ActorContext, input: Input) => Output | PromiseLike<Output>,
): Actor<Input, Output, never>;
export function actor<Input, Output, Class extends ErrorClass = never>(
  name: string,
  options: ActorOptions<Input, Output, Class>,
  run: (context: ActorContext, input: Input) => Output | PromiseLike<Output>,
): Actor<Input, Output, Raised<Class>>;
export function actor<Input, Output, Class extends ErrorClass>(
  name: string,
  ...rest:
    | [run: Actor<Input, Output>["run"]]
    | [options: ActorOptions<Input, Output, Class>, run: Actor<Input, Output>["run"]]
): Actor<Input, Output> {
  const [options, run] = rest.length === 1 ? [{}, rest[0]] : rest;
  if (typeof run !== "function" || typeof options === "function") {
    throw new InvalidInput({
      what: "actor",
      value: shown(name),
      rule: "expected its function as the last of actor(name, options, run)",
    });
  }
  Effect.runSync(checkOptions("an actor", options, actorOptionNames));
  return { ...options, name, run };
}

/** What the engine runs for an actor. */
export const codeOf = <Input, Output>(
  { name, run, input: inputSchema, output: outputSchema, errors, retry, keep, isRemote = false }:
    & Actor<Input, Output>
    & { readonly isRemote?: boolean },
): ActorCode => ({
  name: name as ActorName,
  isRemote,
  ...(retry === undefined ? {} : { retry }),
  ...(keep === undefined ? {} : { keep }),
  run: (operations, input) =>
    Effect.gen(function* () {
      const checked = inputSchema === undefined
        ? input as Input
        : yield* check(inputSchema, "input", input);
      const { context, close } = contextOf(operations, errors);
      const result = yield* Effect.tryPromise({
        try: async () => await run(context, checked),
        catch: (error) => error,
      }).pipe(Effect.tapError(() => Effect.sync(close)));
      const forgotten = close();
      if (forgotten !== undefined) return yield* forgotten;
      return outputSchema === undefined ? result : yield* check(outputSchema, "result", result);
    }),
});
