/**
 * Asks a nats-server whether it is ready, as a user would: a connection with the credentials, and an
 * answer from JetStream. The connection stays open, and its end is how a user learns that the server
 * is gone. Nothing else is sent over it.
 */
import type { NatsConnection } from "@nats-io/transport-node";
import { connect } from "@nats-io/transport-node";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import type { Configuration } from "./configuration.ts";

export interface Lifeline {
  readonly version: string;
  /** Returns when the connection has ended. */
  readonly lost: Effect.Effect<void>;
}

const timeoutMillis = 2_000;

const isJetStreamReady = async (connection: NatsConnection): Promise<boolean> => {
  const answer = await connection.request("$JS.API.INFO", "", { timeout: timeoutMillis });
  return answer.json<{ error?: unknown }>().error === undefined;
};

/** A lifeline until the scope closes; none if the server is not ready. */
export const probe = (
  { host, port, authorization }: Configuration,
): Effect.Effect<Option.Option<Lifeline>, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      let connection: NatsConnection | undefined;
      try {
        connection = await connect({
          servers: `${host}:${port}`,
          user: authorization.user,
          pass: authorization.password,
          name: "weir lifeline",
          reconnect: false,
          noAsyncTraces: true,
          timeout: timeoutMillis,
        });
        if (await isJetStreamReady(connection)) return Option.some(connection);
      } catch {
        // Not listening, not ready, or a stranger on this port: the caller asks again.
      }
      await connection?.close();
      return Option.none();
    }),
    Option.match({
      onNone: () => Effect.void,
      onSome: (connection) => Effect.promise(() => connection.close()),
    }),
  ).pipe(Effect.map(Option.map((connection) => ({
    version: connection.info?.version ?? "",
    lost: Effect.promise(() => connection.closed()).pipe(Effect.asVoid),
  }))));
