/**
 * One activation of a workflow: its body runs until it completes, and again from the top after each
 * suspension. What it has asked of the journal is asked once, whatever becomes of the fiber that
 * asked, and is answered to whoever asks again; a wait for a deferred, a clock or a child does not
 * suspend the body but lasts, until the execution is put out of memory or told to stop.
 */
import * as Cause from "effect/Cause";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import * as Scope from "effect/Scope";
import * as Semaphore from "effect/Semaphore";
import type * as Activity from "effect/workflow/Activity";
import * as Workflow from "effect/workflow/Workflow";
import { WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
import { Cancelled } from "../../schema/execution_errors.ts";
import type { ExecutionId } from "../../schema/ids.ts";
import type { ChildOptions, Operations } from "../engine/operations.ts";
import { Activities } from "./activities.ts";
import { encodedValues, type Travelling, unpack, unreadable } from "./exit_codec.ts";
import {
  clockSleep,
  deferredSignal,
  doneStep,
  earlyStep,
  interruptSignal,
  mendedWait,
  messageWait,
  resumedWait,
  resumeSignal,
  shortened,
  startedStep,
} from "./names.ts";
import { type Carried, Continued, WorkflowBody } from "./workflow_body.ts";

type Json = Schema.Json;
type AnyExit = Exit.Exit<unknown, unknown>;
type AnyResult = Workflow.Result<unknown, unknown>;
type Instance = WorkflowInstance["Service"];

const answerOf = (name: string): string => `deferred ${name}`;

const isCancelled = (cause: Cause.Cause<unknown>): boolean =>
  Cause.squash(cause) instanceof Cancelled;

/** What was asked for, and how many wait for it now. */
interface Answer {
  readonly exit: Deferred.Deferred<AnyExit>;
  waiting: number;
}

export interface Registered {
  readonly workflow: Workflow.Any;
  readonly execute: (
    payload: object,
    executionId: string,
  ) => Effect.Effect<unknown, unknown, WorkflowInstance | WorkflowEngine>;
}

/** The activation within which an effect of a workflow runs. */
export class CurrentRun extends Context.Service<CurrentRun, WorkflowRun>()(
  "@weir/weir/actors/CurrentRun",
) {}

export class WorkflowRun {
  readonly #operations: Operations;
  readonly #scope: Scope.Scope;
  readonly #activities: Activities;
  readonly #answers = new Map<string, Answer>();
  readonly #early: Effect.Effect<Readonly<Record<string, Schema.Json>>, unknown>;
  readonly #clocks = new Map<string, Duration.Duration>();
  /** Done when somebody has asked it to stop. */
  readonly #stopping = Deferred.makeUnsafe<void>();
  #isStopping = false;
  /** Whether it is to stop at once, and not only where it would wait. */
  #isTorn = false;
  #listens = false;
  /** Counts the runs of the body that came behind a suspension, in whatever activation. */
  #run = 0;
  /** The runs of this activation. */
  readonly #instances: Array<Instance> = [];
  #fiber: Fiber.Fiber<AnyResult> | undefined;
  /** Done when somebody else is to run it. */
  readonly #left = Deferred.makeUnsafe<void>();
  #fork: (effect: Effect.Effect<unknown>) => unknown = Effect.runFork;
  /** One after the other, since of those that are done alike the first counts. */
  readonly #doing = Semaphore.makeUnsafe(1);

  constructor(
    operations: Operations,
    scope: Scope.Scope,
    /** What was done before the start, by the names of the deferreds. */
    early: Effect.Effect<Readonly<Record<string, Schema.Json>>, unknown>,
  ) {
    this.#operations = operations;
    this.#scope = scope;
    this.#early = early;
    this.#activities = new Activities({
      operations,
      run: () => this.#run,
      isStopping: () => this.#mustStop,
      background: (effect) => this.#background(effect),
    });
  }

  get execution(): ExecutionId {
    return this.#operations.execution;
  }

  /** Runs the body until there is a result. */
  complete(
    { workflow, execute }: Registered,
    payload: object,
    executionId: string,
    engine: WorkflowEngine["Service"],
    before: Carried,
  ): Effect.Effect<AnyExit> {
    const mayFail = Context.get(workflow.annotations, Workflow.SuspendOnFailure);
    const once = Effect.suspend(() => {
      const instance = WorkflowInstance.initial(workflow, executionId, {
        scope: Scope.forkUnsafe(this.#scope) as Scope.Closeable,
      });
      this.#instances.push(instance);
      return new WorkflowBody(instance, before).run(execute(payload, executionId)).pipe(
        Effect.onExit((exit) => this.#beforeEnd(instance, exit, mayFail)),
        Workflow.intoResult,
        Effect.provideService(WorkflowInstance, instance),
        Effect.provideService(WorkflowEngine, engine),
        Effect.provideService(CurrentRun, this),
      );
    });
    return Effect.gen({ self: this }, function* () {
      this.#fork = Effect.runForkWith(yield* Effect.context<never>());
      const { cancelled, isBegun, isKnown } = this.#operations;
      if (cancelled.aborted) this.#onAbort();
      else cancelled.addEventListener("abort", () => this.#onAbort(), { once: true });
      while (isKnown(mendedWait(this.#run)) || isKnown(resumedWait(this.#run))) this.#run++;
      // What has failed is not run again until it is told so.
      let hasFailed = isBegun(mendedWait(this.#run));
      for (;;) {
        if (!hasFailed) {
          this.#fiber = yield* Effect.forkChild(once, { startImmediately: true });
          if (cancelled.aborted) this.#fiber.interruptUnsafe();
          const exit = yield* Fiber.await(this.#fiber);
          if (Exit.isFailure(exit)) return exit;
          if (exit.value._tag === "Complete") return exit.value.exit;
          hasFailed = exit.value.failed === true;
        }
        yield* this.#resumed(hasFailed ? mendedWait(this.#run) : resumedWait(this.#run));
        if (Deferred.isDoneUnsafe(this.#left)) return Exit.interrupt();
        this.#run++;
        hasFailed = false;
      }
    });
  }

  /** Asked to end, it cleans up; lost, it only lets go of what it holds. */
  #onAbort(): void {
    if (this.#operations.cancelled.reason instanceof Cancelled) {
      this.#isTorn = true;
      this.#stop();
    } else {
      for (const instance of this.#instances) instance.abandoned = true;
      Deferred.doneUnsafe(this.#left, Effect.void);
    }
    this.#fiber?.interruptUnsafe();
  }

  /** What a stop that was asked for makes of the end of a run. */
  #beforeEnd(instance: Instance, exit: AnyExit, mayFail: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      const isContinued = Exit.isSuccess(exit) && exit.value instanceof Continued;
      const isReached = this.#isTorn || instance.suspended || isContinued ||
        (mayFail && Exit.isFailure(exit));
      if (!this.#isStopping || !isReached || instance.abandoned) return Effect.void;
      instance.interrupted = true;
      instance.suspended = false;
      const stop = Effect.withFiber<void>((fiber) =>
        Effect.interruptible(Fiber.interrupt(fiber as Fiber.Fiber<unknown, unknown>))
      );
      return this.#isTorn ? Effect.andThen(this.#hearOfIt, stop) : stop;
    });
  }

  /** The first thing that is asked for after a cancellation is told of it, and nothing else is. */
  get #hearOfIt(): Effect.Effect<void> {
    return Effect.ignore(this.#operations.run("cancelled", () => Effect.void));
  }

  #stop(): void {
    this.#isStopping = true;
    Deferred.doneUnsafe(this.#stopping, Effect.void);
  }

  /** What was asked for, or nothing if it is to stop first; what cleans up waits all the same. */
  #orStop<A>(instance: Instance, answer: Effect.Effect<A>): Effect.Effect<Option.Option<A>> {
    if (instance.interrupted) return Effect.asSome(answer);
    this.#listen();
    return Effect.raceFirst(
      Effect.asSome(answer),
      Effect.as(Deferred.await(this.#stopping), Option.none()),
    );
  }

  /** Hears of an interruption from the first wait on: before, it would be heard nowhere. */
  #listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    this.#operations.awaitWhile(interruptSignal, () => false);
    this.#background(
      Effect.flatMap(this.#operations.wait(interruptSignal), () => Effect.sync(() => this.#stop())),
    );
  }

  #background(effect: Effect.Effect<unknown, unknown>): void {
    // What a cancelled execution is told ends its waits, and nobody asks for their answers.
    this.#fork(Effect.forkIn(Effect.ignoreCause(effect), this.#scope));
  }

  /** Whether it is asked to stop, and nothing but what cleans up may begin. */
  get #mustStop(): boolean {
    if (this.#operations.isSignalled(interruptSignal)) this.#stop();
    return this.#isStopping;
  }

  /** Returns when somebody has it go on or stop, or it is another's. */
  #resumed(name: string): Effect.Effect<void> {
    this.#listen();
    const { wait } = this.#operations;
    return Effect.raceAll([
      Effect.ignore(wait(resumeSignal, { name })),
      Deferred.await(this.#stopping),
      Deferred.await(this.#left),
    ]);
  }

  #answerOf(key: string): Answer {
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const answer: Answer = { exit: Deferred.makeUnsafe(), waiting: 0 };
    this.#answers.set(key, answer);
    return answer;
  }

  /** Asks the journal once, by a name of its own, for what many may wait for. */
  #asked(key: string, name: string, ask: Effect.Effect<AnyExit, unknown>): Answer {
    const isNew = !this.#answers.has(key);
    const answer = this.#answerOf(key);
    if (!isNew) return answer;
    this.#operations.awaitWhile(name, () => answer.waiting > 0);
    this.#background(
      Effect.matchCauseEffect(ask, {
        onSuccess: (exit) => Deferred.succeed(answer.exit, exit),
        onFailure: (cause) => this.#onUnanswered(key, answer, cause),
      }),
    );
    return answer;
  }

  #answer(key: string, name: string, ask: Effect.Effect<AnyExit, unknown>): Effect.Effect<AnyExit> {
    return Effect.suspend(() => {
      const answer = this.#asked(key, name, ask);
      answer.waiting++;
      return Effect.ensuring(
        Deferred.await(answer.exit),
        Effect.sync(() => answer.waiting--),
      );
    });
  }

  /** Nobody is left waiting: who cleans up behind a stop asks anew, and the rest has a reason. */
  #onUnanswered(key: string, answer: Answer, cause: Cause.Cause<unknown>): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      if (!isCancelled(cause)) return Deferred.succeed(answer.exit, Exit.die(Cause.squash(cause)));
      this.#answers.delete(key);
      return Effect.void;
    });
  }

  /** What Effect has no word for, asked for under the name that the journal has for it. */
  ask(
    instance: Instance,
    name: string,
    effect: (operations: Operations) => Effect.Effect<AnyExit, unknown>,
  ): Effect.Effect<Option.Option<AnyExit>> {
    return this.#orStop(instance, this.#answer(name, name, effect(this.#operations)));
  }

  /** Whether everything that the journal has was asked for, so that what comes is done first now. */
  get isNew(): boolean {
    return !this.#operations.isBehind();
  }

  /** Begins the body anew with another payload. */
  continueAs(next: Json, body: WorkflowBody): Effect.Effect<never, unknown> {
    const runs = Array.from({ length: this.#run + 1 }, (_, run) => run);
    return this.#operations.continueAs(next, {
      taken: [
        ...body.taken.map(([channel, place]) => messageWait(channel, place)),
        ...runs.flatMap((run) => [mendedWait(run), resumedWait(run)]),
      ],
      cleared: body.cleared,
    });
  }

  /** Recorded, since what is done while it runs must not be taken for early when it runs again. */
  get #doneEarly(): Effect.Effect<AnyExit> {
    const read = this.#operations.run(earlyStep, () => this.#early);
    return this.#answer("early", earlyStep, Effect.map(read, Exit.succeed));
  }

  /**
   * Whoever waits for a deferred is entered at the instance first, and waits here; who only wants to
   * know whether it is done already is answered at once.
   */
  deferred(instance: Instance, name: string): Effect.Effect<Option.Option<AnyExit>> {
    return Effect.suspend(() => {
      const { isKnown, isSignalled } = this.#operations;
      const isThere = this.#answers.has(answerOf(name)) || isKnown(doneStep(name)) ||
        isKnown(deferredSignal(name)) || isSignalled(deferredSignal(name));
      if (!isThere && !instance.awaitedDeferreds.has(name)) return Effect.succeedNone;
      const asked = this.#clocks.has(name) ? clockSleep(name) : deferredSignal(name);
      const ask = Effect.catchCause(
        this.#ask(name),
        (cause) => isCancelled(cause) ? Effect.failCause(cause) : Effect.succeed(unreadable(cause)),
      );
      return this.#orStop(instance, this.#answer(answerOf(name), asked, ask));
    });
  }

  #ask(name: string): Effect.Effect<AnyExit, unknown> {
    if (this.#operations.isKnown(doneStep(name))) return this.#recordDone(name, Effect.never);
    const clock = this.#clocks.get(name);
    if (clock !== undefined) {
      return Effect.as(this.#operations.sleep(clockSleep(name), clock), Exit.void);
    }
    return Effect.flatMap(
      this.#doneEarly,
      (exit) =>
        Exit.isSuccess(exit) && Object.hasOwn(exit.value as object, name)
          ? unpack((exit.value as Readonly<Record<string, unknown>>)[name], encodedValues)
          : Effect.flatMap(
            this.#operations.wait(deferredSignal(name)),
            (received) => unpack(received?.payload, encodedValues),
          ),
    );
  }

  #recordDone(name: string, exit: Effect.Effect<Travelling>): Effect.Effect<AnyExit, unknown> {
    return Effect.flatMap(
      this.#operations.run(doneStep(name), () => exit),
      (done) => unpack(done, encodedValues),
    );
  }

  /** What the workflow itself is done with first, is recorded before it goes on. */
  done(name: string, exit: Travelling): Effect.Effect<void> {
    return Semaphore.withPermit(
      this.#doing,
      Effect.suspend(() => {
        const key = answerOf(name);
        const answer = this.#answers.get(key)?.exit;
        if (answer !== undefined && Deferred.isDoneUnsafe(answer)) return Effect.void;
        const { isKnown, isSignalled } = this.#operations;
        const signal = deferredSignal(name);
        if (isKnown(signal) || isSignalled(signal)) return Effect.void;
        const step = doneStep(name);
        if (isKnown(step)) return Effect.asVoid(this.#answer(key, step, this.#ask(name)));
        return this.#recordDone(name, Effect.succeed(exit)).pipe(
          Effect.flatMap((first) => Deferred.succeed(this.#answerOf(key).exit, first)),
          Effect.catchCause((cause) => {
            // Who is told to stop has nobody left who waits.
            if (isCancelled(cause)) return Effect.void;
            // What cannot be recorded is what the deferred has ended with.
            const defect = Cause.squash(cause);
            const { exit } = this.#answerOf(key);
            return Effect.andThen(Deferred.succeed(exit, unreadable(cause)), Effect.die(defect));
          }),
          Effect.asVoid,
        );
      }),
    );
  }

  /** A clock runs from when it is first scheduled. */
  schedule(name: string, duration: Duration.Duration): void {
    if (this.#clocks.has(name)) return;
    this.#clocks.set(name, duration);
    this.#asked(answerOf(name), clockSleep(name), this.#ask(name));
  }

  /**
   * Starts a child that nobody awaits. That is recorded behind it, so that a later run does not start
   * anew what has ended and is not kept any more, and tries again what has failed.
   */
  startChild(
    instance: Instance,
    execution: ExecutionId,
    start: Effect.Effect<unknown>,
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const step = startedStep(execution);
      const recorded = Effect.asVoid(
        this.ask(instance, step, ({ run }) => Effect.as(run(step, () => Effect.void), Exit.void)),
      );
      return this.#operations.isKnown(step) ? recorded : Effect.andThen(start, recorded);
    });
  }

  child(
    instance: Instance,
    execution: ExecutionId,
    options: ChildOptions,
    read: (ended: Effect.Effect<unknown, unknown>) => Effect.Effect<AnyExit>,
  ): Effect.Effect<AnyResult> {
    const name = shortened(execution);
    const ended = this.#operations.call(name, { ...options, execution });
    return Effect.map(
      this.#orStop(instance, this.#answer(`child ${execution}`, name, read(ended))),
      Option.match({
        onNone: (): AnyResult => new Workflow.Suspended({}),
        onSome: (exit): AnyResult => new Workflow.Complete({ exit }),
      }),
    );
  }

  activity(instance: Instance, activity: Activity.Any, attempt: number): Effect.Effect<AnyResult> {
    return this.#activities.execute(instance, activity, attempt);
  }
}
