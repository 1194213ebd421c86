/**
 * The engines that are compared, each as its documentation sets it up for several processes, with its
 * own defaults. What a process is told of an engine is data, so that it can be handed to it.
 */
import * as NodeClusterSocket from "@effect/platform-node-shared/NodeClusterSocket";
import * as NodeCrypto from "@effect/platform-node-shared/NodeCrypto";
import * as PgClient from "@effect/sql-pg/PgClient";
import { layer as layerWeir, WeirWorkflowEngine } from "@weir/weir/effect";
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine";
import * as RunnerAddress from "effect/cluster/RunnerAddress";
import * as RunnerHealth from "effect/cluster/RunnerHealth";
import * as Runners from "effect/cluster/Runners";
import * as ShardingConfig from "effect/cluster/ShardingConfig";
import * as SocketRunner from "effect/cluster/SocketRunner";
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage";
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as RpcSerialization from "effect/rpc/RpcSerialization";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { Namespace } from "../../schema/ids.ts";
import type { Durability } from "../../streams/server.ts";
import type { Connection } from "../../tests/fixtures/postgres.ts";

export type Engine =
  | {
    readonly kind: "weir";
    readonly servers: string;
    readonly durability: Durability;
    /** How long what waits stays in memory; the engine's own default if left out. */
    readonly residentMs?: number;
  }
  | {
    readonly kind: "cluster";
    readonly connection: Connection;
    /** Where the process that runs workflows listens for others. */
    readonly port: number;
  };

export type Role = "runs workflows" | "calls them";

export const layerEngine = (engine: Engine, role: Role): Layer.Layer<WorkflowEngine, unknown> =>
  engine.kind === "weir" ? layerOnWeir(engine, role) : layerOnCluster(engine, role);

const layerOnWeir = (
  { servers, durability, residentMs }: Extract<Engine, { readonly kind: "weir" }>,
  role: Role,
) =>
  (role === "calls them"
    ? WeirWorkflowEngine.layerClient()
    : WeirWorkflowEngine.layer(residentMs === undefined ? {} : { residentGrace: residentMs })).pipe(
      Layer.provide(layerWeir({ servers, durability, namespace: Namespace.make("bench") })),
    );

const layerOnCluster = (
  { connection, port }: Extract<Engine, { readonly kind: "cluster" }>,
  role: Role,
) => {
  const { host, user, database } = connection;
  const runner = role === "calls them" ? SocketRunner.layerClientOnly : SocketRunner.layer.pipe(
    Layer.provide(NodeClusterSocket.layerSocketServer),
    Layer.provide(RunnerHealth.layerPing.pipe(Layer.provide(Runners.layerRpc))),
  );
  const address = RunnerAddress.make("127.0.0.1", port);
  return ClusterWorkflowEngine.layer.pipe(
    Layer.provide(runner),
    Layer.provide(NodeClusterSocket.layerClientProtocol),
    Layer.provide(SqlMessageStorage.layer.pipe(Layer.provide(NodeCrypto.layerDigest))),
    Layer.provide(SqlRunnerStorage.layer),
    Layer.provide(ShardingConfig.layer({
      runnerAddress: role === "calls them" ? Option.none() : Option.some(address),
    })),
    Layer.provide(RpcSerialization.layerSchemaBinary()),
    Layer.provide(PgClient.layer({ host, username: user, database })),
  );
};
