/**
 * Where the outbox keeps its events, whatever keeps them. An event is published by whoever has
 * claimed it, and each claim has a lock of its own: a mark under a lock that has moved on is refused
 * by the store itself, so that a slow owner changes nothing behind its successor. Time is the
 * store's, not the caller's.
 */
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import type * as Effect from "effect/Effect";
import type * as Stream from "effect/Stream";
import type {
  CorruptRecord,
  NoSpace,
  PayloadTooLarge,
  ServerRefused,
  Unavailable,
  UnsupportedRecordVersion,
} from "../../schema/errors.ts";
import type { DatabaseRefused, DuplicateEvent, EventLockLost } from "../../schema/outbox_errors.ts";
import type { DeadLetter, NewOutboxEvent, OutboxEvent, OutboxEventId } from "./event.ts";

/** An event in the hands of the one who may publish it. */
export interface Claim {
  /** As it is under this claim: `processing`, and locked. */
  readonly event: OutboxEvent;
  readonly owner: string;
  /** Different for each claim and renewal of the event; the store knows only the last. */
  readonly lock: number;
  /** How often publishing it has failed. */
  readonly failures: number;
}

export interface ClaimOptions {
  /** Who will publish, for people to read; the lock is what counts. */
  readonly owner: string;
  /** At most so many. */
  readonly limit: number;
  /** For how long. */
  readonly lock: Duration.Input;
}

/** How many events there are, but for those that were sent. */
export interface OutboxCounts {
  readonly pending: number;
  readonly processing: number;
  readonly dead: number;
}

/** Why a store could not do what it was asked; nothing of what it has acknowledged is lost. */
export type StoreError =
  | Unavailable
  | NoSpace
  | ServerRefused
  | DatabaseRefused
  | CorruptRecord
  | UnsupportedRecordVersion;

export class OutboxStore extends Context.Service<OutboxStore, {
  /**
   * Adds an event that nobody has claimed. Its token is taken in the same step, or was taken already
   * and nothing is added; it stays taken for as long as the store keeps the event.
   */
  readonly insert: (
    event: NewOutboxEvent,
  ) => Effect.Effect<OutboxEvent, DuplicateEvent | PayloadTooLarge | StoreError>;
  /**
   * Claims events that are due and that nobody holds, about oldest first: none that another claims
   * at the same moment, and of those that share a key only the oldest that is not sent or dead.
   */
  readonly claim: (options: ClaimOptions) => Effect.Effect<ReadonlyArray<Claim>, StoreError>;
  /** Holds an event for so long from now; the claim that is returned takes the place of this one. */
  readonly renew: (
    claim: Claim,
    lock: Duration.Input,
  ) => Effect.Effect<Claim, EventLockLost | StoreError>;
  /**
   * Marks events as sent, each by itself: those whose lock has moved on are returned and unchanged,
   * the others are marked whatever becomes of these.
   */
  readonly markSent: (
    claims: ReadonlyArray<Claim>,
  ) => Effect.Effect<ReadonlyArray<EventLockLost>, StoreError>;
  /** Counts a failure, and lets the event be claimed again after a while. */
  readonly markFailed: (
    claim: Claim,
    failure: { readonly reason: string; readonly retryAfter: Duration.Input },
  ) => Effect.Effect<void, EventLockLost | StoreError>;
  /** Gives an event back that was not published, so that it can be claimed at once. */
  readonly release: (claim: Claim) => Effect.Effect<void, EventLockLost | StoreError>;
  /**
   * Puts an event aside for good, this failure counted; what shares its key goes on without it. It is
   * too large only for whoever has a lower limit than the one who added it.
   */
  readonly deadLetter: (
    claim: Claim,
    reason: string,
  ) => Effect.Effect<void, EventLockLost | PayloadTooLarge | StoreError>;
  /** The dead letters behind one, oldest death first. */
  readonly deadLetters: (
    options: { readonly limit: number; readonly after?: OutboxEventId },
  ) => Effect.Effect<ReadonlyArray<DeadLetter>, StoreError>;
  /** Makes an event of a dead letter again, with no failures; says whether there was one. */
  readonly requeue: (id: OutboxEventId) => Effect.Effect<boolean, StoreError>;
  /** Removes a dead letter; says whether there was one. */
  readonly deleteDeadLetter: (id: OutboxEventId) => Effect.Effect<boolean, StoreError>;
  /** Removes events that were sent so long ago, at most `limit`; returns how many, 0 if all are gone. */
  readonly collectGarbage: (
    options: { readonly sentBefore: Duration.Input; readonly limit: number },
  ) => Effect.Effect<number, StoreError>;
  readonly counts: Effect.Effect<OutboxCounts, StoreError>;
  /**
   * Says when there may be something new to claim: an event was added, requeued or given back. What
   * owners mark says nothing, nor does a lock that lapses or a pause that ends.
   */
  readonly news: Stream.Stream<void, StoreError>;
}>()("@weir/weir/streams/OutboxStore") {}
