/**
 * Errors of a socket that come when its connection is given up already. The NATS client takes all
 * listeners off a socket before it destroys it, and what is written in that moment is an error that
 * nobody listens to, which ends the process. Here somebody does, and has nothing to do about it.
 */
import type { Socket } from "node:net";
import type { NatsConnection } from "@nats-io/nats-core";

/** What the client keeps for itself. */
interface Inner {
  readonly protocol?: { readonly transport?: { readonly socket?: Socket } };
}

const ignore = () => {};
const heard = new WeakSet<Socket>();

/** Listens to the socket that a connection has now, for as long as it lives. */
export const hearLateErrors = (nats: NatsConnection): void => {
  const socket = (nats as unknown as Inner).protocol?.transport?.socket;
  if (socket === undefined || heard.has(socket)) return;
  heard.add(socket);
  const removeAllListeners = socket.removeAllListeners.bind(socket);
  socket.removeAllListeners = (event) => {
    // To be told of `undefined` is not to be told of all.
    if (event === undefined) removeAllListeners();
    else removeAllListeners(event);
    return socket.on("error", ignore);
  };
};
