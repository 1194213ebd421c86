/**
 * Which executions there are, by tenant, status, actor and tag in any combination, newest first. The
 * answer comes from an index that the log feeds and that can be built anew from it at any time; it
 * lags behind by what `asOf` says, and no execution depends on it. A page costs what it holds,
 * however many executions there are.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import type { Cursor } from "../schema/cursor.ts";
import type {
  InvalidCursor,
  InvalidInput,
  ServerRefused,
  TopologyDrift,
  Unavailable,
} from "../schema/errors.ts";
import { ActorName, type ExecutionId, parse, Tenant, type Timestamp } from "../schema/ids.ts";
import type { Connection } from "./connection.ts";
import type { TagQuery } from "./execution_index/facet.ts";
import { Feed } from "./execution_index/feed.ts";
import * as FeedJetStream from "./execution_index/feed_jetstream.ts";
import * as FeedMemory from "./execution_index/feed_memory.ts";
import * as Listing from "./execution_index/listing.ts";
import { PageStore, type StoreError } from "./execution_index/page_store.ts";
import * as PageStoreJetStream from "./execution_index/page_store_jetstream.ts";
import * as PageStoreMemory from "./execution_index/page_store_memory.ts";
import * as Projector from "./execution_index/projector.ts";
import { ExecutionStatus } from "./execution_index/status.ts";
import { Log } from "./log.ts";
import type { Address } from "./subjects.ts";

export type { ExecutionStatus, TagQuery };

export interface ExecutionQuery {
  readonly tenant: Tenant;
  readonly status?: ExecutionStatus;
  readonly actor?: ActorName;
  readonly tag?: TagQuery;
  /** The most executions that a page is to hold, from 1 to 1,000. */
  readonly limit: number;
  /** The `next` of the page before. */
  readonly from?: Cursor;
}

/** One life of an execution. */
export interface ListedExecution {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  /** The sequence of its start. */
  readonly life: number;
  readonly status: ExecutionStatus;
  readonly startedAt: Timestamp;
  readonly endedAt?: Timestamp;
  /** Nothing, if its id names none. */
  readonly actor?: ActorName;
  /** Those that can be searched for: the first 32, as far as they have 512 characters in all. */
  readonly tags: Readonly<Record<string, string>>;
}

export interface ExecutionPage {
  readonly executions: ReadonlyArray<ListedExecution>;
  /** Where the next page begins; absent on the last one. */
  readonly next?: Cursor;
  /** Whatever was stored before this time is in the page; 0 while there is no index yet. */
  readonly asOf: Timestamp;
}

export class ExecutionIndex extends Context.Service<ExecutionIndex, {
  readonly list: (
    query: ExecutionQuery,
  ) => Effect.Effect<ExecutionPage, InvalidInput | InvalidCursor | StoreError>;
  /**
   * Keeps the index up with the log until it is interrupted. Any number of processes may run it: one
   * at a time works on a shard, and the others stand by.
   */
  readonly project: Effect.Effect<never>;
  /** Takes a life off the index soon; to be called before its records are purged. */
  readonly forget: (execution: Address, life: number) => Effect.Effect<void, StoreError>;
}>()("@weir/weir/streams/ExecutionIndex") {}

const Query = Schema.Struct({
  tenant: Tenant,
  status: Schema.optionalKey(ExecutionStatus),
  actor: Schema.optionalKey(ActorName),
  tag: Schema.optionalKey(
    Schema.Struct({ name: Schema.String, value: Schema.optionalKey(Schema.String) }),
  ),
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 })),
});

const make = Effect.gen(function* () {
  const log = yield* Log;
  const feed = yield* Feed;
  const store = yield* PageStore;
  const page = Listing.make(log, store);
  return ExecutionIndex.of({
    list: Effect.fn("ExecutionIndex.list")(function* ({ from, ...query }: ExecutionQuery) {
      const checked = yield* parse(Query, "query", query);
      return yield* page(from === undefined ? checked : { ...checked, from });
    }),
    project: Projector.make({ log, feed, store }),
    forget: Effect.fn("ExecutionIndex.forget")((execution: Address, life: number) =>
      store.mark(execution.shard, life)
    ),
  });
});

/** The index on a feed of the log and a store for its pages. */
export const layer: Layer.Layer<ExecutionIndex, never, Feed | Log | PageStore> = Layer.effect(
  ExecutionIndex,
  make,
);

/** The index in streams of its own beside the log's. */
export const layerJetStream: Layer.Layer<
  ExecutionIndex,
  TopologyDrift | Unavailable | ServerRefused,
  Connection | Log
> = layer.pipe(
  Layer.provide(FeedJetStream.layerJetStream),
  Layer.provide(PageStoreJetStream.layerJetStream),
);

/** The index in memory. */
export const layerMemory: Layer.Layer<ExecutionIndex, never, Log> = layer.pipe(
  Layer.provide(FeedMemory.layerMemory),
  Layer.provide(PageStoreMemory.layerMemory),
);
