/**
 * An owner of an execution, as the engine's activation is one but for its fibers: it claims, reads,
 * takes up mail, performs what the code asks for, and lets go. It stops before and behind each thing
 * that takes time, and whoever drives it may leave it there for ever.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Result from "effect/Result";
import {
  afterEnd,
  beforeTakingUp,
  childrenToCancel,
  type Command,
  deadlineOf,
  decide,
  type FollowUp,
  timers,
} from "../../actors/core/decide.ts";
import { record as evolve, takeUp } from "../../actors/core/evolve.ts";
import {
  attemptTimer,
  delayTimer,
  type ExecutionState,
  operation,
} from "../../actors/core/state.ts";
import { type History, readAll, readOne, unread } from "../../actors/engine/history.ts";
import { leave, type Left, readHistory } from "../../actors/engine/snapshot.ts";
import { takeUpToReplay } from "../../actors/core/take_up.ts";
import { type ExecutionId, executionIdentity, Timestamp } from "../../schema/ids.ts";
import { ActorName, ExecutionId as Execution, WorkerInstanceId } from "../../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../../schema/journal_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import { nonceOfId } from "../../streams/fence.ts";
import type { Lease } from "../../streams/lease.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import { next, type Operation, type Program, sharedChild, spawnedBy, valueOf } from "./programs.ts";
import { type Item, tenant, type World } from "./world.ts";

const leaseTtl = "10 seconds";
const renewEveryMs = 3_000;

/** Between two of these anything may happen; `parked` says that the owner waits for something. */
export type Pause = "busy" | "parked";

/** Where the workers are that an owner may have to ask. */
export interface Fleet {
  /** Who runs an execution at a worker; "silent" if that one does not answer. */
  readonly ownerAt: (worker: string, address: Address) => Owner | "silent" | undefined;
}

/** The lease is somebody else's, or the server cannot be reached. */
class Lost extends Error {
  /** Who holds the lease instead, if that is why. */
  readonly holder: string | undefined;

  constructor(why: { readonly _tag: string; readonly owner?: string }) {
    super(why._tag);
    this.holder = why.owner;
  }
}

const kindOf = ({ kind }: JournalRecord): "log" | "signal" | "tag" | "done" =>
  kind === "signal" || kind === "tag" || kind === "done" ? kind : "log";

export class Owner {
  readonly world: World;
  readonly worker: string;
  readonly execution: ExecutionId;
  readonly address: Address;
  readonly program: Program;
  readonly steps: Generator<Pause, void>;
  /** Whether it has the execution in memory. */
  isActive = false;
  /** When it goes on by itself, if it does not wait for a message alone. */
  #wakeAt = 0;
  ending: "ended" | "suspended" | "lost" | "unstarted" | undefined;
  /** What was offered because of the execution, and is not acknowledged. */
  items: Array<Item> = [];
  /** The mailbox is to be read up to here. */
  #wanted = 0;
  #history: History = unread;
  #state: ExecutionState = unread.state;
  #left: Left | undefined;
  /** Where the log has the last numbered record, and the last that is its own. */
  #lastRecord = 0;
  #written = 0;
  readonly #fleet: Fleet;
  #lease!: Lease;
  #leaseWrittenAt = 0;
  /** Children of which it is known that they were started. */
  readonly #started = new Set<string>();

  constructor(world: World, fleet: Fleet, worker: string, program: Program, item: Item) {
    this.world = world;
    this.#fleet = fleet;
    this.worker = worker;
    this.address = item.address;
    this.execution = Execution.make(item.address.label);
    this.program = program;
    this.take(item);
    this.steps = this.#run(item);
  }

  get mailRead(): number {
    return this.#history.mail;
  }

  /** Where the log has the last record that it wrote. */
  get written(): number {
    return this.#written;
  }

  get state(): ExecutionState {
    return this.#state;
  }

  /** When it goes on, if nothing comes. */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  /** When something that it awaits is due, or its lease is to be renewed. */
  #nextDue(): number {
    const { start, retryAt } = this.#state;
    const times = [start?.record.notBefore, retryAt, ...timers(this.#state).map(({ due }) => due)];
    const renewal = this.#leaseWrittenAt + renewEveryMs;
    return Math.min(
      renewal,
      ...times.map((time) => time ?? 0).filter((time) => time > this.world.now),
    );
  }

  take(item: Item): void {
    item.holder = this;
    // An answer to one offer of a message is an answer to all of them.
    const others = this.items.filter((other) => other !== item);
    this.items = [...others, item].sort((a, b) => a.mail - b.mail);
    this.wake(item.mail);
  }

  wake(mail: number): void {
    this.#wanted = Math.max(this.#wanted, mail);
    this.#wakeAt = 0;
  }

  /** Goes on to the next pause; false when there is none. */
  advance(): boolean {
    const { done, value } = this.steps.next();
    this.#wakeAt = value === "parked" ? this.#nextDue() : 0;
    return done !== true;
  }

  /** Gives up, since it does not know what became of what it wrote. */
  lose(): void {
    this.#say("loses its connection");
    this.steps.return();
    this.leave();
  }

  /** Gives back what it has not acknowledged. */
  leave(): void {
    for (const item of this.items.splice(0)) {
      if (item.holder === this) item.holder = undefined;
    }
  }

  #say(what: string): void {
    this.world.say(`${this.worker} ${this.execution}: ${what}`);
  }

  *#run(item: Item): Generator<Pause, void> {
    try {
      yield* this.#activate(item);
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      this.#say(`is lost (${error.message})`);
      this.ending = "lost";
      if (error.holder !== undefined) yield* this.#passOn(error.holder, item);
    } finally {
      this.isActive = false;
      this.leave();
    }
  }

  /** Has the owner read the message; it is acknowledged when that is done. */
  *#passOn(worker: string, item: Item): Generator<Pause, void> {
    yield "busy";
    const owner = this.#fleet.ownerAt(worker, this.address);
    if (owner === undefined || owner === "silent" || !owner.isActive) return;
    owner.wake(item.mail);
    while (owner.isActive && owner.mailRead < item.mail) {
      yield "busy";
      if (this.#fleet.ownerAt(worker, this.address) !== owner) return;
    }
    // What the owner has been offered as well may be all that brings the execution back.
    if (owner.mailRead < item.mail || owner.items.includes(item)) return;
    this.#say(`is read by ${worker}`);
    this.world.ack(item);
  }

  /** Something that takes time; what it did is done even if nobody goes on afterwards. */
  *#do<A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>): Generator<Pause, A> {
    yield "busy";
    const exit = this.world.run(Effect.exit(effect));
    yield "busy";
    if (Exit.isSuccess(exit)) return exit.value;
    const error = Result.getOrThrow(Exit.findError(exit));
    throw new Lost(error);
  }

  *#activate(item: Item): Generator<Pause, void> {
    const { world, address } = this;
    const last = yield* this.#do(world.log.lastOfEach(address, ["done", "log"]));
    const done = last.get("done");
    if (done !== undefined && (last.get("log")?.sequence ?? 0) < done.sequence) {
      const isConcluded = yield* this.#do(
        world.leases.conclude(address, nonceOfId(done.id!)!),
      );
      if (!(yield* this.#isRetried(item, isConcluded))) return;
    }
    this.#lease = yield* this.#claim();
    this.#leaseWrittenAt = world.now;
    const { epoch, attempt, reclaims } = this.#lease;
    this.#say(`is claimed, epoch ${epoch}, attempt ${attempt}, reclaims ${reclaims}`);
    let claimed = 0;
    if (epoch > 1) {
      const now = yield* this.#do(world.log.lastSequences(address, ["done", "log"]));
      const end = now.get("done") ?? 0;
      if (end > (done?.sequence ?? 0) && (now.get("log") ?? 0) < end) {
        this.#say("has ended meanwhile");
        yield* this.#do(world.leases.release(this.#lease));
        return yield* this.#activate(item);
      }
      const worker = WorkerInstanceId.make(this.worker);
      claimed = yield* this.#append("log", { kind: "claimed", worker, epoch, attempt, reclaims });
    }
    const through = Math.max(item.mail, claimed);
    const { history, left } = yield* this.#do(readHistory(world.log, address, through));
    this.#history = history;
    this.#left = left;
    this.#lastRecord = history.journal;
    this.#state = history.state;
    this.#adoptAttempt();
    if (this.#state.start === undefined) {
      yield* this.#do(world.leases.release(this.#lease));
      this.ending = "unstarted";
      return;
    }
    this.isActive = true;
    yield* this.#live();
  }

  /** Whether what has ended is to run again; if not, whoever must know is told how it ended. */
  *#isRetried({ mail }: Item, isConcluded: boolean): Generator<Pause, boolean> {
    const { world, address } = this;
    const entries = yield* this.#do(world.log.readThrough(executionFilter(address), {
      through: mail,
    }));
    const history = world.run(readAll(unread, entries));
    const known = takeUpToReplay(history.state);
    if (known.done === undefined || known.inbox.length > 0) return true;
    this.#state = known;
    yield* this.#follow(afterEnd(known, known.done.record.outcome));
    // Who has claimed it since must first see for himself, or be gone.
    if (!isConcluded) throw new Lost({ _tag: "LeaseHeld" });
    this.#ackThrough(history.mail);
    return false;
  }

  *#claim(): Generator<Pause, Lease> {
    const { world, address } = this;
    const worker = WorkerInstanceId.make(this.worker);
    const options = { worker, ttl: leaseTtl, session: true } as const;
    try {
      return yield* this.#do(world.leases.acquire(address, options));
    } catch (error) {
      if (!(error instanceof Lost) || error.holder !== this.worker) throw error;
    }
    // What this worker has given up without being able to say so.
    const current = Option.getOrUndefined(yield* this.#do(world.leases.current(address)));
    const isOwn = current?.record.workerInstanceId === worker;
    return yield* this.#do(world.leases.acquire(address, {
      ...options,
      ...(isOwn ? { endedRevision: current.revision } : {}),
    }));
  }

  *#live(): Generator<Pause, void> {
    const { world } = this;
    for (;;) {
      yield* this.#takeUpMail();
      const ending = this.#endOfMail();
      if (this.#state.done !== undefined) return yield* this.#letGo(false);
      if (ending !== undefined) return yield* this.#end(ending);
      if (world.now - this.#leaseWrittenAt >= renewEveryMs) {
        this.#lease = yield* this.#do(
          world.leases.renew(this.#lease, { progress: this.#state.progress }).pipe(
            Effect.tap(() => Effect.sync(() => this.#ackBut(1))),
          ),
        );
        this.#leaseWrittenAt = world.now;
      }
      const begin = Math.max(this.#state.start!.record.notBefore ?? 0, this.#state.retryAt ?? 0);
      const isEarly = begin > world.now;
      if (!isEarly && this.#state.paused === undefined && (yield* this.#perform())) {
        if (this.#state.done !== undefined) return;
        continue;
      }
      if (this.#wanted > this.#history.mail) continue;
      if (isEarly || world.choices.oneIn(2)) {
        if (isEarly) {
          const { retryAt, failures } = this.#state;
          const key = retryAt === undefined ? delayTimer : attemptTimer(failures);
          yield* this.#schedule(key, Timestamp.make(begin));
        }
        return yield* this.#letGo(true);
      }
      yield "parked";
    }
  }

  /** One thing of what the code asks for; false if there is nothing that can be done now. */
  *#perform(): Generator<Pause, boolean> {
    const { choices, now } = this.world;
    const turn = next(this.program, this.#state);
    if (turn.type === "end") {
      yield* this.#end(turn.outcome);
      return true;
    }
    if (turn.type === "fail") {
      const retryAt = Timestamp.make(now + 1 + choices.below(3_000));
      const failure = { name: "AttemptFailed", message: "try again" };
      yield* this.#execute({ kind: "attemptFailed", failure, retryAt });
      this.#adoptAttempt();
      return true;
    }
    const unbegun = turn.pending.find(({ key, kind }) =>
      kind !== "run" && kind !== "end" && operation(this.#state, key) === undefined
    );
    if (unbegun !== undefined) {
      yield* this.#begin(unbegun);
      return true;
    }
    const pending = new Map(
      [...this.#unstarted(), ...turn.pending].map((each) => [each.key, each]),
    );
    const ready = [...pending.values()].filter((pending) => this.#isReady(pending));
    if (ready.length === 0) return false;
    yield* this.#goOn(choices.of(ready));
    return true;
  }

  /** What was spawned, and may not have been started by whoever recorded that. */
  #unstarted(): ReadonlyArray<Operation> {
    return spawnedBy(this.program).filter(({ key }) => {
      const end = operation(this.#state, key);
      return end !== undefined && end.settled === undefined;
    });
  }

  *#begin(begun: Operation): Generator<Pause, void> {
    const { key } = begun;
    const { now } = this.world;
    switch (begun.kind) {
      case "sleep":
        return yield* this.#execute({ kind: "sleeping", key, due: Timestamp.make(now + begun.ms) });
      case "wait": {
        const { signal, timeoutMs } = begun;
        const due = timeoutMs === undefined ? {} : { due: Timestamp.make(now + timeoutMs) };
        return yield* this.#execute({ kind: "waiting", key, signal, ...due });
      }
      case "call":
      case "spawn":
        return yield* this.#execute({
          kind: "calling",
          key,
          verb: begun.kind,
          actor: ActorName.make("child"),
          execution: this.#childOf(begun),
          tenant,
          onParentEnd: begun.isLeftAlone ? "abandon" : "cancel",
        });
      case "note":
        return yield* this.#execute({ kind: "noted", key, what: "now", value: valueOf(key) });
      case "cell":
        return yield* this.#execute({ kind: "cell", key, name: "total", value: key });
      case "tag":
        return yield* this.#execute({
          kind: "tag",
          key,
          change: "attached",
          name: "where",
          value: key,
        });
    }
  }

  #isReady(pending: Operation): boolean {
    const known = operation(this.#state, pending.key);
    switch (pending.kind) {
      case "run":
        return known?.kind !== "run" || (known.retryAt ?? 0) <= this.world.now;
      case "sleep":
      case "wait":
        return (known?.kind === "sleep" || known?.kind === "wait") && known.due !== undefined &&
          known.due <= this.world.now;
      case "call":
      case "spawn":
      case "end":
        return !this.#started.has(pending.key);
      default:
        return false;
    }
  }

  *#goOn(pending: Operation): Generator<Pause, void> {
    const { key } = pending;
    const { choices, now } = this.world;
    switch (pending.kind) {
      case "run": {
        const known = operation(this.#state, key);
        const tries = (known?.kind === "run" ? known.tries : 0) + 1;
        this.#say(`runs ${key}, try ${tries}`);
        yield "busy";
        if (tries <= pending.failures) {
          const retryAt = Timestamp.make(now + 1 + choices.below(2_000));
          const failure = { name: "Again", message: `try ${tries}` };
          return yield* this.#execute({ kind: "stepFailed", key, failure, tries, retryAt });
        }
        const result = pending.isHopeless
          ? { type: "failure" as const, failure: { name: "Hopeless", message: "no" } }
          : { type: "value" as const, value: valueOf(key) };
        return yield* this.#execute({ kind: "step", key, result, tries, durationMs: 0 });
      }
      case "sleep":
      case "wait":
        return yield* this.#execute({ kind: "elapsed", key });
      case "call":
      case "spawn":
      case "end": {
        yield* this.#startChild(pending.kind === "end" ? pending.of : pending, key);
        this.#started.add(key);
      }
    }
  }

  *#startChild(called: Operation, endKey: string): Generator<Pause, void> {
    const { post } = this.world;
    const { key } = called;
    const execution = this.#childOf(called);
    const { life } = this.#state;
    const call = operation(this.#state, endKey)!.opened;
    const parent = { execution: this.execution, tenant, life, key: endKey, call };
    const to = this.world.addressOf(execution);
    const started = yield* this.#do(post.start(to, { kind: "start", seed: key, parent }));
    const theirs = started.record.parent;
    const isOwn = theirs?.execution === parent.execution && theirs.life === parent.life &&
      theirs.key === parent.key && theirs.call === parent.call;
    if (!isOwn) yield* this.#do(post.join(to, started, parent));
  }

  #childOf(called: Operation): ExecutionId {
    const { key } = called;
    const known = operation(this.#state, key);
    if (known !== undefined && "execution" in known) return known.execution;
    if ("isShared" in called && called.isShared) return sharedChild;
    const { attempt } = this.#state;
    const { name } = executionIdentity(this.execution);
    return Execution.make(`child/${name}/${key}${attempt === 0 ? "" : `~${attempt}`}`);
  }

  *#takeUpMail(): Generator<Pause, void> {
    if (this.#wanted > this.#history.mail) {
      const entries = yield* this.#do(
        this.world.log.readThrough(executionFilter(this.address, "mail"), {
          after: this.#history.mail,
          through: this.#wanted,
        }),
      );
      for (const entry of entries) {
        this.#history = this.world.run(readOne({ ...this.#history, state: this.#state }, entry));
        this.#state = this.#history.state;
      }
    }
    while (this.#state.inbox.length > 0) {
      const before = this.#state;
      const record = beforeTakingUp(before);
      if (record === undefined) {
        this.#say(`takes up ${before.inbox[0]!.record.kind}`);
        this.#state = takeUp(before);
        this.#checkDeadline(before);
      } else yield* this.#store(record);
      const { done, joins, cancel } = this.#state;
      if (done !== undefined && joins !== before.joins) {
        yield* this.#follow(afterEnd(this.#state, done.record.outcome));
      }
      if (done === undefined && cancel !== undefined && before.cancel === undefined) {
        yield* this.#follow(childrenToCancel(this.#state));
      }
    }
  }

  /** What waits for a time is not over before it. */
  #checkDeadline(before: ExecutionState): void {
    const mail = before.inbox[0]!.record;
    if (mail.kind !== "timer") return;
    const known = operation(before, mail.key);
    const isOver = operation(this.#state, mail.key)?.settled !== known?.settled;
    const due = known?.kind === "sleep" || known?.kind === "wait" ? known.due : undefined;
    if (isOver && due !== undefined && due > this.world.now) {
      throw new Error(`${mail.key} is over ${due - this.world.now} ms before its time`);
    }
  }

  /** The end that follows from what was taken up, whatever the code does. */
  #endOfMail(): OutcomeRecord | undefined {
    const { cancel, expired } = this.#state;
    const deadline = deadlineOf(this.#state);
    if (expired || (deadline !== undefined && deadline <= this.world.now)) {
      return { type: "expired" };
    }
    return cancel?.force === true ? { type: "cancelled" } : undefined;
  }

  *#end(outcome: OutcomeRecord): Generator<Pause, void> {
    const before = this.#state;
    yield* this.#execute({ kind: "done", outcome });
    yield* this.#follow(afterEnd(before, outcome));
    yield* this.#do(this.world.leases.release(this.#lease));
    this.ending = "ended";
    this.#ackThrough(this.#history.mail);
  }

  *#letGo(isSuspended: boolean): Generator<Pause, void> {
    const { log, leases } = this.world;
    if (isSuspended) {
      for (const { key, due } of timers(this.#state)) yield* this.#schedule(key, due);
      if (this.#lastRecord > 0 && this.world.choices.oneIn(3)) {
        const { fence } = this.#lease;
        this.#left = yield* this.#do(
          leave(log, this.address, fence, this.#state, this.#lastRecord, this.#left),
        );
      }
    }
    yield* this.#do(
      leases.release(this.#lease).pipe(
        Effect.tap(() => Effect.sync(() => this.#ackThrough(this.#history.mail))),
      ),
    );
    this.ending = isSuspended ? "suspended" : "ended";
    this.#say(isSuspended ? "is suspended" : "has ended before");
  }

  *#follow(followUps: ReadonlyArray<FollowUp>): Generator<Pause, void> {
    const { post } = this.world;
    for (const followUp of followUps) {
      if (followUp.type === "notify") {
        yield* this.#do(post.notify(followUp.parent, this.execution, followUp.outcome));
      } else if (followUp.type === "cancelChild") {
        const to = this.world.addressOf(followUp.child.execution);
        const { execution } = this;
        const as = { execution, tenant, life: this.#state.life, key: "weir.cancel" };
        yield* this.#do(post.cancelChild(to, as, undefined));
      }
    }
  }

  *#schedule(key: string, due: Timestamp): Generator<Pause, void> {
    yield* this.#do(this.world.log.append(this.address, {
      kind: "timer",
      key,
      schedule: { at: due },
      body: mailRecord.encode({ kind: "timer", life: this.#state.life, key, due }),
      guard: this.#lease.fence,
    }));
  }

  *#execute(command: Command): Generator<Pause, void> {
    // A deadline and the code may ask for the same.
    const isAskedTwice = command.kind !== "attemptFailed" && this.world.choices.oneIn(16);
    for (const _ of isAskedTwice ? [1, 2] : [1]) {
      const decided = decide(this.#state, command);
      if (Result.isSuccess(decided)) yield* this.#store(decided.success);
    }
  }

  *#store(record: JournalRecord): Generator<Pause, void> {
    const before = this.#state;
    this.#lastRecord = yield* this.#append(kindOf(record), record);
    this.#state = evolve(before, record, before.start!.at);
  }

  *#append(
    kind: "log" | "signal" | "tag" | "done",
    record: JournalRecord,
  ): Generator<Pause, number> {
    const key = "key" in record ? ` ${record.key}` : "";
    const what = `${record.kind}${key}`;
    const guard = this.#lease.fence;
    const { sequence } = yield* this.#do(
      this.world.log.append(this.address, { kind, body: journalRecord.encode(record), guard }).pipe(
        Effect.tap(({ sequence }) =>
          Effect.sync(() => {
            this.#say(`records ${what} at ${sequence}`);
            this.#ackBut(1);
          })
        ),
      ),
    );
    this.#written = sequence;
    return sequence;
  }

  #adoptAttempt(): void {
    const { attempt } = this.#state;
    this.#lease = { ...this.#lease, attempt, record: { ...this.#lease.record, attempt } };
  }

  /**
   * Only what was just written shows that it is still the owner: one who is not would take from the
   * owner what brings the execution back. What came last stays, which none of those before has read.
   */
  #ackBut(count: number): void {
    while (this.items.length > count) this.world.ack(this.items.shift()!);
  }

  #ackThrough(mail: number): void {
    for (const item of this.items) if (item.mail <= mail) this.world.ack(item);
    this.items = this.items.filter(({ isAcked }) => !isAcked);
  }
}
