/**
 * The stores that Effect's `effect/persistence` asks for, in the log of a namespace: nothing but NATS
 * is needed. Each is a layer on `Log` and `ServerClock`, which the layers of `@weir/weir/effect` give.
 *
 * @module
 */
import "./schema/effect_version.ts";

export { layer as layerBackingPersistence } from "./streams/persistence/backing_persistence.ts";
export {
  type KeyValueStoreOptions,
  layer as layerKeyValueStore,
} from "./streams/persistence/key_value_store.ts";
export {
  layer as layerPersistedQueueStore,
  type PersistedQueueStoreOptions,
} from "./streams/persistence/persisted_queue_store.ts";
export {
  layer as layerRateLimiterStore,
  type RateLimiterStoreOptions,
} from "./streams/persistence/rate_limiter_store.ts";
