/**
 * Durable subscriptions: readers of a family whose position the server keeps under a name. An event
 * counts as handled when the next one is asked for, so that each is handled at least once whoever
 * dies; whoever reads under the same name shares the work. Order is the log's, shard by shard, save
 * for what is handed out again.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type * as Stream from "effect/Stream";
import type { Cursor } from "../schema/cursor.ts";
import type {
  CursorGap,
  InvalidCursor,
  InvalidInput,
  SubscriptionConflict,
  SubscriptionNotFound,
  TopologyDrift,
} from "../schema/errors.ts";
import type { SubscriptionName, Timestamp } from "../schema/ids.ts";
import type { SubscriptionFilter } from "../schema/subscription_record.ts";
import type { Family, FamilyEvents, FamilyFilter } from "./families.ts";
import type { AppendError, ReadError } from "./log.ts";

export interface SubscribeOptions extends FamilyFilter {
  /** The name, within the family, that all who share the work read under. */
  readonly durable: SubscriptionName;
  /**
   * Where a new subscription begins: behind a cursor, at `earliest` or at `now`, which is the default.
   * One that exists goes on where it is. The `earliest` of a `CursorGap` says that the caller knows.
   */
  readonly after?: string;
  /** Ends the stream when the next event is asked for after this, so that its last one is handled. */
  readonly until?: Effect.Effect<unknown>;
}

/** A subscription by its names. */
export interface SubscriptionKey {
  readonly family: Family;
  readonly name: SubscriptionName;
}

/** A subscription, and how far behind it is. */
export interface Subscription extends SubscriptionKey {
  readonly filter: SubscriptionFilter;
  /** Records that were not handed out yet, whether or not their tags match. */
  readonly pending: number;
  /** Records that somebody has, or had without saying that they are handled. */
  readonly unacknowledged: number;
  /** Both together. */
  readonly lag: number;
  /** Requests for events that wait at the server; readers that are at work have none. */
  readonly waiting: number;
  /** When it last handed out something, or was told that something is handled. */
  readonly lastActiveAt?: Timestamp;
  /** Where a plain reader would have to begin to miss nothing that is not handled. */
  readonly cursor: Cursor;
}

/** Where a subscription is to go on: behind a cursor, at either end, or at a point in time. */
export type ResetTarget =
  | { readonly after: string }
  | { readonly at: Timestamp };

export type SubscriptionError = AppendError | ReadError | TopologyDrift;

export type SubscribeError =
  | SubscriptionError
  | CursorGap
  | InvalidCursor
  | InvalidInput
  | SubscriptionConflict
  | SubscriptionNotFound;

export class Subscriptions extends Context.Service<Subscriptions, {
  /**
   * Events one by one, each handled when the next is asked for; what is in hand when reading ends is
   * handed out again. It goes on by itself when the connection was lost. It fails with `CursorGap`
   * when events were removed that it may not have handed out, again until somebody reads on after
   * the `earliest` of that error.
   */
  readonly read: <F extends Family>(
    family: F,
    options: SubscribeOptions,
  ) => Stream.Stream<FamilyEvents[F], SubscribeError>;
  readonly list: Effect.Effect<ReadonlyArray<Subscription>, SubscriptionError>;
  /** Moves it back or forth; what somebody has in hand meanwhile may be handled all the same. */
  readonly reset: (
    key: SubscriptionKey,
    to: ResetTarget,
  ) => Effect.Effect<
    void,
    SubscriptionError | CursorGap | InvalidCursor | SubscriptionNotFound
  >;
  /** Forgets it; whoever reads under it meets `SubscriptionNotFound`. */
  readonly delete: (
    key: SubscriptionKey,
  ) => Effect.Effect<void, SubscriptionError | SubscriptionNotFound>;
}>()("@weir/weir/streams/Subscriptions") {}
