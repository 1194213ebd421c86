/** Both storages of Effect's cluster, which share what this process knows of the locks it holds. */
import type { MessageStorage } from "effect/cluster/MessageStorage";
import type { RunnerStorage } from "effect/cluster/RunnerStorage";
import type { ShardingConfig } from "effect/cluster/ShardingConfig";
import * as Layer from "effect/Layer";
import type { Log } from "../log.ts";
import type { ServerClock } from "../server_clock.ts";
import * as Messages from "./message_storage.ts";
import * as Runners from "./runner_storage.ts";
import type { ShardInbox } from "./shard_inbox.ts";
import * as ShardLocks from "./shard_locks.ts";

export type StorageOptions = Messages.MessageStorageOptions;

/** The storages of one runner, or of a client that holds no shard. */
export const layer = (
  options: StorageOptions = {},
): Layer.Layer<
  MessageStorage | RunnerStorage | ShardInbox | ShardLocks.ShardLocks,
  never,
  Log | ServerClock | ShardingConfig
> =>
  Layer.mergeAll(Messages.layer(options), Runners.layer).pipe(
    Layer.provideMerge(Layer.fresh(ShardLocks.layer)),
  );
