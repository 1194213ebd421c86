/**
 * All services of one namespace on one server, wired once for every door. It opens the connection
 * and ensures the topology when it is built, and closes them with its scope.
 */
import * as Layer from "effect/Layer";
import * as Connection from "./connection.ts";
import * as EventStore from "./event_store.ts";
import * as Leases from "./lease.ts";
import type { Log } from "./log.ts";
import { layerJetStream, type LogOptions } from "./log_jetstream.ts";
import * as Sessions from "./session.ts";
import type { TopologyError } from "./topology.ts";

export interface NamespaceServicesOptions extends Connection.ConnectionOptions, LogOptions {}

export type NamespaceServices =
  | Connection.Connection
  | EventStore.EventStore
  | Leases.Leases
  | Log
  | Sessions.Sessions;

export const layer = (
  options: NamespaceServicesOptions = {},
): Layer.Layer<NamespaceServices, Connection.ConnectError | TopologyError> =>
  Layer.mergeAll(EventStore.layer, Leases.layer).pipe(
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(layerJetStream(options)),
    Layer.provideMerge(Connection.layer(options)),
  );
