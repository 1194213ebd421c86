/** A process's way to the log: its services on a connection of their own, open until disposed. */
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Connection from "../../streams/connection.ts";
import * as Leases from "../../streams/lease.ts";
import type { Log } from "../../streams/log.ts";
import { layerJetStream, type LogOptions } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";

export type Services = Log | Leases.Leases | Sessions.Sessions | Connection.Connection;
export type Client = ManagedRuntime.ManagedRuntime<Services, unknown>;

export const openClient = (
  connection: Connection.ConnectionOptions,
  options: LogOptions = {},
): Client =>
  ManagedRuntime.make(
    Leases.layer.pipe(
      Layer.provideMerge(Sessions.layer),
      Layer.provideMerge(layerJetStream(options)),
      Layer.provideMerge(Connection.layer(connection)),
    ),
  );
