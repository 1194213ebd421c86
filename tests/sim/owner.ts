/**
 * An owner of an execution, as the engine's activation is one but for its fibers: it claims, reads,
 * takes up mail, performs what the code asks for, and lets go. It stops before and behind each thing
 * that takes time, and whoever drives it may leave it there for ever.
 */
import * as Effect from "effect/Effect";
import {
  afterEnd,
  beforeTakingUp,
  childrenToCancel,
  deadlineOf,
  timers,
} from "../../actors/core/decide.ts";
import { takeUp } from "../../actors/core/evolve.ts";
import { beginOf, beginTimer, type ExecutionState, operation } from "../../actors/core/state.ts";
import { leave } from "../../actors/engine/snapshot.ts";
import { Timestamp } from "../../schema/ids.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { Address } from "../../streams/subjects.ts";
import { claimFor } from "./claiming.ts";
import { Hold, Lost, type Pause } from "./hold.ts";
import { Performer } from "./performing.ts";
import type { Program } from "./programs.ts";
import type { Item, World } from "./world.ts";

const renewEveryMs = 3_000;

/** Where the workers are that an owner may have to ask. */
export interface Fleet {
  /** Who runs an execution at a worker; "silent" if that one does not answer. */
  readonly ownerAt: (worker: string, address: Address) => Owner | "silent" | undefined;
}

export class Owner {
  readonly world: World;
  readonly worker: string;
  readonly address: Address;
  readonly steps: Generator<Pause, void>;
  /** Whether it has the execution in memory. */
  isActive = false;
  /** When it goes on by itself, if it does not wait for a message alone. */
  #wakeAt = 0;
  ending: "ended" | "suspended" | "lost" | "unstarted" | undefined;
  /** The mailbox is to be read up to here. */
  #wanted = 0;
  readonly #fleet: Fleet;
  readonly #hold: Hold;
  readonly #performer: Performer;

  constructor(world: World, fleet: Fleet, worker: string, program: Program, item: Item) {
    this.world = world;
    this.#fleet = fleet;
    this.worker = worker;
    this.address = item.address;
    this.#hold = new Hold(world, worker, item.address);
    this.#performer = new Performer(this.#hold, program, (outcome) => this.#end(outcome));
    this.take(item);
    this.steps = this.#run(item);
  }

  get mailRead(): number {
    return this.#hold.history.mail;
  }

  /** Where the log has the last record that it wrote. */
  get written(): number {
    return this.#hold.written;
  }

  get state(): ExecutionState {
    return this.#hold.state;
  }

  /** When it goes on, if nothing comes. */
  get wakeAt(): number {
    return this.#wakeAt;
  }

  /** When something that it awaits is due, or its lease is to be renewed. */
  #nextDue(): number {
    const { start, retryAt } = this.#hold.state;
    const times = [
      start?.record.notBefore,
      retryAt,
      ...timers(this.#hold.state).map(({ due }) => due),
    ];
    const renewal = this.#hold.leaseWrittenAt + renewEveryMs;
    return Math.min(
      renewal,
      ...times.map((time) => time ?? 0).filter((time) => time > this.world.now),
    );
  }

  take(item: Item): void {
    item.holder = this;
    // An answer to one offer of a message is an answer to all of them.
    const others = this.#hold.items.filter((other) => other !== item);
    this.#hold.items = [...others, item].sort((a, b) => a.mail - b.mail);
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
    this.#hold.say("loses its connection");
    this.steps.return();
    this.leave();
  }

  /** Gives back what it has not acknowledged. */
  leave(): void {
    for (const item of this.#hold.items.splice(0)) {
      if (item.holder === this) item.holder = undefined;
    }
  }

  *#run(item: Item): Generator<Pause, void> {
    try {
      const claimed = yield* claimFor(this.#hold, item);
      if (claimed === "unstarted") this.ending = "unstarted";
      if (claimed !== "claimed") return;
      this.isActive = true;
      yield* this.#live();
    } catch (error) {
      if (!(error instanceof Lost)) throw error;
      this.#hold.say(`is lost (${error.message})`);
      this.ending = "lost";
      if (error.holder !== undefined) yield* this.#passOn(error.holder, item);
    } finally {
      this.isActive = false;
      this.leave();
    }
  }

  /** Has the owner take the message over. */
  *#passOn(worker: string, item: Item): Generator<Pause, void> {
    yield "busy";
    const owner = this.#fleet.ownerAt(worker, this.address);
    if (owner === undefined || owner === "silent" || !owner.isActive) return;
    this.#hold.say(`hands its mail over to ${worker}`);
    owner.take(item);
  }

  *#live(): Generator<Pause, void> {
    const { world } = this;
    for (;;) {
      yield* this.#takeUpMail();
      const ending = this.#endOfMail();
      if (this.#hold.state.done !== undefined) return yield* this.#letGo(false);
      if (ending !== undefined) return yield* this.#end(ending);
      if (world.now - this.#hold.leaseWrittenAt >= renewEveryMs) {
        yield* this.#hold.renew();
      }
      const begin = beginOf(this.#hold.state);
      const isEarly = begin > world.now;
      if (!isEarly && this.#hold.state.paused === undefined && (yield* this.#performer.perform())) {
        if (this.#hold.state.done !== undefined) return;
        continue;
      }
      if (this.#wanted > this.#hold.history.mail) continue;
      if (isEarly || world.choices.oneIn(2)) {
        const key = beginTimer(this.#hold.state);
        if (isEarly && key !== undefined) {
          yield* this.#hold.schedule(key, Timestamp.make(begin));
        }
        return yield* this.#letGo(true);
      }
      yield "parked";
    }
  }

  /** An end leaves what comes behind it to be answered by whoever is offered that. */
  *#takeUpMail(): Generator<Pause, void> {
    yield* this.#hold.readMail(this.#wanted);
    while (this.#hold.state.inbox.length > 0) {
      if (this.#hold.state.done === undefined && this.#endOfMail() !== undefined) return;
      const before = this.#hold.state;
      const record = beforeTakingUp(before);
      if (record === undefined) {
        this.#hold.say(`takes up ${before.inbox[0]!.record.kind}`);
        this.#hold.state = takeUp(before);
        this.#checkDeadline(before);
      } else yield* this.#hold.store(record);
      const { done, joins, cancel } = this.#hold.state;
      if (done !== undefined && joins !== before.joins) {
        yield* this.#hold.follow(afterEnd(this.#hold.state, done.record.outcome));
      }
      if (done === undefined && cancel !== undefined && before.cancel === undefined) {
        yield* this.#hold.follow(childrenToCancel(this.#hold.state));
      }
    }
  }

  /** What waits for a time is not over before it. */
  #checkDeadline(before: ExecutionState): void {
    const mail = before.inbox[0]!.record;
    if (mail.kind !== "timer") return;
    const known = operation(before, mail.key);
    const isOver = operation(this.#hold.state, mail.key)?.settled !== known?.settled;
    const due = known?.kind === "sleep" || known?.kind === "wait" ? known.due : undefined;
    if (isOver && due !== undefined && due > this.world.now) {
      throw new Error(`${mail.key} is over ${due - this.world.now} ms before its time`);
    }
  }

  /** The end that follows from what was taken up, whatever the code does. */
  #endOfMail(): OutcomeRecord | undefined {
    const { cancel, expired } = this.#hold.state;
    const deadline = deadlineOf(this.#hold.state);
    if (expired || (deadline !== undefined && deadline <= this.world.now)) {
      return { type: "expired" };
    }
    return cancel?.force === true ? { type: "cancelled" } : undefined;
  }

  *#end(outcome: OutcomeRecord): Generator<Pause, void> {
    const before = this.#hold.state;
    yield* this.#hold.execute({ kind: "done", outcome });
    yield* this.#hold.follow(afterEnd(before, outcome));
    yield* this.#hold.do(this.world.leases.release(this.#hold.lease));
    this.ending = "ended";
    const [left] = this.#hold.state.inbox;
    this.#hold.ackThrough(left === undefined ? this.#hold.history.mail : left.sequence - 1);
  }

  *#letGo(isSuspended: boolean): Generator<Pause, void> {
    const { log, leases } = this.world;
    if (isSuspended) {
      for (const { key, due } of timers(this.#hold.state)) yield* this.#hold.schedule(key, due);
      if (this.#hold.lastRecord > 0 && this.world.choices.oneIn(3)) {
        const { fence } = this.#hold.lease;
        this.#hold.left = yield* this.#hold.do(
          leave(log, this.address, fence, this.#hold.state, this.#hold.lastRecord, this.#hold.left),
        );
      }
    }
    yield* this.#hold.do(
      leases.release(this.#hold.lease).pipe(
        Effect.tap(() => Effect.sync(() => this.#hold.ackThrough(this.#hold.history.mail))),
      ),
    );
    this.ending = isSuspended ? "suspended" : "ended";
    this.#hold.say(isSuspended ? "is suspended" : "has ended before");
  }
}
