/**
 * What a server keeps of one subscription in one shard: from where on it hands out events, which of
 * them somebody has, and which are handled. It can be lost and made anew from the subscription's
 * record; whether it agrees with that record is told by its generation.
 */
import type * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import type { Timestamp } from "../../schema/ids.ts";
import type { SubscriptionFilter } from "../../schema/subscription_record.ts";
import type { Entry } from "../log.ts";
import type { Filter } from "../subjects.ts";
import type { SubscriptionError, SubscriptionKey } from "../subscriptions.ts";

/** One outlet, as it is to be made. */
export interface Outlet {
  readonly key: SubscriptionKey;
  readonly meant: SubscriptionFilter;
  readonly generation: number;
  readonly filter: Filter;
  /** The sequence behind which it begins. */
  readonly after: number;
}

/** One outlet, as it stands. */
export interface OutletState {
  readonly generation: number;
  /** The last sequence that was handed out, or lies before the first that will be. */
  readonly delivered: number;
  /** Everything up to here is handled. */
  readonly acknowledged: number;
  /** How many wait to be handed out. */
  readonly pending: number;
  /** How many were handed out and are not handled. */
  readonly unacknowledged: number;
  readonly waiting: number;
  readonly lastActiveAt: Timestamp | undefined;
}

/** One record that was handed out to this process, which says at most one of the first two. */
export interface Delivery {
  readonly entry: Entry;
  /** Whether the body is only a reference to what it stands for. */
  readonly spilled: boolean;
  readonly acknowledge: () => void;
  /** Has it handed out again at once, to whoever waits. */
  readonly giveBack: () => void;
  /** It is still in work; to be said more often than the server's patience lasts. */
  readonly working: () => void;
}

/** Asks for some records, and returns when no more will come; says whether the outlet answered. */
export type Pull = (batch: number) => Effect.Effect<boolean>;

export interface Outlets {
  /** How an outlet stands, or nothing if there is none. */
  readonly state: (
    key: SubscriptionKey,
    shard: number,
  ) => Effect.Effect<OutletState | undefined, SubscriptionError>;
  /** Makes an outlet, unless one of that name exists, whatever it is. */
  readonly create: (outlet: Outlet) => Effect.Effect<void, SubscriptionError>;
  /** Says whether there was one. */
  readonly remove: (
    key: SubscriptionKey,
    shard: number,
  ) => Effect.Effect<boolean, SubscriptionError>;
  /** Pulls from an outlet while the scope is open; `take` is called for each record that comes. */
  readonly open: (
    key: SubscriptionKey,
    shard: number,
    take: (delivery: Delivery) => void,
  ) => Effect.Effect<Pull, never, Scope.Scope>;
  /** The first record under a filter that was stored at a time or later. */
  readonly firstSince: (
    filter: Filter,
    time: Timestamp,
  ) => Effect.Effect<number | undefined, SubscriptionError>;
  /** Whether this process has lost the server for good. */
  readonly isOver: () => boolean;
}
