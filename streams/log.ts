/**
 * The log: the one place where anything is made durable, as conditional appends to JetStream
 * subjects. It promises that an append is acknowledged only when it is stored as durably as the
 * server is configured, that at most one append per execution is in flight, and that an owner's
 * append carries a fence which the server enforces. It does not know what records mean.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type * as Option from "effect/Option";
import type * as Stream from "effect/Stream";
import type {
  AlreadyExists,
  CorruptRecord,
  InvalidBatch,
  NoSpace,
  PayloadTooLarge,
  SequenceConflict,
  ServerRefused,
  StaleFence,
  Unavailable,
  UnsupportedRecordVersion,
} from "../schema/errors.ts";
import type { Fence } from "./fence.ts";
import type { Address, Filter, Kind, Layout } from "./subjects.ts";

/**
 * What must still hold when the record is stored: the fence, or the last sequence of its subject, or
 * of another in its shard.
 */
export type Guard = Fence | { readonly after: number; readonly subject?: string };

/** One record on its way into the log. */
export interface Message {
  readonly kind: Kind;
  readonly body: Uint8Array;
  readonly guard?: Guard;
  /**
   * The idempotency key in the stream. An owner's comes from its fence, a client's from
   * `clientMessageId`; left out, a random one still resolves unknown outcomes of this call.
   */
  readonly id?: string;
  /** The last subject token of a keyed kind, such as a timer or an output. */
  readonly key?: string;
  /** Whose record it is, in the same shard, if not that of the address which is appended to. */
  readonly of?: Address;
  /** Runs when the record is known to be stored, before a later append of its execution is sent. */
  readonly onStored?: (sequence: number) => void;
  /** How long the record lives, at least a second; for sessions and caches only. */
  readonly ttlSeconds?: number;
  /** Whether older records of the subject go, in the same step; then the body must fit in a message. */
  readonly replaces?: boolean;
  /** Whether this is the mark that a bucket key is deleted. */
  readonly removes?: boolean;
  /**
   * When the server puts the body into the execution's mailbox, or under another kind, in
   * milliseconds of its clock; what is due already comes at once. For a timer with its key, of which
   * each has one schedule: the next one replaces it. A schedule that is due may take the one which
   * replaces it along as it fires, so that a new deadline needs a new key, or a look at what came.
   */
  readonly schedule?: { readonly at: number; readonly into?: "mail" | "gc" };
  /** Whether this takes back the schedule of the timer, if there is one still; the body is not kept. */
  readonly unschedules?: boolean;
}

/** What the server answered to an append. */
export interface Appended {
  readonly sequence: number;
  /** Whether an earlier append with the same id had already stored it. */
  readonly duplicate: boolean;
}

/** One record as stored. */
export interface Entry {
  readonly shard: number;
  readonly subject: string;
  readonly sequence: number;
  /** When the server stored it, in milliseconds. */
  readonly at: number;
  readonly id: string | undefined;
  /**
   * What was the last record under its subject when it was stored, if its writer asked for that; it is
   * known of what a mailbox offers, and of nothing else.
   */
  readonly follows?: number | undefined;
  /** Whether this is a mark that the key was deleted or has expired; the body says nothing then. */
  readonly removed: boolean;
  readonly body: Uint8Array;
}

/** A place in a shard: the sequence of a record, and when that was stored. */
export interface Place {
  readonly sequence: number;
  readonly at: number;
}

/** The last sequence of a shard, and the server's clock. */
export interface Tail {
  readonly sequence: number;
  readonly at: number;
}

export interface ReadOptions {
  /** Exclusive: the first record read is the first after it. */
  readonly after?: number;
  /** The last sequence to read, inclusive. */
  readonly upTo?: number;
  /**
   * Whether what has lost its payload is given as well, with the reference for a body, which nobody
   * can decode; otherwise it fails the read.
   */
  readonly withLost?: boolean;
}

export interface ReadThroughOptions extends Omit<ReadOptions, "upTo"> {
  /** A sequence that the leader has acknowledged. */
  readonly through: number;
}

export type AppendError =
  | StaleFence
  | AlreadyExists
  | SequenceConflict
  | PayloadTooLarge
  | InvalidBatch
  | Unavailable
  | NoSpace
  | ServerRefused;

export type ReadError = Unavailable | ServerRefused | CorruptRecord | UnsupportedRecordVersion;

/** Why records could not be removed; it is safe to try again. */
export type RemoveError = Unavailable | ServerRefused;

/** What a record may have, unless the connection says otherwise. */
export const defaultMaxPayloadBytes = 32 * 1024 * 1024;

/** The most records that one atomic batch holds: the server's default limit. */
export const maxBatchSize = 1000;

export class Log extends Context.Service<Log, {
  readonly layout: Layout;
  /** Random per creation of the streams, so that a cursor of earlier ones is recognised. */
  readonly incarnation: string;
  /** The longest lease: message ids are remembered a little longer. */
  readonly longestLeaseMs: number;
  /** What a record may have, unless it has to fit in a message. */
  readonly maxPayloadBytes: number;
  /** What a record may have that has to: of a bucket's kind, or one that replaces others. */
  readonly maxMessageBytes: number;
  /** Stores one record. */
  readonly append: (to: Address, message: Message) => Effect.Effect<Appended, AppendError>;
  /** Stores all of the records, with consecutive sequences of which it returns the first, or none. */
  readonly appendBatch: (
    to: Address,
    messages: ReadonlyArray<Message>,
  ) => Effect.Effect<Appended, AppendError>;
  /** The last record of a subject, as its leader has it; a keyed kind has one for each key. */
  readonly last: (
    of: Address,
    kind: Kind,
    key?: string,
  ) => Effect.Effect<Option.Option<Entry>, ReadError>;
  /** The first record of a subject, as its leader has it. */
  readonly first: (
    of: Address,
    kind: Kind,
    key?: string,
  ) => Effect.Effect<Option.Option<Entry>, ReadError>;
  /** The last record of each kind that has any, as the leader has them. */
  readonly lastOfEach: (
    of: Address,
    kinds: ReadonlyArray<Kind>,
  ) => Effect.Effect<ReadonlyMap<Kind, Entry>, ReadError>;
  /** The same, but only where it is: payloads in the object store are not asked for. */
  readonly lastSequences: (
    of: Address,
    kinds: ReadonlyArray<Kind>,
  ) => Effect.Effect<ReadonlyMap<Kind, number>, ReadError>;
  /**
   * Where the next record under a filter is, behind a sequence, and when it was stored, as the leader
   * has it; its payload is not asked for.
   */
  readonly next: (filter: Filter, after: number) => Effect.Effect<Option.Option<Place>, ReadError>;
  /** What is stored under a filter, in order; ends at the tail. */
  readonly read: (filter: Filter, options?: ReadOptions) => Stream.Stream<Entry, ReadError>;
  /** What is stored under a filter and what will be, in order; ends only with an error. */
  readonly follow: (filter: Filter, options?: ReadOptions) => Stream.Stream<Entry, ReadError>;
  /**
   * All that is stored under a filter, in order, and nothing up to `through` is missing: an answer
   * of a replica that lags behind is not used.
   */
  readonly readThrough: (
    filter: Filter,
    options: ReadThroughOptions,
  ) => Effect.Effect<ReadonlyArray<Entry>, ReadError>;
  /** Asks the leader of a shard. */
  readonly tail: (shard: number) => Effect.Effect<Tail, ReadError>;
  /**
   * Deletes the records under a filter up to a sequence, inclusive, so that what is stored later is
   * safe; payloads in the object store stay. Returns how many it deleted.
   */
  readonly purge: (
    filter: Filter,
    options: { readonly upTo: number },
  ) => Effect.Effect<number, ReadError>;
  /**
   * Deletes the payloads that an execution has in the object store, of failed appends too, unless
   * one of them is so new that its record may be on its way; says whether they are gone.
   */
  readonly dropPayloads: (of: Address) => Effect.Effect<boolean, ReadError>;
  /**
   * Publishes schedules again that fell due while the server had no space, whenever appends of this
   * process were refused and are served again. Ends only with its fiber.
   */
  readonly healSchedules: Effect.Effect<never>;
  /** Deletes one record; returns whether it was there. */
  readonly remove: (shard: number, sequence: number) => Effect.Effect<boolean, RemoveError>;
}>()("@weir/weir/streams/Log") {}
