/**
 * One execution in the hands of its owner: its state, the fiber of its code, and everything that is
 * recorded for it, one record at a time and each under the lease. What the server refuses ends the
 * activation on the spot; nothing is decided by good manners. Claiming and reading come before it.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type * as Fiber from "effect/Fiber";
import * as Queue from "effect/Queue";
import * as Random from "effect/Random";
import * as Scope from "effect/Scope";
import type { PayloadTooLarge } from "../../schema/errors.ts";
import { Cancelled } from "../../schema/execution_errors.ts";
import type { Failure } from "../../schema/failure.ts";
import { type ExecutionId, isForeign, type Tenant, Timestamp } from "../../schema/ids.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { Leases } from "../../streams/lease.ts";
import type { AppendError, Log, Message, ReadError } from "../../streams/log.ts";
import type { Delivery } from "../../streams/mailbox.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import {
  afterEnd,
  attemptLimit,
  attemptName,
  beforeTakingUp,
  type Command,
  deadlineOf,
  errandsToWithdraw,
  type FollowUp,
  formerTurns,
  givenUp,
  turnOf,
} from "../core/decide.ts";
import {
  attemptTimer,
  beginOf,
  beginTimer,
  type ExecutionState,
  limitTimer,
  operation,
  startTag,
} from "../core/state.ts";
import type { KeepMs } from "../keep.ts";
import type { SignalTokens } from "../signal_tokens.ts";
import { pauseBeforeNext } from "../retry_policy.ts";
import { asTask, Skipped, type TaskCode, timedOut } from "../work/task_code.ts";
import { AttemptMeter, type AttemptMeterOptions } from "./attempt_meter.ts";
import { asParent, CodeRun } from "./code_run.ts";
import { Deadlines } from "./deadlines.ts";
import { endWith } from "./ending.ts";
import { failureOf, failureOfCause, failureOfTooLarge } from "./failure_of.ts";
import { speakingKey, tell } from "./follow_up.ts";
import { startLagSeconds } from "./metrics.ts";
import type { ActorCode, BudgetMeans } from "./operations.ts";
import { OfferedMail } from "./offered_mail.ts";
import { Outputs } from "./outputs.ts";
import { type Claimed, Ownership } from "./ownership.ts";
import type { Post } from "./post.ts";
import { snapshotEvery } from "./snapshot.ts";
import { Suspension } from "./suspension.ts";
import { toJson } from "./to_json.ts";

/** What activations of one worker share. */
export interface Engine extends AttemptMeterOptions {
  readonly log: Log["Service"];
  readonly leases: Leases["Service"];
  readonly clock: ServerClock["Service"];
  readonly post: Post;
  readonly budgets: BudgetMeans;
  readonly tokens: SignalTokens;
  /** How long an execution stays in memory although everything that it awaits is far off. */
  readonly residentMs: number;
  /** An execution only waits from now on; somebody else may need its place. */
  readonly onIdle: () => void;
  readonly maxReclaims: number;
  readonly keepMs: KeepMs;
  /** Runs beside the caller, with the services of the worker. */
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>;
}

/** How an activation ended. */
export type Ending =
  /** The execution has ended. */
  | "ended"
  /** It awaits something, and nobody owns it. */
  | "suspended"
  /** It was given up with work left, and nobody owns it. */
  | "released"
  /** Likewise, although it only waits: children of it may not have been started. */
  | "owing"
  /** Somebody else owns it, or it is not known who does. */
  | "lost";

type Event =
  | {
    readonly type: "command";
    readonly run: CodeRun;
    readonly command: Command;
    readonly stored: () => void;
    readonly refused: (error: PayloadTooLarge) => void;
    readonly along: ReadonlyArray<Message>;
  }
  | { readonly type: "wake"; readonly mail: number }
  | { readonly type: "finish"; readonly run: CodeRun }
  /** Frames could not be stored. */
  | { readonly type: "unemitted"; readonly error: AppendError }
  | {
    readonly type:
      | "renew"
      | "verify"
      | "drain"
      | "halt"
      | "release"
      | "rest"
      | "expire"
      | "suspend";
  }
  /** The next attempt may begin, after so many that failed. */
  | { readonly type: "retry"; readonly failures: number }
  | { readonly type: "limit"; readonly run: CodeRun; readonly due: number };

/** Ends the loop of an activation. */
class Over {
  readonly ending: Ending;
  constructor(ending: Ending) {
    this.ending = ending;
  }
}

/** How far executions are kept apart that were claimed together and lost together, each time. */
const apartMs = 500;

/** So long code may take to go on with all that was recorded before, until its place is another's. */
const catchUpMs = 10_000;

export class Activation {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly #engine: Engine;
  readonly #code: TaskCode;
  readonly #events: Queue.Queue<Event>;
  readonly #scope: Scope.Closeable;
  readonly #ownership: Ownership;
  readonly #outputs: Outputs;
  readonly #deadlines: Deadlines;
  readonly #suspension: Suspension;
  readonly #meter: AttemptMeter;
  /** None before the code is begun, and between two attempts. */
  #codeRun: CodeRun | undefined;
  readonly #offered = new OfferedMail();
  #draining = false;
  /** Whether it goes on no more once it waits, since somebody paused its tenant or its lane. */
  #halted: boolean;
  #hasBegun = false;
  #codeBegunMs = 0;
  /** Whether what was left undone before, by another owner or attempt, may be so still. */
  #isOwing: boolean;
  #over = false;

  private constructor(
    engine: Engine,
    code: ActorCode,
    of: { readonly execution: ExecutionId; readonly tenant: Tenant },
    claimed: Claimed,
    events: Queue.Queue<Event>,
    scope: Scope.Closeable,
    isHalted: boolean,
  ) {
    this.#halted = isHalted;
    const { log, leases, clock, monotonicMs } = engine;
    this.#engine = engine;
    this.#code = asTask(code, claimed.history.state.start?.record);
    this.execution = of.execution;
    this.tenant = of.tenant;
    this.#events = events;
    this.#scope = scope;
    const fork = (effect: Effect.Effect<void>) => this.#fork(effect);
    this.#deadlines = new Deadlines({ log, clock, monotonicMs, fork }, claimed.history.state);
    this.#suspension = new Suspension({
      residentMs: engine.residentMs,
      isIdle: () => !this.#over && this.#isIdle() && (this.#isStopped || !this.#owes),
      isAsleep: () =>
        this.#isStopped ||
        this.#codeRun?.isAsleepUntil(this.#deadlines.nowAbout + engine.residentMs) === true,
      onIdle: engine.onIdle,
      suspend: () => this.#offer({ type: "suspend" }),
      fork,
    });
    this.#meter = new AttemptMeter(engine, this.#code.name);
    this.#ownership = new Ownership({
      log,
      leases,
      monotonicMs,
      at: () => this.#deadlines.nowAbout,
      framesStored: Effect.suspend(() => this.#outputs.stored),
      onStored: (record) => {
        if ("key" in record && record.key !== undefined) {
          this.#deadlines.settled(this.#ownership, record.key);
        }
        this.#codeRun?.turn();
      },
    }, claimed);
    this.#isOwing = !this.#ownership.atRest;
    this.#outputs = new Outputs({
      log,
      address: this.#ownership.address,
      fence: this.#ownership.fence,
      state: () => this.state,
      fork,
      onFailure: (error) => this.#offer({ type: "unemitted", error }),
    });
  }

  static readonly make = Effect.fnUntraced(function* (
    engine: Engine,
    code: ActorCode,
    of: { readonly execution: ExecutionId; readonly tenant: Tenant },
    claimed: Claimed,
    isHalted = false,
  ) {
    const events = yield* Queue.unbounded<Event>();
    const scope = yield* Scope.make();
    return new Activation(engine, code, of, claimed, events, scope, isHalted);
  });

  get state(): ExecutionState {
    return this.#ownership.state;
  }

  /** Whether it only awaits what is to come, so that its place may be another's. */
  get isParked(): boolean {
    if (this.#over || !this.#isIdle()) return false;
    return this.#isStopped || !this.#owes ||
      this.#engine.monotonicMs() - this.#codeBegunMs > catchUpMs;
  }

  /** The last message of the mailbox that was dealt with: an end leaves what it finds behind it. */
  get mailDone(): number {
    const [left] = this.state.inbox;
    return left === undefined ? this.#ownership.mailRead : left.sequence - 1;
  }

  /** What was offered because of this execution, and is not acked. */
  get deliveries(): ReadonlyArray<Delivery> {
    return this.#offered.all;
  }

  /** Takes a message over; it is acked when all that follows from it is durable. */
  take(delivery: Delivery): void {
    this.#offered.take(delivery);
    this.#offer({ type: "wake", mail: delivery.mail });
  }

  /** Extends the lease when its third is over, and the server's patience about the mail. */
  keepAlive(now: number): void {
    this.#offered.keepAlive();
    if (this.#ownership.isRenewalDue(now)) this.#offer({ type: "renew" });
  }

  /** Looks whether the lease is still its own, after the connection was away. */
  verify(): void {
    this.#offer({ type: "verify" });
  }

  /** Begins nothing more, and lets go as soon as what is under way is recorded. */
  drain(): void {
    this.#offer({ type: "drain" });
  }

  /** Goes on with what its code is in the middle of, and lets go when it waits; or not any more. */
  halt(isHalted: boolean): void {
    if (isHalted === this.#halted) return;
    this.#halted = isHalted;
    if (isHalted) this.#offer({ type: "halt" });
  }

  /** Lets go at once, with what is under way. */
  release(): void {
    this.#offer({ type: "release" });
  }

  /** Makes room, if it only awaits what is to come. */
  suspend(): void {
    this.#offer({ type: "suspend" });
  }

  /** Runs the execution until it ends, is suspended, or is somebody else's. */
  readonly run: Effect.Effect<Ending> = Effect.suspend(() => this.#begin).pipe(
    Effect.andThen(Effect.suspend(() => this.#loop)),
    Effect.catch((problem) =>
      problem instanceof Over ? Effect.succeed(problem.ending) : this.#fail(problem)
    ),
    Effect.catchDefect((defect) =>
      Effect.as(
        Effect.logError(`${this.execution} is given up for now`, failureOf(defect)),
        "lost" as const,
      )
    ),
    Effect.ensuring(Effect.suspend(() => {
      this.#over = true;
      this.#meter.end("lost");
      return Effect.andThen(
        this.#codeRun?.stop ?? Effect.void,
        Scope.close(this.#scope, Exit.void),
      );
    })),
  );

  #fail(problem: AppendError | ReadError): Effect.Effect<Ending> {
    return problem._tag === "StaleFence" ? Effect.succeed("lost") : Effect.as(
      Effect.logWarning(`${this.execution} is given up for now: ${problem.message}`),
      "lost",
    );
  }

  #offer(event: Event): void {
    if (!this.#over) Queue.offerUnsafe(this.#events, event);
  }

  #fork(effect: Effect.Effect<void>): void {
    this.#engine.runFork(Effect.forkIn(effect, this.#scope));
  }

  /**
   * The server's time, for the code; if it cannot be known, the execution is given up. What handles
   * events must not wait for that, or nobody would.
   */
  get #nowForCode(): Effect.Effect<Timestamp> {
    return this.#deadlines.now.pipe(
      Effect.catch((error) =>
        Effect.sync(() => this.#offer({ type: "release" })).pipe(
          Effect.andThen(Effect.logWarning(`the server's time is not known: ${error.message}`)),
          Effect.andThen(Effect.never),
        )
      ),
    );
  }

  get #begin(): Effect.Effect<void, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      // What was offered along with the start came before any code, and counts before any code.
      yield* Effect.yieldNow;
      yield* this.#readMail(this.#offered.last);
      const { start } = this.state;
      if (start === undefined) return yield* this.#letGo("released");
      if (this.state.done !== undefined) return yield* this.#letGo("ended");
      const { reclaims } = this.#ownership;
      // Who keeps something for others records little, and must be there whatever happens.
      if (isForeign(this.#code.name) && reclaims > this.#engine.maxReclaims) {
        const failure = {
          name: "max_reclaims_exceeded",
          message: `${reclaims} owners in a row failed before they recorded anything`,
          retryable: false,
        };
        return yield* this.#end({ type: "failure", failure });
      }
      // What takes its worker along each time must not take its neighbours along each time.
      if (reclaims > 1) {
        const longest = Math.min(reclaims * apartMs, this.#ownership.ttlMs / 4);
        yield* Effect.sleep(longest * (yield* Random.next));
      }
      if (!this.#ownership.atRest) {
        const turns = formerTurns(this.state);
        yield* this.#follow(turns.map((turn) => ({ type: "leave", turn })));
      }
      const now = yield* this.#deadlines.now;
      const deadline = deadlineOf(this.state);
      if (deadline !== undefined && deadline <= now) return yield* this.#end({ type: "expired" });
      if (deadline !== undefined) {
        this.#deadlines.watch(deadline, () => this.#offer({ type: "expire" }));
      }
      const begin = beginOf(this.state);
      const key = beginTimer(this.state);
      if (key !== undefined && begin > now && this.state.cancel === undefined) {
        yield* this.#deadlines.schedule(this.#ownership, key, Timestamp.make(begin));
        return yield* this.#letGo("suspended");
      }
      // It was claimed only for what needs none of its code.
      if (this.#halted) return yield* this.#letGo("released");
      // Nothing has been recorded, and nobody was at it who was lost.
      if (this.state.index === 0 && this.#ownership.atRest) {
        const due = this.state.promoted ?? Math.max(start.at, start.record.notBefore ?? 0);
        this.#engine.count(startLagSeconds, Math.max(0, now - due) / 1_000);
      }
      yield* this.#attachTags();
      this.#startCode();
    });
  }

  /** The tags that the execution was started with. */
  #attachTags(): Effect.Effect<void, AppendError> {
    const tags = Object.entries(this.state.start?.record.tags ?? {});
    return Effect.forEach(tags, ([name, value]) => {
      const key = startTag(name);
      return operation(this.state, key) === undefined
        ? this.#ownership.execute({ kind: "tag", key, change: "attached", name, value })
        : Effect.void;
    }, { discard: true });
  }

  #startCode(): void {
    const isContinued = this.#hasBegun || !this.#ownership.atRest;
    this.#meter.begin();
    this.#hasBegun = true;
    this.#codeBegunMs = this.#engine.monotonicMs();
    const { execution, tenant } = this;
    const run = new CodeRun({
      code: this.#code,
      execution,
      tenant,
      state: () => this.state,
      isContinued,
      post: this.#engine.post,
      budgets: this.#engine.budgets,
      tokens: this.#engine.tokens,
      now: this.#nowForCode,
      emit: (emitted) => this.#outputs.emit(emitted),
      watch: (due, then) => this.#deadlines.watch(due, then),
      runFork: this.#engine.runFork,
      submit: (command, stored, refused, along) =>
        this.#offer({ type: "command", run, command, stored, refused, along }),
      onQuiet: () => this.#suspension.consider(),
      onRest: () => this.#offer({ type: "rest" }),
      onFinish: () => this.#offer({ type: "finish", run }),
      append: (messages) => this.#append(messages),
      isOwned: Effect.suspend(() => this.#ownership.isValid),
      onLimit: (due) => this.#offer({ type: "limit", run, due }),
    });
    this.#codeRun = run;
    if (this.state.paused !== undefined) run.hold();
    run.start();
  }

  get #loop(): Effect.Effect<never, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const event = yield* Queue.take(this.#events);
        if (event.type !== "renew" && event.type !== "verify") this.#suspension.postpone();
        yield* this.#handle(event);
        yield* this.#ownership.leaveSnapshot(snapshotEvery * 8);
        this.#suspension.consider();
      }
    });
  }

  #handle(event: Event): Effect.Effect<void, Over | AppendError | ReadError> {
    let wasIdle = false;
    switch (event.type) {
      case "command":
        if (event.run !== this.#codeRun) return Effect.void;
        if (event.command.kind === "continued") {
          // Nobody would start the children of what has been left behind.
          const isPutOff = event.run.isStarting(() => this.#offer(event));
          return isPutOff ? Effect.void : this.#continue(event);
        }
        return Effect.catchTag(
          this.#ownership.execute(event.command, event.along),
          "PayloadTooLarge",
          (error) => this.#tooLarge(event.command, event.refused, error),
        ).pipe(Effect.tap(() => Effect.sync(event.stored)));
      case "wake":
        return this.#readMail(event.mail);
      case "finish":
        return event.run === this.#codeRun && event.run.exit !== undefined
          ? this.#finish(event.run.exit)
          : Effect.void;
      case "limit":
        // What undoes a cancelled execution runs to its end, and who waits for a budget has time.
        return event.run === this.#codeRun && event.run.exit === undefined &&
            attemptLimit(this.state) === event.due
          ? this.#failed(timedOut(this.#code.timeoutMs))
          : Effect.void;
      case "unemitted":
        return Effect.fail(event.error);
      case "renew":
        return this.#ownership.renew();
      case "verify":
        return Effect.flatMap(
          this.#ownership.isValid,
          (isValid) => isValid ? Effect.void : Effect.fail(new Over("lost")),
        );
      case "drain":
        wasIdle = this.#isIdle();
        this.#draining = true;
        this.#codeRun?.hold();
        return this.#codeRun?.isBusy === true
          ? Effect.void
          : this.#letGo(wasIdle ? "suspended" : "released");
      case "halt":
        return this.#halted && this.#codeRun === undefined
          ? this.#suspendUntilRetry()
          : Effect.void;
      case "expire":
        return this.#end({ type: "expired" });
      case "release":
        return this.#letGo("released");
      case "rest":
        // Code that has ended is about to be heard.
        return this.#draining && this.#codeRun?.isBusy === false &&
            this.#codeRun.exit === undefined
          ? this.#letGo("released")
          : Effect.void;
      case "retry":
        if (this.#codeRun === undefined && event.failures === this.state.failures) {
          this.#startCode();
        }
        return Effect.void;
      case "suspend":
        // What was offered in between was for other reasons; the grace is over.
        return this.isParked ? this.#letGo("suspended") : Effect.void;
    }
  }

  /** Whether nothing is under way and nothing will be before something comes from outside. */
  #isIdle(): boolean {
    if (this.#codeRun === undefined || this.state.inbox.length > 0) return false;
    if (Queue.sizeUnsafe(this.#events) > 0 || this.#codeRun.isBusy) return false;
    return this.state.paused !== undefined || this.#codeRun.isWaiting;
  }

  /** What the code appends itself goes in its turn among what is recorded for it. */
  #append(messages: ReadonlyArray<Message>): Effect.Effect<void, AppendError> {
    const { address, fence: guard } = this.#ownership;
    const { log } = this.#engine;
    const guarded = messages.map((message) => ({ ...message, guard }));
    const [first] = guarded;
    if (first === undefined) return Effect.void;
    return Effect.asVoid(
      guarded.length === 1 ? log.append(address, first) : log.appendBatch(address, guarded),
    );
  }

  /** Whether somebody wants it to go on no further than it must. */
  get #isStopped(): boolean {
    return this.#halted || this.state.paused !== undefined;
  }

  /** Whether the start of a child was recorded before that may not have been done. */
  get #owes(): boolean {
    // It is under way again as soon as the code has asked for it and was given its turn.
    if (this.#codeRun !== undefined) this.#isOwing &&= this.#codeRun.owesChildren;
    return this.#isOwing;
  }

  /** Whether anything that was recorded as begun may not have been done. */
  get #isUnderWay(): boolean {
    return this.#codeRun?.isBusy === true || this.#owes;
  }

  /** Gives up the code of this attempt, and remembers whether something of it is still to be done. */
  get #dropCode(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const run = this.#codeRun;
      if (run === undefined) return Effect.void;
      this.#isOwing = this.#isUnderWay;
      return Effect.andThen(run.stop, Effect.sync(() => this.#codeRun = undefined));
    });
  }

  /** Gives the lease up, when everything that is to wake the execution is durable. */
  #letGo(wish: "suspended" | "released" | "ended"): Effect.Effect<never, Over | AppendError> {
    return Effect.gen({ self: this }, function* () {
      // Nothing might come that would have somebody go on with what is owed.
      const mustReturn = wish === "suspended" && this.#codeRun !== undefined &&
        this.state.paused === undefined && this.#owes;
      const ending = mustReturn ? "owing" : wish;
      // What hears that it is given up may drop what it has asked for.
      const isAtRest = !this.#isUnderWay;
      // Or else a step could begin its next try while the lease is given up.
      this.#codeRun?.abandon();
      if (wish === "suspended") {
        yield* this.#deadlines.scheduleAll(this.#ownership);
        yield* this.#ownership.leaveSnapshot(snapshotEvery);
      }
      yield* this.#ownership.release(isAtRest);
      this.#meter.end(ending === "owing" ? "released" : ending);
      return yield* Effect.fail(new Over(ending));
    });
  }

  /** What is too large to be recorded is a failure of whoever wanted it. */
  #tooLarge(
    command: Command,
    refused: (error: PayloadTooLarge) => void,
    error: PayloadTooLarge,
  ): Effect.Effect<void, AppendError> {
    if (command.kind !== "step") return Effect.sync(() => refused(error));
    const failure = failureOfTooLarge(error);
    return this.#ownership.execute({ ...command, result: { type: "failure", failure } });
  }

  #readMail(through: number): Effect.Effect<void, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      yield* this.#ownership.readMail(through, this.#offered.entryOf(through));
      yield* this.#takeUpMail();
      this.#offered.ackAllButLast();
    });
  }

  #takeUpMail(): Effect.Effect<void, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      while (this.state.inbox.length > 0) {
        const before = this.state;
        const record = beforeTakingUp(before);
        const mail = before.inbox[0]!.record;
        if (mail.kind === "timer") this.#deadlines.announced(mail.key, mail.due);
        if (record === undefined) this.#ownership.takeUp();
        else yield* this.#ownership.store(record);
        yield* this.#afterTakingUp(before);
      }
      this.#codeRun?.turn();
    });
  }

  #afterTakingUp(
    before: ExecutionState,
  ): Effect.Effect<void, Over | AppendError | ReadError> {
    const { cancel, done, expired, paused, promoted } = this.state;
    // Nothing of the actor's code can have run yet.
    const isUnbegun = before.index === 0 && this.#ownership.reclaims === 0 && !this.#hasBegun;
    if (done !== undefined) {
      return before.joins === this.state.joins
        ? Effect.void
        : this.#follow(afterEnd(this.state, done.record.outcome));
    }
    if (expired && !before.expired) return this.#end({ type: "expired" });
    if (cancel !== undefined && (cancel.force || isUnbegun)) {
      return this.#end({ type: "cancelled", ...reasonOf(cancel) });
    }
    if (cancel !== undefined && before.cancel === undefined) {
      this.#codeRun?.cancel();
      if (this.#hasBegun) this.#retry();
      return this.#follow(givenUp(this.state));
    }
    if (promoted !== undefined && before.promoted === undefined && this.#hasBegun) this.#retry();
    if (cancel !== undefined && before.joins !== this.state.joins) {
      return this.#follow(givenUp(this.state));
    }
    if (paused !== undefined && before.paused === undefined) this.#codeRun?.hold();
    if (paused === undefined && before.paused !== undefined) this.#codeRun?.proceed();
    return Effect.void;
  }

  #finish(
    exit: Exit.Exit<unknown, unknown>,
  ): Effect.Effect<void, Over | AppendError | ReadError> {
    if (Exit.isSuccess(exit)) {
      try {
        const value = toJson("the result", exit.value);
        return this.#end({ type: "success", ...(value === undefined ? {} : { value }) });
      } catch (error) {
        return this.#failed(failureOfCause(Cause.fail(error)));
      }
    }
    const error = Cause.squash(exit.cause);
    if (error instanceof Skipped) return this.#end({ type: "skipped", reason: error.reason });
    const { cancel } = this.state;
    if (cancel !== undefined && error instanceof Cancelled) {
      return this.#end({ type: "cancelled", ...reasonOf(cancel) });
    }
    return this.#failed(failureOfCause(exit.cause));
  }

  #failed(failure: Failure): Effect.Effect<void, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      const policy = this.#code.retry;
      const pause = policy === undefined || this.state.cancel !== undefined
        ? undefined
        : pauseBeforeNext(policy, failure, this.state.failures + 1, yield* Random.next);
      if (pause === undefined) return yield* this.#end({ type: "failure", failure });
      yield* this.#dropCode;
      const retryAt = Timestamp.make(Math.ceil((yield* this.#deadlines.now) + pause));
      const before = this.state;
      // The record forgets them.
      yield* this.#follow(errandsToWithdraw(before));
      yield* Effect.catchTag(
        this.#ownership.execute({ kind: "attemptFailed", failure, retryAt }),
        "PayloadTooLarge",
        (error) =>
          this.#ownership.execute({
            kind: "attemptFailed",
            failure: failureOfTooLarge(error),
            retryAt,
          }),
      );
      this.#meter.end({ type: "failure", failure });
      yield* this.#leaveTurnOf(before);
      yield* this.#deadlines.forget(this.#ownership, limitTimer(attemptName(before)));
      if (this.#halted || pause > this.#engine.residentMs) return yield* this.#suspendUntilRetry();
      const { failures } = this.state;
      this.#fork(
        Effect.sleep(pause).pipe(
          Effect.andThen(Effect.sync(() => this.#offer({ type: "retry", failures }))),
        ),
      );
    });
  }

  /** Lets go between two attempts, when the next one is sure to come. */
  #suspendUntilRetry(): Effect.Effect<void, Over | AppendError> {
    const { failures, retryAt } = this.state;
    if (retryAt === undefined) return Effect.void;
    return Effect.andThen(
      this.#deadlines.schedule(this.#ownership, attemptTimer(failures), retryAt),
      this.#letGo("suspended"),
    );
  }

  /** Has the next attempt begin, if one waits to. */
  #retry(): void {
    this.#offer({ type: "retry", failures: this.state.failures });
  }

  /** Gives up the turn that it had before, if it needs another now. */
  #leaveTurnOf(before: ExecutionState): Effect.Effect<void, AppendError> {
    const turn = turnOf(before);
    return turn === undefined || turn.turn === turnOf(this.state)?.turn
      ? Effect.void
      : this.#follow([{ type: "leave", turn }]);
  }

  /** Begins the code anew, once that is recorded; who is asked to stop goes on as it is. */
  #continue(
    { command, stored, refused }: Extract<Event, { readonly type: "command" }>,
  ): Effect.Effect<void, Over | AppendError> {
    return Effect.gen({ self: this }, function* () {
      const before = this.state;
      const tooLarge = yield* this.#ownership.execute(command).pipe(
        Effect.as(undefined),
        Effect.catchTag("PayloadTooLarge", (error) => Effect.succeed(error)),
      );
      if (tooLarge !== undefined) return refused(tooLarge);
      if (this.state.continued === before.continued) return stored();
      this.#meter.end("continued");
      yield* this.#dropCode;
      yield* this.#leaveTurnOf(before);
      yield* this.#deadlines.takeBackAll(this.#ownership);
      if (this.#draining || this.#halted) return yield* this.#letGo("released");
      this.#startCode();
    });
  }

  #end(outcome: OutcomeRecord): Effect.Effect<never, Over | AppendError | ReadError> {
    return Effect.suspend(() => {
      const isAtRest = !this.#isUnderWay;
      this.#codeRun?.abandon();
      const ending = {
        engine: this.#engine,
        tenant: this.tenant,
        actor: this.#code.name,
        ownership: this.#ownership,
        deadlines: this.#deadlines,
        follow: (followUps: ReadonlyArray<FollowUp>) => this.#follow(followUps),
        started: this.#codeRun?.finishStarting ?? Effect.void,
        isAtRest,
      };
      return endWith(ending, outcome).pipe(
        Effect.andThen(Effect.sync(() => this.#meter.end(outcome))),
        Effect.andThen(Effect.fail(new Over("ended"))),
      );
    });
  }

  #follow(followUps: ReadonlyArray<FollowUp>): Effect.Effect<void, AppendError> {
    const as = asParent(this.execution, this.tenant, this.state, speakingKey(this.state));
    return tell(this.#engine, as, followUps);
  }
}

const reasonOf = (
  from: { readonly reason?: string } | undefined,
): { readonly reason?: string } => from?.reason === undefined ? {} : { reason: from.reason };
