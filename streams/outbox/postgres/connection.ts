/**
 * The connections of a worker: a pool for statements, and one that listens for news and comes back
 * by itself whenever it breaks. What was announced while it was away is made up for by one piece of
 * news when it is back. Nothing of the driver is seen outside.
 */
import type { ConnectionOptions as TlsOptions } from "node:tls";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Queue from "effect/Queue";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import pg from "pg";
import type { Executor } from "./executor.ts";
import type { QuotedNames } from "./names.ts";

/** Where the database is, and as whom; what is left out, the environment's `PGHOST` and others say. */
export interface PostgresConnection {
  /** `postgres://user:password@host:port/database`, instead of the settings below. */
  readonly url?: string;
  /** The name of a host, or the folder of a socket. */
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly user?: string;
  /** A function is asked at each connection. */
  readonly password?: string | (() => string | Promise<string>);
  readonly tls?: boolean | TlsOptions;
  /** At most so many besides the one that listens. Default 10. */
  readonly maxConnections?: number;
}

const connectTimeoutMs = 10_000;
/** After which a connection is given up that does not answer. */
const answerTimeoutMs = 30_000;

const settings = (connection: PostgresConnection) => {
  const { url, tls, maxConnections, ...named } = connection;
  return {
    ...named,
    max: maxConnections ?? 10,
    ...(url === undefined ? {} : { connectionString: url }),
    ...(tls === undefined ? {} : { ssl: tls }),
    application_name: "weir outbox",
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: answerTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: connectTimeoutMs,
  };
};

/** Takes leave, and goes without an answer if none comes. */
const ended = (end: () => Promise<void>): Effect.Effect<void> =>
  Effect.tryPromise(end).pipe(Effect.timeout("5 seconds"), Effect.ignore);

/** A connection from the pool for each statement. */
export const pool = (
  connection: PostgresConnection,
): Effect.Effect<Executor, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const opened = new pg.Pool(settings(connection));
        // The pool replaces a connection that breaks while nobody uses it.
        opened.on("error", () => {});
        return opened;
      }),
      (opened) => ended(() => opened.end()),
    ),
    (opened) => ({ query: (text, values) => opened.query(text, values) }),
  );

const reconnect = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("10 seconds")])
  .pipe(Schedule.jittered);

/** Listens until the connection breaks. */
const listenOnce = (
  connection: PostgresConnection,
  names: QuotedNames,
  tell: () => void,
): Effect.Effect<void, Cause.UnknownError, Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => new pg.Client(settings(connection))),
      (client) => ended(() => client.end()),
    );
    const broken = new Promise<void>((resolve) => {
      client.on("error", () => resolve());
      client.on("end", () => resolve());
    });
    client.on("notification", tell);
    yield* Effect.tryPromise(() => client.connect());
    yield* Effect.tryPromise(() => client.query(`listen ${names.channel}`));
    tell();
    yield* Effect.promise(() => broken);
  });

/** News as they are announced, as one while nobody looks. */
export const listen = (
  connection: PostgresConnection,
  names: QuotedNames,
): Stream.Stream<void> =>
  Stream.callback<void>(
    (queue) =>
      Effect.scoped(listenOnce(connection, names, () => void Queue.offerUnsafe(queue, undefined)))
        .pipe(
          Effect.retry(reconnect),
          Effect.ignore,
          Effect.repeat(Schedule.spaced("100 millis")),
        ),
    { bufferSize: 1, strategy: "sliding" },
  );
