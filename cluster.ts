/**
 * What Effect's `effect/cluster` asks of a storage and a transport, on one namespace: nothing but NATS
 * is needed. `WeirCluster.layer` is all of it. The layers stand on `Connection`, `Log` and
 * `ServerClock`, which those of `@weir/weir/effect` give.
 *
 * @module
 */
import "./schema/effect_version.ts";

export {
  layer as layerMessageStorage,
  type MessageStorageOptions,
} from "./streams/cluster/message_storage.ts";
export type { RunnerProtocolOptions } from "./streams/cluster/runner_channel.ts";
export { layer as layerRunnerClientProtocol } from "./streams/cluster/runner_client.ts";
export { layer as layerRunnerHealth } from "./streams/cluster/runner_health.ts";
export { layer as layerRunnerServerProtocol } from "./streams/cluster/runner_server.ts";
export { layer as layerRunnerStorage } from "./streams/cluster/runner_storage.ts";
export { ShardInbox } from "./streams/cluster/shard_inbox.ts";
export { layer as layerShardLocks, ShardLocks } from "./streams/cluster/shard_locks.ts";
export { layer as layerStorage, type StorageOptions } from "./streams/cluster/storage.ts";
export { layer as layerWakes } from "./streams/cluster/wakes.ts";
export * as WeirCluster from "./streams/cluster/layer.ts";
