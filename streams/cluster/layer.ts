/**
 * Effect's cluster on a namespace: sharding, storages, calls between runners and their health, all over
 * the one connection, so that a program needs no SQL and listens on no port. An address is a name
 * here, and each process has its own unless it is given one.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import process from "node:process";
import type { MessageStorage } from "effect/cluster/MessageStorage";
import * as RunnerAddress from "effect/cluster/RunnerAddress";
import * as EffectRunnerServer from "effect/cluster/RunnerServer";
import type { Runners } from "effect/cluster/Runners";
import type { RunnerStorage } from "effect/cluster/RunnerStorage";
import type { Sharding } from "effect/cluster/Sharding";
import * as ShardingConfig from "effect/cluster/ShardingConfig";
import type * as Config from "effect/Config";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as RpcSerialization from "effect/rpc/RpcSerialization";
import type { InvalidInput } from "../../schema/errors.ts";
import type { Connection } from "../connection.ts";
import type { Log } from "../log.ts";
import type { ServerClock } from "../server_clock.ts";
import type { RunnerProtocolOptions } from "./runner_channel.ts";
import * as RunnerClient from "./runner_client.ts";
import * as RunnerHealth from "./runner_health.ts";
import * as RunnerServer from "./runner_server.ts";
import * as Storage from "./storage.ts";
import * as Wakes from "./wakes.ts";

export interface ClusterOptions extends RunnerProtocolOptions, Storage.StorageOptions {
  /** What differs from the environment and from Effect's defaults. */
  readonly shardingConfig?: Partial<ShardingConfig.ShardingConfig["Service"]>;
}

/** What a cluster gives to entities, singletons, crons and workflows. */
export type ClusterServices = MessageStorage | Runners | RunnerStorage | Sharding;

type Needed = Connection | Log | ServerClock;

const ownAddress = () =>
  RunnerAddress.make(`${hostname()}-${randomUUID().slice(0, 8)}`, process.pid);

/** A process that runs entities. */
export const layer = (
  options: ClusterOptions = {},
): Layer.Layer<ClusterServices, Config.ConfigError | InvalidInput, Needed> =>
  Wakes.layer.pipe(
    Layer.provideMerge(EffectRunnerServer.layerWithClients),
    Layer.provide([RunnerClient.layer(options), RunnerServer.layer(options), RunnerHealth.layer]),
    Layer.provideMerge(Storage.layer(options)),
    Layer.provide([
      RpcSerialization.layerJson,
      ShardingConfig.layerFromEnv({
        runnerAddress: Option.some(ownAddress()),
        ...options.shardingConfig,
      }),
    ]),
  );

/** A process that calls entities and runs none. */
export const layerClient = (
  options: ClusterOptions = {},
): Layer.Layer<ClusterServices, Config.ConfigError, Needed> =>
  EffectRunnerServer.layerClientOnly.pipe(
    Layer.provide(RunnerClient.layer(options)),
    Layer.provideMerge(Storage.layer(options)),
    Layer.provide([
      RpcSerialization.layerJson,
      ShardingConfig.layerFromEnv({ ...options.shardingConfig, runnerAddress: Option.none() }),
    ]),
  );
