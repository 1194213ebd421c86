/**
 * Where the answers to our own requests come: beneath the inbox prefix that the connection was given,
 * so that a server can let each of its users hear its own answers and nobody else's.
 */
import { type ConnectionOptions, createInbox, type NatsConnection } from "@nats-io/nats-core";

/** The client keeps its options, though its interface does not say so. */
type Configured = NatsConnection & {
  readonly options?: Pick<ConnectionOptions, "inboxPrefix">;
};

export const newInbox = (nats: NatsConnection): string =>
  createInbox((nats as Configured).options?.inboxPrefix);
