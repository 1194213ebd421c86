/**
 * What its owner holds of an execution: the lease, and the state that the records under it have come
 * to. Whatever is stored of the execution is stored here, and what the server refuses changes
 * nothing. It does not decide what is recorded, nor when.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Result from "effect/Result";
import { Timestamp } from "../../schema/ids.ts";
import { type JournalRecord, journalRecord } from "../../schema/journal_record.ts";
import type { Fence } from "../../streams/fence.ts";
import type { Lease, Leases } from "../../streams/lease.ts";
import type { AppendError, Entry, Log, Message, ReadError } from "../../streams/log.ts";
import { type Address, executionFilter } from "../../streams/subjects.ts";
import { type Command, decide } from "../core/decide.ts";
import { record as evolve, takeUp } from "../core/evolve.ts";
import type { ExecutionState } from "../core/state.ts";
import { type History, readOne } from "./history.ts";
import { leave, type Left } from "./snapshot.ts";

/** An execution as it was claimed: read up to the claim, and the last snapshot of it. */
export interface Claimed {
  readonly lease: Lease;
  readonly history: History;
  readonly left: Left | undefined;
}

export interface OwnershipOptions {
  readonly log: Log["Service"];
  readonly leases: Leases["Service"];
  /** A clock for intervals. */
  readonly monotonicMs: () => number;
  /** What time the server has, as well as it is known. */
  readonly at: () => number;
  /** Returns when the frames are stored that come before whatever is recorded now. */
  readonly framesStored: Effect.Effect<void, AppendError>;
  /** Something was recorded, and is part of the state. */
  readonly onStored: (record: JournalRecord) => void;
}

const subjectKind = ({ kind }: JournalRecord): "log" | "signal" | "tag" | "done" =>
  kind === "signal" || kind === "tag" || kind === "done" ? kind : "log";

export class Ownership {
  readonly address: Address;
  readonly #options: OwnershipOptions;
  #lease: Lease;
  #leaseWrittenAt: number;
  #history: History;
  #state: ExecutionState;
  #left: Left | undefined;
  #lastRecord: number;

  constructor(options: OwnershipOptions, { lease, history, left }: Claimed) {
    this.address = lease.execution;
    this.#options = options;
    this.#lease = lease;
    this.#leaseWrittenAt = options.monotonicMs();
    this.#history = history;
    this.#left = left;
    this.#lastRecord = history.journal;
    this.#state = {
      ...history.state,
      attempt: Math.max(history.state.attempt, lease.attempt),
      epoch: lease.epoch,
    };
    this.#adoptAttempt();
  }

  get state(): ExecutionState {
    return this.#state;
  }

  get fence(): Fence {
    return this.#lease.fence;
  }

  /** Owners in a row that failed before they recorded anything. */
  get reclaims(): number {
    return this.#lease.reclaims;
  }

  get ttlMs(): number {
    return this.#lease.ttlMs;
  }

  /** Whether the owner before, if there was one, left nothing half done. */
  get atRest(): boolean {
    return this.#lease.atRest;
  }

  /** The last message of the mailbox that was read. */
  get mailRead(): number {
    return this.#history.mail;
  }

  /** Where the stream has the last record. */
  get lastRecord(): number {
    return this.#lastRecord;
  }

  /**
   * Decides, stores and applies, together with what goes along; a command whose time has passed
   * changes nothing.
   */
  execute(
    command: Command,
    along: ReadonlyArray<Message> = [],
  ): Effect.Effect<void, AppendError> {
    const decided = decide(this.#state, command);
    return Result.isSuccess(decided) ? this.store(decided.success, along) : Effect.void;
  }

  store(
    record: JournalRecord,
    along: ReadonlyArray<Message> = [],
  ): Effect.Effect<void, AppendError> {
    const before = this.#state;
    const { framesStored, log } = this.#options;
    const guard = this.#lease.fence;
    const message = { kind: subjectKind(record), body: journalRecord.encode(record), guard };
    return Effect.map(
      Effect.andThen(
        framesStored,
        along.length === 0
          ? log.append(this.address, message)
          : log.appendBatch(this.address, [message, ...along.map((each) => ({ ...each, guard }))]),
      ),
      ({ sequence }) => {
        this.#lastRecord = sequence;
        this.#state = evolve(before, record, Timestamp.make(Math.round(this.#options.at())));
        this.#adoptAttempt();
        this.#options.onStored(record);
      },
    );
  }

  /**
   * Lays what has come since into the inbox. What was offered is not read again if it is sure that
   * nothing lies before it.
   */
  readMail(through: number, offered?: Entry): Effect.Effect<void, ReadError> {
    const { mail } = this.#history;
    if (through <= mail) return Effect.void;
    return Effect.gen({ self: this }, function* () {
      const entries = offered?.sequence === through && offered.follows === mail
        ? [offered]
        : yield* this.#options.log.readThrough(
          executionFilter(this.address, "mail"),
          { after: mail, through },
        );
      for (const entry of entries) {
        this.#history = yield* readOne({ ...this.#history, state: this.#state }, entry);
        this.#state = this.#history.state;
      }
    });
  }

  /** Takes up the first message of the inbox, which needs no record. */
  takeUp(): void {
    this.#state = takeUp(this.#state);
  }

  /** Extends the lease, once a third of its time is over. */
  renew(): Effect.Effect<void, AppendError> {
    if (!this.isRenewalDue(this.#options.monotonicMs())) return Effect.void;
    return this.#options.leases.renew(this.#lease, { progress: this.#state.progress }).pipe(
      Effect.map((lease) => {
        this.#lease = lease;
        this.#leaseWrittenAt = this.#options.monotonicMs();
      }),
    );
  }

  isRenewalDue(nowMs: number): boolean {
    return nowMs - this.#leaseWrittenAt >= this.#lease.ttlMs / 3;
  }

  /** Whether the lease is this owner's still. */
  get isValid(): Effect.Effect<boolean, ReadError> {
    const { fence } = this.#lease;
    return Effect.map(
      this.#options.leases.current(this.address),
      Option.exists(({ revision, record }) =>
        revision === fence.revision && record.nonce === fence.nonce
      ),
    );
  }

  /** Gives the lease up, and says whether anything was under way. */
  release(atRest: boolean): Effect.Effect<void, AppendError> {
    const { framesStored, leases } = this.#options;
    return Effect.andThen(framesStored, leases.release(this.#lease, { atRest }));
  }

  /** Spares the next owner the history, if so many records have been added to it. */
  leaveSnapshot(after: number): Effect.Effect<void, AppendError> {
    if (this.#state.index - (this.#left?.index ?? 0) < after) return Effect.void;
    const { log } = this.#options;
    return leave(log, this.address, this.fence, this.#state, this.#lastRecord, this.#left).pipe(
      Effect.map((left) => {
        this.#left = left;
      }),
      // It is a convenience: what is too large is left out.
      Effect.catchTag("PayloadTooLarge", () => Effect.void),
    );
  }

  /** Later records of the lease name the attempt that the journal has come to. */
  #adoptAttempt(): void {
    const { attempt } = this.#state;
    if (attempt === this.#lease.attempt) return;
    this.#lease = { ...this.#lease, attempt, record: { ...this.#lease.record, attempt } };
  }
}
