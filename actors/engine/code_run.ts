/**
 * One run of an actor's code: its fiber, what it has asked for, and what is under way for it. When it
 * is stopped, what is under way ends and the code is never resumed, not even to clean up: whatever it
 * would do then is no longer its to do. It records nothing by itself.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Scope from "effect/Scope";
import type { PayloadTooLarge } from "../../schema/errors.ts";
import { Cancelled, OutputClosed } from "../../schema/execution_errors.ts";
import type { ExecutionId, Tenant, Timestamp } from "../../schema/ids.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { AppendError, Message, ReadError } from "../../streams/log.ts";
import { attemptName, budgetsOf, type Command, roomTurn, roundOf, turnOf } from "../core/decide.ts";
import { type ExecutionState, inputOf, operation } from "../core/state.ts";
import type { Emitted } from "./emit.ts";
import type { Host } from "./host.ts";
import type { ActorCode, BudgetMeans } from "./operations.ts";
import { operationsOf } from "./perform.ts";
import type { SignalTokens } from "../signal_tokens.ts";
import type { Post } from "./post.ts";
import { Program } from "./program.ts";

export interface CodeRunOptions {
  readonly code: ActorCode;
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly state: () => ExecutionState;
  /** Whether a run before this one may have left something half done. */
  readonly isContinued: boolean;
  readonly post: Post;
  readonly budgets: BudgetMeans;
  readonly tokens: SignalTokens;
  readonly now: Effect.Effect<Timestamp>;
  /** Calls back at a time of the server's clock. */
  readonly watch: (due: number, then: () => void) => void;
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>;
  readonly submit: (
    command: Command,
    stored: () => void,
    refused: (error: PayloadTooLarge) => void,
    along: ReadonlyArray<Message>,
  ) => void;
  /** Takes a frame as soon as there is room, or says that it takes none any more. */
  readonly emit: (emitted: Emitted) => Effect.Effect<boolean>;
  /** The code got all that there is, and has asked for all that it wants. */
  readonly onQuiet: () => void;
  /** Nothing is under way any more. */
  readonly onRest: () => void;
  /** There may be an exit. */
  readonly onFinish: () => void;
  /** Appends records under the fence of the execution, beside its journal. */
  readonly append: (messages: ReadonlyArray<Message>) => Effect.Effect<void, AppendError>;
  /** Whether the execution is run here still, as the log says. */
  readonly isOwned: Effect.Effect<boolean, ReadError>;
  /** The time of the attempt is over that was to end then. */
  readonly onLimit: (due: number) => void;
}

const nothing = () => {};

/** How long who ends waits for the starts of children that are under way. */
const longestStartMs = 5_000;

export class CodeRun {
  readonly #options: CodeRunOptions;
  readonly #program: Program;
  readonly #scope = Scope.makeUnsafe();
  readonly #abort = new AbortController();
  /** Steps and starts of children that are under way. */
  #busy = 0;
  /** Starts of children among them. */
  readonly #starts = new Set<Fiber.Fiber<unknown, unknown>>();
  #whenStarted: (() => void) | undefined;
  /** How the code has ended. */
  #exit: Exit.Exit<unknown, unknown> | undefined;
  #stopped = false;

  constructor(options: CodeRunOptions) {
    this.#options = options;
    this.#program = new Program(
      options.execution,
      options.state,
      options.onQuiet,
      () => this.cancel(),
    );
  }

  start(): void {
    const { code, state, runFork } = this.#options;
    const input = structuredClone(inputOf(state()));
    const fiber = runFork(Effect.suspend(() => code.run(operationsOf(this.#host()), input)));
    fiber.addObserver((exit) => {
      this.#exit = exit;
      if (!this.#stopped) this.#options.onFinish();
    });
    this.#program.turn();
  }

  /**
   * How the code has ended, as soon as that counts: nobody would start the children of what has ended,
   * so it waits until they are started.
   */
  get exit(): Exit.Exit<unknown, unknown> | undefined {
    return this.#starts.size > 0 ? undefined : this.#exit;
  }

  get isBusy(): boolean {
    return this.#busy > 0;
  }

  /** Whether children are being started; if so, it calls back when they are. */
  isStarting(whenStarted: () => void): boolean {
    if (this.#starts.size === 0) return false;
    this.#whenStarted = whenStarted;
    return true;
  }

  /** Whether a child is recorded that the code has yet to ask for again, or to be given its turn for. */
  get owesChildren(): boolean {
    return this.#program.owesChildren;
  }

  /** Whether it does nothing until something comes from outside. */
  get isWaiting(): boolean {
    if (this.isBusy || this.#program.isTurning) return false;
    let isWaiting = false;
    for (const { key } of this.#program.outstanding.values()) {
      const known = operation(this.#options.state(), key);
      if (known === undefined || known.settled !== undefined) return false;
      isWaiting ||= this.#program.isAwaited(key);
    }
    return isWaiting;
  }

  /** Whether it awaits sleeps alone, and none that ends by then. */
  isAsleepUntil(time: number): boolean {
    for (const { key } of this.#program.outstanding.values()) {
      if (!this.#program.isAwaited(key)) continue;
      const known = operation(this.#options.state(), key);
      if (known?.kind !== "sleep" || known.due <= time) return false;
    }
    return true;
  }

  /** Gives the code the next thing that there is for it. */
  turn(): void {
    this.#program.turn();
  }

  /** The code gets nothing and begins nothing until `proceed`; what is under way goes on. */
  hold(): void {
    this.#program.hold();
  }

  proceed(): void {
    this.#program.proceed();
  }

  /** Tells what is under way that the execution is cancelled. */
  cancel(): void {
    this.#abort.abort(this.#cancelledError());
  }

  /** The code gets nothing more, and nothing that it began counts any more. */
  abandon(): void {
    this.#stopped = true;
    this.#program.close();
    if (this.#exit === undefined) {
      this.#abort.abort(new Error("the execution is not run here any more"));
    }
  }

  /** Has the children started that are recorded, if that takes no longer than it may. */
  get finishStarting(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#starts.size === 0) return Effect.void;
      return Fiber.awaitAll([...this.#starts]).pipe(
        Effect.timeoutOption(longestStartMs),
        Effect.andThen(Effect.suspend(() => Fiber.interruptAll([...this.#starts]))),
      );
    });
  }

  /** Abandons it, and waits until what was under way has ended. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.abandon();
      return Scope.close(this.#scope, Exit.void);
    });
  }

  #cancelledError(): Cancelled {
    const { execution, state } = this.#options;
    const reason = state().cancel?.reason;
    return new Cancelled({ execution, ...(reason === undefined ? {} : { reason }) });
  }

  /** Keeps the execution from being let go while it lasts, and from the moment it is forked on. */
  #whileBusy(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#busy++;
      return Effect.ensuring(
        Effect.andThen(Effect.yieldNow, effect),
        Effect.sync(() => this.#rest()),
      );
    });
  }

  /** The start of a child, without which the execution neither ends of itself nor begins anew. */
  #whileStarting(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.#starts.add(fiber);
      const started = Effect.sync(() => {
        this.#starts.delete(fiber);
        if (this.#starts.size > 0 || this.#stopped) return;
        if (this.exit !== undefined) this.#options.onFinish();
        this.#whenStarted?.();
        this.#whenStarted = undefined;
      });
      // It may be dropped before it has begun.
      return Effect.ensuring(this.#whileBusy(effect), started);
    });
  }

  /** A part of something busy in which the execution may be suspended. */
  #whileParked(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#rest();
      return Effect.ensuring(effect, Effect.sync(() => this.#busy++));
    });
  }

  #rest(): void {
    this.#busy--;
    if (this.#busy === 0 && !this.#stopped) this.#options.onRest();
  }

  /** Code that is given up is not resumed, but a step that goes on by itself is told. */
  #emit(emitted: Emitted): Effect.Effect<void, OutputClosed> {
    const { execution, emit } = this.#options;
    const { output, step } = emitted;
    return Effect.flatMap(this.#stopped ? Effect.succeed(false) : emit(emitted), (isTaken) => {
      if (isTaken) return Effect.void;
      return step === undefined
        ? Effect.never
        : Effect.fail(new OutputClosed({ execution, output, step: step.key }));
    });
  }

  /** What the operations of the code need. */
  #host(): Host {
    const {
      execution,
      tenant,
      state,
      isContinued,
      post,
      budgets,
      tokens,
      now,
      watch,
      runFork,
      submit,
      append,
      isOwned,
      onLimit,
    } = this.#options;
    const { attempt, life, start } = state();
    return {
      execution,
      tenant,
      attempt,
      life,
      continuations: state().continued?.count ?? 0,
      seed: start!.record.seed,
      isContinued,
      cancelled: this.#abort.signal,
      operation: (key) => operation(state(), key),
      isSignalled: (signal) => state().buffered.some(({ name }) => name === signal),
      post,
      budgets,
      bound: budgetsOf(state()),
      round: roundOf(state()),
      isCancelled: () => state().cancel !== undefined,
      attemptName: () => attemptName(state()),
      roomTurn: () => roomTurn(state()),
      tokens,
      program: this.#program,
      now,
      cancelledError: () => this.#cancelledError(),
      asParent: (key) => asParent(execution, tenant, state(), key),
      submit: (command, stored = nothing, refused = nothing, along = []) => {
        if (!this.#stopped) submit(command, stored, refused, along);
      },
      settle: (command) => {
        this.#busy++;
        if (!this.#stopped) submit(command, () => this.#rest(), nothing, []);
      },
      emit: (emitted) => Effect.suspend(() => this.#emit(emitted)),
      arm: (due, then) =>
        watch(due, () => {
          if (!this.#stopped) then();
        }),
      turn: turnOf(state()),
      errand: roundOf(state()),
      mail: () => state().mail,
      priority: start!.record.priority ?? 0,
      append,
      isOwned,
      limit: (due) =>
        watch(due, () => {
          if (!this.#stopped && this.#exit === undefined) onLimit(due);
        }),
      fork: (effect) => Fiber.runIn(runFork(effect), this.#scope),
      whileBusy: (effect) => this.#whileBusy(effect),
      whileParked: (effect) => this.#whileParked(effect),
      whileStarting: (effect) => this.#whileStarting(effect),
    };
  }
}

/** An execution as its children know it. */
export const asParent = (
  execution: ExecutionId,
  tenant: Tenant,
  state: ExecutionState,
  key: string,
): ParentReference => {
  const route = state.start?.record.route;
  const call = operation(state, key)?.opened;
  return {
    execution,
    tenant,
    life: state.life,
    key,
    ...(call === undefined ? {} : { call }),
    ...(route === undefined ? {} : { route }),
  };
};
