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
import * as Result from "effect/Result";
import * as Scope from "effect/Scope";
import type { PayloadTooLarge } from "../../schema/errors.ts";
import { Cancelled } from "../../schema/execution_errors.ts";
import type { Failure } from "../../schema/failure.ts";
import { type ExecutionId, type Tenant, Timestamp } from "../../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../../schema/journal_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Lease, Leases } from "../../streams/lease.ts";
import type { AppendError, Log, ReadError } from "../../streams/log.ts";
import type { Delivery } from "../../streams/mailbox.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import {
  afterEnd,
  beforeTakingUp,
  childrenToCancel,
  type Command,
  deadlineOf,
  decide,
  type FollowUp,
  timers,
} from "../core/decide.ts";
import { record as evolve, takeUp } from "../core/evolve.ts";
import { attemptTimer, delayTimer, type ExecutionState, operation } from "../core/state.ts";
import { pauseBeforeNext } from "../retry_policy.ts";
import { failureOfCause, toJson } from "./failure_of.ts";
import { type History, readOne } from "./history.ts";
import { tell } from "./follow_up.ts";
import type { ActorCode } from "./operations.ts";
import { type Host, operationsOf } from "./perform.ts";
import type { Post } from "./post.ts";
import { Program } from "./program.ts";
import { leave, type Left, snapshotEvery } from "./snapshot.ts";

/** What activations of one worker share. */
export interface Engine {
  readonly log: Log["Service"];
  readonly leases: Leases["Service"];
  readonly clock: ServerClock["Service"];
  readonly post: Post;
  /** How long an execution stays in memory although everything that it awaits is far off. */
  readonly residentMs: number;
  readonly maxReclaims: number;
  /** Runs beside the caller, with the services of the worker. */
  readonly runFork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>;
  /** A clock for intervals. */
  readonly monotonicMs: () => number;
}

/** How an activation ended. */
export type Ending =
  /** The execution has ended. */
  | "ended"
  /** It awaits something, and nobody owns it. */
  | "suspended"
  /** It was given up with work left, and nobody owns it. */
  | "released"
  /** Somebody else owns it, or it is not known who does. */
  | "lost";

type Event =
  | {
    readonly type: "command";
    readonly command: Command;
    readonly stored: () => void;
    readonly refused: (error: PayloadTooLarge) => void;
  }
  | { readonly type: "wake"; readonly mail: number; readonly read: () => void }
  | { readonly type: "finish"; readonly exit: Exit.Exit<unknown, unknown> }
  | { readonly type: "renew" | "verify" | "drain" | "release" | "settle" | "expire" }
  | { readonly type: "suspend"; readonly generation: number };

/** Ends the loop of an activation. */
class Over {
  readonly ending: Ending;
  constructor(ending: Ending) {
    this.ending = ending;
  }
}

/** Deadlines further off than this are looked at again before they are awaited. */
const longestSleepMs = 6 * 60 * 60 * 1_000;

const subjectKind = (record: JournalRecord): "log" | "signal" | "tag" | "done" => {
  const { kind } = record;
  return kind === "signal" || kind === "tag" || kind === "done" ? kind : "log";
};

export class Activation {
  readonly address: Address;
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly #engine: Engine;
  readonly #code: ActorCode;
  readonly #events: Queue.Queue<Event>;
  readonly #scope: Scope.Closeable;
  #lease: Lease;
  #history: History;
  #state: ExecutionState;
  /** The last snapshot, and where the stream has the last record. */
  #left: Left | undefined;
  #lastRecord: number;
  #program: Program;
  #deliveries: Array<Delivery> = [];
  /** Who waits for the mailbox to be read. */
  readonly #readers = new Set<(done: boolean) => void>();
  #abort = new AbortController();
  /** Steps and starts of children that are under way. */
  #busy = 0;
  /** Counts what happened; and after which of it a suspension is due. */
  #generation = 0;
  #waitsSince = -1;
  #draining = false;
  #hasBegun = false;
  #over = false;
  #leaseWrittenAt = 0;
  /** The server's time when it was last asked for. */
  #clockReading = { serverMs: 0, monotonicMs: 0 };
  /** The timers that the server has been given, and not taken back. */
  readonly #scheduled = new Set<string>();

  private constructor(
    engine: Engine,
    code: ActorCode,
    execution: ExecutionId,
    tenant: Tenant,
    lease: Lease,
    history: History,
    left: Left | undefined,
    events: Queue.Queue<Event>,
    scope: Scope.Closeable,
  ) {
    this.#engine = engine;
    this.#code = code;
    this.execution = execution;
    this.tenant = tenant;
    this.address = lease.execution;
    this.#lease = lease;
    this.#history = history;
    this.#left = left;
    this.#lastRecord = history.journal;
    this.#state = {
      ...history.state,
      attempt: Math.max(history.state.attempt, lease.attempt),
      epoch: lease.epoch,
    };
    this.#adoptAttempt();
    this.#events = events;
    this.#scope = scope;
    this.#program = this.#newProgram();
    for (const { key } of timers(this.#state)) this.#scheduled.add(key);
  }

  static readonly make = Effect.fnUntraced(function* (
    engine: Engine,
    code: ActorCode,
    of: { readonly execution: ExecutionId; readonly tenant: Tenant },
    lease: Lease,
    history: History,
    left: Left | undefined,
  ) {
    const events = yield* Queue.unbounded<Event>();
    const scope = yield* Scope.make();
    const { execution, tenant } = of;
    return new Activation(engine, code, execution, tenant, lease, history, left, events, scope);
  });

  get state(): ExecutionState {
    return this.#state;
  }

  /** Whether it only awaits what is to come. */
  get isParked(): boolean {
    return !this.#over && this.#isIdle();
  }

  /** The last message of the mailbox that was read. */
  get mailRead(): number {
    return this.#history.mail;
  }

  /** What was offered because of this execution, and is not acked. */
  get deliveries(): ReadonlyArray<Delivery> {
    return this.#deliveries;
  }

  /** Takes a message over; it is acked when all that follows from it is durable. */
  take(delivery: Delivery): void {
    this.#deliveries.push(delivery);
    this.#offer({ type: "wake", mail: delivery.mail, read: () => {} });
  }

  /** Has the mailbox read up to a message; says whether that was done. */
  wake(mail: number): Effect.Effect<boolean> {
    return Effect.callback((resume) => {
      if (this.#over) return resume(Effect.succeed(false));
      const read = (done: boolean) => resume(Effect.succeed(done));
      this.#readers.add(read);
      this.#offer({
        type: "wake",
        mail,
        read: () => {
          this.#readers.delete(read);
          read(true);
        },
      });
      return Effect.sync(() => this.#readers.delete(read));
    });
  }

  /** Extends the lease when its third is over, and the server's patience about the mail. */
  keepAlive(now: number): void {
    for (const delivery of this.#deliveries) delivery.working();
    if (now - this.#leaseWrittenAt >= this.#lease.ttlMs / 3) this.#offer({ type: "renew" });
  }

  /** Looks whether the lease is still its own, after the connection was away. */
  verify(): void {
    this.#offer({ type: "verify" });
  }

  /** Begins nothing more, and lets go as soon as what is under way is recorded. */
  drain(): void {
    this.#offer({ type: "drain" });
  }

  /** Lets go at once, with what is under way. */
  release(): void {
    this.#offer({ type: "release" });
  }

  /** Makes room, if it only awaits what is to come. */
  suspend(): void {
    this.#offer({ type: "suspend", generation: this.#generation });
  }

  /** Runs the execution until it ends, is suspended, or is somebody else's. */
  readonly run: Effect.Effect<Ending> = Effect.suspend(() => this.#begin).pipe(
    Effect.andThen(Effect.suspend(() => this.#loop)),
    Effect.catch((problem) =>
      problem instanceof Over ? Effect.succeed(problem.ending) : this.#fail(problem)
    ),
    Effect.ensuring(Effect.suspend(() => {
      this.#over = true;
      for (const read of this.#readers) read(false);
      this.#program.close();
      this.#abort.abort(new Error("the execution is not this worker's any more"));
      return Scope.close(this.#scope, Exit.void);
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

  get #now(): Effect.Effect<Timestamp> {
    return this.#engine.clock.now.pipe(
      Effect.map((now) => {
        this.#clockReading = { serverMs: now, monotonicMs: this.#engine.monotonicMs() };
        return Timestamp.make(Math.round(now));
      }),
      Effect.catch((error) =>
        Effect.sync(() => this.#offer({ type: "release" })).pipe(
          Effect.andThen(Effect.logWarning(`the server's time is not known: ${error.message}`)),
          Effect.andThen(Effect.never),
        )
      ),
    );
  }

  // ------------------------------------------------------------------ the life of an activation

  get #begin(): Effect.Effect<void, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      this.#leaseWrittenAt = this.#engine.monotonicMs();
      yield* this.#takeUpMail();
      const { start } = this.#state;
      if (start === undefined) return yield* this.#letGo("released");
      if (this.#state.done !== undefined) return yield* this.#letGo("ended");
      if (this.#lease.reclaims > this.#engine.maxReclaims) {
        const failure = {
          name: "max_reclaims_exceeded",
          message: `${this.#lease.reclaims} owners in a row failed before they recorded anything`,
          retryable: false,
        };
        return yield* this.#end({ type: "failure", failure });
      }
      const now = yield* this.#now;
      const { notBefore } = start.record;
      const deadline = deadlineOf(this.#state);
      if (deadline !== undefined && deadline <= now) return yield* this.#end({ type: "expired" });
      if (deadline !== undefined) {
        this.#arm(deadline, () => this.#offer({ type: "expire" }));
      }
      const begin = Math.max(notBefore ?? 0, this.#state.retryAt ?? 0);
      if (begin > now) {
        const key = this.#state.retryAt === undefined
          ? delayTimer
          : attemptTimer(this.#state.failures);
        yield* this.#schedule(key, Timestamp.make(begin));
        return yield* this.#letGo("suspended");
      }
      yield* this.#attachTags();
      this.#startCode();
    });
  }

  /** The tags that the execution was started with. */
  #attachTags(): Effect.Effect<void, AppendError> {
    const tags = Object.entries(this.#state.start?.record.tags ?? {});
    return Effect.forEach(tags, ([name, value]) => {
      const key = `weir.start/${name}`;
      return operation(this.#state, key) === undefined
        ? this.#execute({ kind: "tag", key, change: "attached", name, value })
        : Effect.void;
    }, { discard: true });
  }

  #startCode(): void {
    this.#hasBegun = true;
    this.#program = this.#newProgram();
    const { input } = this.#state.start!.record;
    const program = this.#program;
    if (this.#state.paused !== undefined) program.hold();
    const code = Effect.suspend(() => this.#code.run(operationsOf(this.#host(program)), input));
    const fiber = this.#engine.runFork(code);
    fiber.addObserver((exit) => {
      if (program === this.#program) this.#offer({ type: "finish", exit });
    });
    program.turn();
  }

  #newProgram(): Program {
    return new Program(this.execution, () => this.#state, () => this.#considerSuspension());
  }

  get #loop(): Effect.Effect<never, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      for (;;) {
        const event = yield* Queue.take(this.#events);
        if (event.type !== "renew" && event.type !== "verify") this.#generation++;
        yield* this.#handle(event);
        yield* this.#leaveSnapshot(snapshotEvery * 8);
        this.#considerSuspension();
      }
    });
  }

  #handle(event: Event): Effect.Effect<void, Over | AppendError | ReadError> {
    let wasIdle = false;
    switch (event.type) {
      case "command":
        return Effect.catchTag(
          this.#execute(event.command),
          "PayloadTooLarge",
          (error) => this.#tooLarge(event.command, event.refused, error),
        ).pipe(Effect.tap(() => Effect.sync(event.stored)));
      case "wake":
        return Effect.tap(this.#readMail(event.mail), () => Effect.sync(event.read));
      case "finish":
        return this.#finish(event.exit);
      case "renew":
        return this.#renew();
      case "verify":
        return this.#verifyLease();
      case "drain":
        wasIdle = this.#isIdle();
        this.#draining = true;
        this.#program.hold();
        return this.#busy > 0 ? Effect.void : this.#letGo(wasIdle ? "suspended" : "released");
      case "expire":
        return this.#end({ type: "expired" });
      case "release":
        return this.#letGo("released");
      case "settle":
        return this.#draining && this.#busy === 0 ? this.#letGo("released") : Effect.void;
      case "suspend":
        // What was offered in between was for other reasons; the grace is over.
        return this.#isIdle() ? this.#letGo("suspended") : Effect.void;
    }
  }

  /** Whether nothing is under way and nothing will be before something comes from outside. */
  #isIdle(): boolean {
    if (this.#busy > 0 || this.#program.isTurning || this.#state.inbox.length > 0) return false;
    if (Queue.sizeUnsafe(this.#events) > 0) return false;
    if (this.#state.paused !== undefined) return true;
    const { outstanding } = this.#program;
    for (const { key } of outstanding.values()) {
      const known = operation(this.#state, key);
      if (known === undefined || known.settled !== undefined) return false;
    }
    return outstanding.size > 0;
  }

  #considerSuspension(): void {
    if (this.#over || !this.#isIdle()) return;
    const generation = this.#generation;
    if (this.#waitsSince === generation) return;
    this.#waitsSince = generation;
    if (this.#state.paused !== undefined || this.#isAsleep()) {
      return this.#offer({ type: "suspend", generation });
    }
    this.#fork(
      Effect.sleep(this.#engine.residentMs).pipe(
        Effect.andThen(Effect.sync(() => {
          if (this.#generation === generation) this.#offer({ type: "suspend", generation });
        })),
      ),
    );
  }

  /** Whether only deadlines are awaited, and none comes soon enough to be awaited in memory. */
  #isAsleep(): boolean {
    const { serverMs, monotonicMs } = this.#clockReading;
    const now = serverMs + this.#engine.monotonicMs() - monotonicMs;
    const soon = now + this.#engine.residentMs;
    for (const { key } of this.#program.outstanding.values()) {
      const known = operation(this.#state, key);
      if (known?.kind !== "sleep" || known.due <= soon) return false;
    }
    return true;
  }

  /** Gives the lease up, when everything that is to wake the execution is durable. */
  #letGo(ending: "suspended" | "released" | "ended"): Effect.Effect<never, Over | AppendError> {
    return Effect.gen({ self: this }, function* () {
      this.#program.hold();
      if (ending === "suspended") {
        for (const { key, due } of timers(this.#state)) yield* this.#schedule(key, due);
        yield* this.#leaveSnapshot(snapshotEvery);
      }
      yield* this.#engine.leases.release(this.#lease);
      return yield* Effect.fail(new Over(ending));
    });
  }

  /** Spares the next owner the history, if that has grown. */
  #leaveSnapshot(after: number): Effect.Effect<void, AppendError> {
    const { index } = this.#state;
    if (index - (this.#left?.index ?? 0) < after) return Effect.void;
    const { log } = this.#engine;
    const { fence } = this.#lease;
    return leave(log, this.address, fence, this.#state, this.#lastRecord, this.#left).pipe(
      Effect.map((left) => {
        this.#left = left;
      }),
      // It is a convenience: what is too large is left out.
      Effect.catchTag("PayloadTooLarge", () => Effect.void),
    );
  }

  #renew(): Effect.Effect<void, AppendError> {
    const due = this.#engine.monotonicMs() - this.#leaseWrittenAt >= this.#lease.ttlMs / 3;
    if (!due) return Effect.void;
    return this.#engine.leases.renew(this.#lease, { progress: this.#state.progress }).pipe(
      Effect.map((lease) => {
        this.#lease = lease;
        this.#leaseWrittenAt = this.#engine.monotonicMs();
      }),
    );
  }

  #verifyLease(): Effect.Effect<void, Over | ReadError> {
    return Effect.gen({ self: this }, function* () {
      const current = yield* this.#engine.leases.current(this.address);
      const { fence } = this.#lease;
      const isOwn = current._tag === "Some" && current.value.revision === fence.revision &&
        current.value.record.nonce === fence.nonce;
      if (!isOwn) return yield* Effect.fail(new Over("lost"));
    });
  }

  // ------------------------------------------------------------------ records

  /** Decides, stores and applies; a command whose time has passed changes nothing. */
  #execute(command: Command): Effect.Effect<void, AppendError> {
    const decided = decide(this.#state, command);
    return Result.isSuccess(decided) ? this.#store(decided.success) : Effect.void;
  }

  #store(record: JournalRecord): Effect.Effect<void, AppendError> {
    const before = this.#state;
    return Effect.map(
      this.#engine.log.append(this.address, {
        kind: subjectKind(record),
        body: journalRecord.encode(record),
        guard: this.#lease.fence,
      }),
      ({ sequence }) => {
        this.#lastRecord = sequence;
        this.#state = evolve(before, record, before.start!.at);
        if ("key" in record && record.key !== undefined) this.#unschedule(record.key);
        this.#program.turn();
      },
    );
  }

  /** What is too large to be recorded is a failure of whoever wanted it. */
  #tooLarge(
    command: Command,
    refused: (error: PayloadTooLarge) => void,
    error: PayloadTooLarge,
  ): Effect.Effect<void, AppendError> {
    if (command.kind !== "step") return Effect.sync(() => refused(error));
    const failure: Failure = { name: error._tag, message: error.message, retryable: false };
    return this.#execute({ ...command, result: { type: "failure", failure } });
  }

  #readMail(through: number): Effect.Effect<void, Over | AppendError | ReadError> {
    return Effect.gen({ self: this }, function* () {
      if (through > this.#history.mail) {
        const entries = yield* this.#engine.log.readThrough(
          executionFilter(this.address, "mail"),
          { after: this.#history.mail, through },
        );
        for (const entry of entries) {
          const read = yield* readOne({ ...this.#history, state: this.#state }, entry);
          this.#history = read;
          this.#state = read.state;
        }
      }
      yield* this.#takeUpMail();
      this.#ackBut(1);
    });
  }

  #takeUpMail(): Effect.Effect<void, Over | AppendError> {
    return Effect.gen({ self: this }, function* () {
      while (this.#state.inbox.length > 0) {
        const before = this.#state;
        const record = beforeTakingUp(before);
        const mail = before.inbox[0]!.record;
        if (mail.kind === "timer") this.#scheduled.delete(mail.key);
        if (record === undefined) this.#state = takeUp(before);
        else yield* this.#store(record);
        yield* this.#afterTakingUp(before);
      }
      this.#program.turn();
    });
  }

  #afterTakingUp(before: ExecutionState): Effect.Effect<void, Over | AppendError> {
    const { cancel, done, expired, paused } = this.#state;
    // Nothing of the actor's code can have run yet.
    const isUnbegun = before.index === 0 && this.#lease.reclaims === 0 && !this.#hasBegun;
    if (done !== undefined) {
      return before.joins === this.#state.joins
        ? Effect.void
        : this.#follow(afterEnd(this.#state, done.record.outcome));
    }
    if (expired && !before.expired) return this.#end({ type: "expired" });
    if (cancel !== undefined && (cancel.force || isUnbegun)) {
      return this.#end({ type: "cancelled", ...reasonOf(cancel) });
    }
    if (cancel !== undefined && before.cancel === undefined) {
      this.#abort.abort(this.#cancelledError());
      return this.#follow(childrenToCancel(this.#state));
    }
    if (paused !== undefined && before.paused === undefined) this.#program.hold();
    if (paused === undefined && before.paused !== undefined) this.#program.proceed();
    return Effect.void;
  }

  // ------------------------------------------------------------------ the end

  #finish(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void, Over | AppendError> {
    if (Exit.isSuccess(exit)) {
      try {
        const value = toJson("the result", exit.value);
        return this.#end({ type: "success", ...(value === undefined ? {} : { value }) });
      } catch (error) {
        return this.#failed(failureOfCause(Cause.fail(error)));
      }
    }
    const error = Cause.squash(exit.cause);
    const { cancel } = this.#state;
    if (cancel !== undefined && error instanceof Cancelled) {
      return this.#end({ type: "cancelled", ...reasonOf(cancel) });
    }
    return this.#failed(failureOfCause(exit.cause));
  }

  #failed(failure: Failure): Effect.Effect<void, Over | AppendError> {
    return Effect.gen({ self: this }, function* () {
      const policy = this.#code.retry;
      const pause = policy === undefined || this.#state.cancel !== undefined
        ? undefined
        : pauseBeforeNext(policy, failure, this.#state.failures + 1, yield* Random.next);
      if (pause === undefined) return yield* this.#end({ type: "failure", failure });
      const retryAt = Timestamp.make(Math.ceil((yield* this.#now) + pause));
      yield* this.#execute({ kind: "attemptFailed", failure, retryAt });
      this.#adoptAttempt();
      this.#program.close();
      if (pause > this.#engine.residentMs) {
        yield* this.#schedule(attemptTimer(this.#state.failures), retryAt);
        return yield* this.#letGo("suspended");
      }
      this.#busy++;
      this.#fork(
        Effect.sleep(pause).pipe(Effect.andThen(Effect.sync(() => {
          this.#busy--;
          this.#startCode();
        }))),
      );
    });
  }

  /** Later records of the lease name the attempt that the journal has come to. */
  #adoptAttempt(): void {
    const { attempt } = this.#state;
    if (attempt === this.#lease.attempt) return;
    this.#lease = { ...this.#lease, attempt, record: { ...this.#lease.record, attempt } };
  }

  #end(outcome: OutcomeRecord): Effect.Effect<never, Over | AppendError> {
    return Effect.gen({ self: this }, function* () {
      this.#program.close();
      const before = this.#state;
      yield* Effect.catchTag(
        this.#execute({ kind: "done", outcome }),
        "PayloadTooLarge",
        (error) => {
          const failure = { name: error._tag, message: error.message, retryable: false };
          return this.#execute({ kind: "done", outcome: { type: "failure", failure } });
        },
      );
      const { done } = this.#state;
      if (done !== undefined) {
        yield* this.#follow(afterEnd(before, done.record.outcome));
        yield* Effect.forEach([...this.#scheduled], (key) => this.#takeBack(key), {
          discard: true,
        });
      }
      return yield* Effect.fail(new Over("ended"));
    });
  }

  #follow(followUps: ReadonlyArray<FollowUp>): Effect.Effect<void, AppendError> {
    return tell(this.#engine.post, this.#asParent("weir.cancel"), followUps);
  }

  // ------------------------------------------------------------------ mail and timers

  /** Acks what was offered, but for the last few, which bring the execution back if we die. */
  #ackBut(count: number): void {
    const kept = this.#deliveries.length - count;
    for (let i = 0; i < kept; i++) this.#deliveries[i]!.ack();
    if (kept > 0) this.#deliveries = this.#deliveries.slice(kept);
  }

  /** Lets the server deliver a deadline into the mailbox. */
  #schedule(key: string, due: Timestamp): Effect.Effect<void, AppendError> {
    this.#scheduled.add(key);
    const { life } = this.#state;
    const route = this.#state.start?.record.route;
    return Effect.asVoid(this.#engine.log.append(this.address, {
      kind: "timer",
      key,
      schedule: { at: due },
      body: mailRecord.encode({
        kind: "timer",
        life,
        key,
        due,
        ...(route === undefined ? {} : { route }),
      }),
      guard: this.#lease.fence,
    }));
  }

  #takeBack(key: string): Effect.Effect<void, AppendError> {
    if (!this.#scheduled.delete(key)) return Effect.void;
    return Effect.asVoid(this.#engine.log.append(this.address, {
      kind: "timer",
      key,
      unschedules: true,
      body: new Uint8Array(),
      guard: this.#lease.fence,
    }));
  }

  /** A deadline that was met otherwise is taken back, beside the work. */
  #unschedule(key: string): void {
    if (!this.#scheduled.has(key) || operation(this.#state, key)?.settled === undefined) return;
    this.#fork(Effect.ignore(this.#takeBack(key)));
  }

  /** Watches a deadline with the worker's own clock, which is finer than the server's. */
  #arm(due: number, then: () => void): void {
    const wait = Effect.gen({ self: this }, function* () {
      for (;;) {
        const rest = due - (yield* this.#engine.clock.now);
        if (rest <= 0) break;
        yield* Effect.sleep(Math.min(rest, longestSleepMs));
      }
      then();
    });
    this.#fork(Effect.ignore(wait));
  }

  // ------------------------------------------------------------------ operations

  #submit(
    command: Command,
    stored: () => void = () => {},
    refused: (error: PayloadTooLarge) => void = () => {},
  ): void {
    this.#offer({ type: "command", command, stored, refused });
  }

  #cancelledError(): Cancelled {
    return new Cancelled({ execution: this.execution, ...reasonOf(this.#state.cancel) });
  }

  #asParent(key: string): ParentReference {
    const route = this.#state.start?.record.route;
    return {
      execution: this.execution,
      tenant: this.tenant,
      life: this.#state.life,
      key,
      ...(route === undefined ? {} : { route }),
    };
  }

  /** Something that keeps the execution from being suspended while it lasts. */
  #whileBusy(effect: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#busy++;
      return Effect.ensuring(effect, Effect.sync(() => this.#rest()));
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
    if (this.#busy === 0) this.#offer({ type: "settle" });
  }

  /** What the operations of the code need of this activation. */
  #host(program: Program): Host {
    return {
      execution: this.execution,
      tenant: this.tenant,
      attempt: this.#state.attempt,
      life: this.#state.life,
      seed: this.#state.start!.record.seed,
      cancelled: this.#abort.signal,
      operation: (key) => operation(this.#state, key),
      post: this.#engine.post,
      program,
      now: this.#now,
      cancelledError: () => this.#cancelledError(),
      asParent: (key) => this.#asParent(key),
      submit: (command, stored, refused) => this.#submit(command, stored, refused),
      arm: (due, then) => this.#arm(due, then),
      fork: (effect) => this.#engine.runFork(Effect.forkIn(effect, this.#scope)),
      whileBusy: (effect) => this.#whileBusy(effect),
      whileParked: (effect) => this.#whileParked(effect),
    };
  }
}

const reasonOf = (
  from: { readonly reason?: string } | undefined,
): { readonly reason?: string } => from?.reason === undefined ? {} : { reason: from.reason };
