/**
 * What an owner of an execution has in its hands: the lease, the state that the records have come to,
 * and what was offered because of it. Everything that it stores is stored here. It stops before and
 * behind each thing that takes time, and whoever drives it may leave it there for ever.
 */
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Result from "effect/Result";
import { type Command, decide, type FollowUp } from "../../actors/core/decide.ts";
import { record as evolve } from "../../actors/core/evolve.ts";
import type { ExecutionState } from "../../actors/core/state.ts";
import { speakingKey } from "../../actors/engine/follow_up.ts";
import { type History, readOne, unread } from "../../actors/engine/history.ts";
import type { Left } from "../../actors/engine/snapshot.ts";
import { ExecutionId, type Timestamp } from "../../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../../schema/journal_record.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import type { Lease } from "../../streams/lease.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import { type Item, tenant, type World } from "./world.ts";

/** Between two of these anything may happen; `parked` says that the owner waits for something. */
export type Pause = "busy" | "parked";

/** The lease is somebody else's, or the server cannot be reached. */
export class Lost extends Error {
  /** Who holds the lease instead, if that is why. */
  readonly holder: string | undefined;

  constructor(why: { readonly _tag: string; readonly owner?: string }) {
    super(why._tag);
    this.holder = why.owner;
  }
}

const kindOf = ({ kind }: JournalRecord): "log" | "signal" | "tag" | "done" =>
  kind === "signal" || kind === "tag" || kind === "done" ? kind : "log";

export class Hold {
  readonly world: World;
  readonly worker: string;
  readonly execution: ExecutionId;
  readonly address: Address;
  /** What was offered because of the execution, and is not acknowledged. */
  items: Array<Item> = [];
  history: History = unread;
  state: ExecutionState = unread.state;
  left: Left | undefined;
  /** Where the log has the last numbered record, and the last that is its own. */
  lastRecord = 0;
  written = 0;
  lease!: Lease;
  leaseWrittenAt = 0;

  constructor(world: World, worker: string, address: Address) {
    this.world = world;
    this.worker = worker;
    this.address = address;
    this.execution = ExecutionId.make(address.label);
  }

  say(what: string): void {
    this.world.say(`${this.worker} ${this.execution}: ${what}`);
  }

  /** Something that takes time; what it did is done even if nobody goes on afterwards. */
  *do<A, E extends { readonly _tag: string }>(effect: Effect.Effect<A, E>): Generator<Pause, A> {
    yield "busy";
    const exit = this.world.run(Effect.exit(effect));
    yield "busy";
    if (Exit.isSuccess(exit)) return exit.value;
    const error = Result.getOrThrow(Exit.findError(exit));
    throw new Lost(error);
  }

  *renew(): Generator<Pause, void> {
    const { leases } = this.world;
    this.lease = yield* this.do(
      leases.renew(this.lease, { progress: this.state.progress }).pipe(
        Effect.tap(() => Effect.sync(() => this.ackBut(1))),
      ),
    );
    this.leaseWrittenAt = this.world.now;
  }

  /** Lays what has come since into the inbox. */
  *readMail(through: number): Generator<Pause, void> {
    if (through <= this.history.mail) return;
    const entries = yield* this.do(
      this.world.log.readThrough(executionFilter(this.address, "mail"), {
        after: this.history.mail,
        through,
      }),
    );
    for (const entry of entries) {
      this.history = this.world.run(readOne({ ...this.history, state: this.state }, entry));
      this.state = this.history.state;
    }
  }

  *follow(followUps: ReadonlyArray<FollowUp>): Generator<Pause, void> {
    const { post } = this.world;
    for (const followUp of followUps) {
      if (followUp.type === "notify") {
        yield* this.do(post.notify(followUp.parent, this.execution, followUp.outcome));
      } else if (followUp.type === "cancelChild") {
        const to = this.world.addressOf(followUp.child.execution);
        const { execution } = this;
        const key = speakingKey(this.state);
        const as = { execution, tenant, life: this.state.life, key };
        yield* this.do(post.cancelChild(to, as, undefined));
      }
    }
  }

  *schedule(key: string, due: Timestamp): Generator<Pause, void> {
    yield* this.do(this.world.log.append(this.address, {
      kind: "timer",
      key,
      schedule: { at: due },
      body: mailRecord.encode({ kind: "timer", life: this.state.life, key, due }),
      guard: this.lease.fence,
    }));
  }

  *execute(command: Command): Generator<Pause, void> {
    // A deadline and the code may ask for the same.
    const isAskedTwice = command.kind !== "attemptFailed" && this.world.choices.oneIn(16);
    for (const _ of isAskedTwice ? [1, 2] : [1]) {
      const decided = decide(this.state, command);
      if (Result.isSuccess(decided)) yield* this.store(decided.success);
    }
  }

  *store(record: JournalRecord): Generator<Pause, void> {
    const before = this.state;
    this.lastRecord = yield* this.append(kindOf(record), record);
    this.state = evolve(before, record, before.start!.at);
  }

  *append(
    kind: "log" | "signal" | "tag" | "done",
    record: JournalRecord,
  ): Generator<Pause, number> {
    const key = "key" in record ? ` ${record.key}` : "";
    const what = `${record.kind}${key}`;
    const guard = this.lease.fence;
    const { sequence } = yield* this.do(
      this.world.log.append(this.address, { kind, body: journalRecord.encode(record), guard }).pipe(
        Effect.tap(({ sequence }) =>
          Effect.sync(() => {
            this.say(`records ${what} at ${sequence}`);
            this.ackBut(1);
          })
        ),
      ),
    );
    this.written = sequence;
    return sequence;
  }

  adoptAttempt(): void {
    const { attempt } = this.state;
    this.lease = { ...this.lease, attempt, record: { ...this.lease.record, attempt } };
  }

  /**
   * Only what was just written shows that it is still the owner: one who is not would take from the
   * owner what brings the execution back. What came last stays, which none of those before has read.
   */
  ackBut(count: number): void {
    while (this.items.length > count) this.world.ack(this.items.shift()!);
  }

  ackThrough(mail: number): void {
    for (const item of this.items) if (item.mail <= mail) this.world.ack(item);
    this.items = this.items.filter(({ isAcked }) => !isAcked);
  }
}
