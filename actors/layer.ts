/**
 * Everything that runs executions in one namespace, wired once for every door: on a server, or in
 * memory with the same contracts.
 */
import * as Layer from "effect/Layer";
import * as HandOver from "../streams/hand_over.ts";
import * as MailboxesOnJetStream from "../streams/mailbox/jetstream.ts";
import { layer as layerNamespace, type NamespaceServicesOptions } from "../streams/namespace.ts";
import * as ServerClock from "../streams/server_clock.ts";
import * as Executions from "./executions.ts";

/** The engine on a server. */
export const layer = (options: NamespaceServicesOptions = {}) =>
  Layer.mergeAll(
    Executions.layer,
    HandOver.layerJetStream,
    MailboxesOnJetStream.layerJetStream,
  ).pipe(
    Layer.provideMerge(ServerClock.layer),
    Layer.provideMerge(layerNamespace(options)),
  );
