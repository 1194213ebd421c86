/**
 * One connection to the server: opened with a check of what the server can do, watched so that
 * nothing is published into the void while it is down, and closed with its scope. Requests made
 * through `ask` may be repeated and are retried until their deadline; appends have their own path.
 */
import {
  jetstream,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstreamManager,
} from "@nats-io/jetstream";
import { errors, type NatsConnection } from "@nats-io/nats-core";
import { connect, type NodeConnectionOptions } from "@nats-io/transport-node";
import * as Config from "effect/Config";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Latch from "effect/Latch";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Redacted from "effect/Redacted";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import {
  ConnectionFailed,
  InvalidInput,
  type ServerFailed,
  type ServerNotFound,
  ServerRefused,
  type ServerTooOld,
  Unavailable,
} from "../schema/errors.ts";
import {
  acquire,
  type Durability,
  type EmbeddedServer,
  type EmbeddedServerOptions,
} from "./server.ts";
import { hearLateErrors } from "./late_errors.ts";
import { connectionChanges } from "./metrics.ts";
import { type Cipher, ciphersIn, type Sealing, sealingOf } from "./sealing.ts";
import { checkServer } from "./server_features.ts";

export interface ConnectionOptions {
  /**
   * Addresses of servers that run already. Left out, and without `embedded.store`: `NATS_URL`, or else
   * the embedded server.
   */
  readonly servers?: string | ReadonlyArray<string>;
  /** How the embedded server is found and kept; with its `store` it is used whatever `NATS_URL` says. */
  readonly embedded?: EmbeddedServerOptions;
  /** What a foreign server promises by its `sync_interval`; it does not tell clients. */
  readonly durability?: Durability;
  /** Credentials, TLS and the like, as the NATS client takes them. */
  readonly nats?: Omit<NodeConnectionOptions, "servers">;
  /**
   * What hides payloads from whoever reads the disk: the first seals, all of them open. Left out:
   * AES-256-GCM with the keys of `WEIR_PAYLOAD_KEYS`, or nothing if there are none.
   */
  readonly ciphers?: ReadonlyArray<Cipher>;
}

export type ConnectError =
  | ConnectionFailed
  | InvalidInput
  | ServerTooOld
  | ServerNotFound
  | ServerFailed;

/** Hears when the connection breaks, when it is back, and when it will not come back. */
export interface ConnectionListener {
  readonly disconnected: () => void;
  readonly reconnected: () => void;
  readonly closed: () => void;
}

export class Connection extends Context.Service<Connection, {
  readonly nats: NatsConnection;
  readonly jetStream: JetStreamClient;
  readonly manager: JetStreamManager;
  /** The embedded server, if this connection uses one. */
  readonly server: EmbeddedServer | undefined;
  /** What an acknowledged write survives; `unknown` for a foreign server that nobody described. */
  readonly durability: Durability | "unknown";
  /** What is done to bodies on their way to the log and back. */
  readonly sealing: Sealing;
  /** Makes a request that is harmless to repeat. */
  readonly ask: <A>(
    operation: string,
    request: () => Promise<A>,
  ) => Effect.Effect<A, Unavailable | ServerRefused>;
  readonly listen: (listener: ConnectionListener) => Effect.Effect<void, never, Scope.Scope>;
  /** Says that it will be closed: a server that is silent for three seconds is given up for good. */
  readonly leave: Effect.Effect<void>;
}>()("@weir/weir/streams/Connection") {}

const requestTimeoutMs = 5_000;
const reconnectWaitMs = 100;
/** A server that says nothing to three pings is left for another; the client's own default is minutes. */
const pingEveryMs = 10_000;
const askForMs = 30_000;
/**
 * Who leaves waits so often for a server that is away, three seconds in all: one that was restarted is
 * back by then. One wait of that length would end before an answer that came while code of ours held
 * up the event loop is read.
 */
const leaveAfterWaits = 30;

const askAgain = Schedule.min([Schedule.exponential("20 millis", 1.5), Schedule.spaced("1 second")])
  .pipe(
    Schedule.upTo({ duration: askForMs }),
  );

/** An address without what it says of who connects; of one that cannot be read, not even more. */
const withoutCredentials = (server: string): string => {
  const [, scheme = "", rest = ""] = /^(\w+:\/\/)?([^]*)$/.exec(server) ?? [];
  return `${scheme}${rest.slice(rest.lastIndexOf("@") + 1)}`;
};

const failed = (servers: ReadonlyArray<string>) => (cause: unknown) =>
  new ConnectionFailed({
    servers: servers.map(withoutCredentials),
    reason: cause instanceof Error ? cause.message : String(cause),
    cause,
  });

/** What is wrong with an address is not told in the words of the runtime: they repeat the address. */
const urlOf = (server: string): URL => {
  const text = server.includes("://") ? server : `nats://${server}`;
  if (!URL.canParse(text)) throw new Error("an address is not like nats://host:4222");
  return new URL(text);
};

/** Credentials in a URL are the user's way of writing them; the client wants them apart. */
const serverOptions = (servers: ReadonlyArray<string>): NodeConnectionOptions => {
  const urls = servers.map(urlOf);
  const [first] = urls;
  const credentials = first === undefined || first.username === ""
    ? {}
    : first.password === ""
    ? { token: decodeURIComponent(first.username) }
    : { user: decodeURIComponent(first.username), pass: decodeURIComponent(first.password) };
  return {
    servers: urls.map((url) => `${url.protocol}//${url.host}`),
    ...(first?.protocol === "tls:" ? { tls: {} } : {}),
    ...credentials,
  };
};

/** Goes after an embedded server that came back on another port; `nats` is there once connected. */
const followingTo = (
  server: EmbeddedServer,
  nats: () => NatsConnection | undefined,
): NodeConnectionOptions => ({
  // A stranger who has its port may keep silent, or know other passwords.
  timeout: requestTimeoutMs,
  ignoreAuthErrorAbort: true,
  reconnectToServer: (pool) => {
    const { host } = urlOf(server.url);
    if (pool.every(({ listen }) => listen !== host)) nats()?.setServers([host]);
    return nats()?.getServers()[0] ?? null;
  },
});

const dial = (
  servers: ReadonlyArray<string>,
  server: EmbeddedServer | undefined,
  options: ConnectionOptions["nats"],
) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async (signal) => {
        let nats: NatsConnection | undefined = undefined;
        nats = await connect({
          name: "weir",
          maxReconnectAttempts: -1,
          reconnectTimeWait: reconnectWaitMs,
          pingInterval: pingEveryMs,
          noAsyncTraces: true,
          ignoreClusterUpdates: false,
          ...serverOptions(servers),
          ...(server === undefined ? {} : followingTo(server, () => nats)),
          ...options,
        });
        if (signal.aborted) await nats.close();
        return nats;
      },
      catch: failed(servers),
    }),
    (nats) =>
      Effect.ignore(Effect.promise(() => nats.isClosed() ? Promise.resolve() : nats.close())),
    { interruptible: true },
  );

/** Who names servers or a store means them, whatever the environment says. */
const findServers = Effect.fnUntraced(function* ({ servers, embedded }: ConnectionOptions) {
  if (servers !== undefined && embedded?.store !== undefined) {
    const rule = "goes with no embedded store: name the servers, or the store";
    const value = [servers].flat().map(withoutCredentials).join(",");
    return yield* new InvalidInput({ what: "servers", value, rule });
  }
  if (servers !== undefined) return [servers].flat();
  if (embedded?.store !== undefined) return undefined;
  const url = yield* Config.option(Config.String("NATS_URL")).pipe(Effect.orDie);
  return Option.match(url, {
    onNone: () => undefined,
    onSome: (servers) => servers.split(",").map((server) => server.trim()),
  });
});

const findSealing = Effect.fnUntraced(function* ({ ciphers }: ConnectionOptions) {
  const keys = yield* Config.option(Config.Redacted("WEIR_PAYLOAD_KEYS")).pipe(Effect.orDie);
  return yield* Effect.try({
    try: () =>
      sealingOf(
        ciphers ?? ciphersIn(Option.match(keys, { onNone: () => "", onSome: Redacted.value })),
      ),
    catch: (error) =>
      error instanceof InvalidInput
        ? error
        : new InvalidInput({ what: "ciphers", value: "given", rule: "expected id, seal and open" }),
  });
});

/** Opens the connection, with the embedded server unless another is named. */
export const make = Effect.fn("Connection.make")(function* (options: ConnectionOptions = {}) {
  const sealing = yield* findSealing(options);
  const named = yield* findServers(options);
  const server = named === undefined ? yield* acquire(options.embedded ?? {}) : undefined;
  const servers = named ?? [server!.url];
  const nats = yield* dial(servers, server, options.nats);
  hearLateErrors(nats);
  yield* checkServer(nats);
  const manager = yield* Effect.tryPromise({
    try: () => jetstreamManager(nats, { checkAPI: false, timeout: requestTimeoutMs }),
    catch: failed(servers),
  });

  const context = yield* Effect.context<never>();
  const scope = yield* Effect.scope;
  const up = Latch.makeUnsafe(true);
  const listeners = new Set<ConnectionListener>();
  /** Requests under way; they would run into their own timeout when the connection breaks. */
  const requests = new Set<(cause: Error) => void>();
  yield* Effect.forkScoped(Effect.promise(async () => {
    for await (const status of nats.status()) {
      if (status.type === "disconnect" && up.closeUnsafe()) {
        connectionChanges("disconnected").updateUnsafe(1, context);
        for (const listener of listeners) listener.disconnected();
        for (const reject of requests) reject(new Error("the connection broke"));
      } else if (status.type === "reconnect" && up.openUnsafe()) {
        connectionChanges("connected").updateUnsafe(1, context);
        hearLateErrors(nats);
        for (const listener of listeners) listener.reconnected();
      }
    }
    // It was closed here, or the server does not take our credentials any more.
    up.openUnsafe();
    for (const listener of listeners) listener.closed();
  }));

  const whileConnected = <A>(request: () => Promise<A>) =>
    new Promise<A>((resolve, reject) => {
      requests.add(reject);
      request().then(resolve, reject).finally(() => requests.delete(reject));
    });

  const ask = <A>(operation: string, request: () => Promise<A>) =>
    Effect.tryPromise({
      try: () => whileConnected(request),
      catch: (cause) => requestError(operation, cause),
    }).pipe(
      Latch.whenOpen(up),
      Effect.timeoutOrElse({
        duration: askForMs,
        orElse: () =>
          Effect.fail(new Unavailable({ operation, reason: "disconnected", landed: "no" })),
      }),
      Effect.retry({ while: (error) => error.retryable && !nats.isClosed(), schedule: askAgain }),
    );

  const answer = Effect.tryPromise(() => nats.flush()).pipe(
    Effect.retry(Schedule.spaced(reconnectWaitMs)),
    Latch.whenOpen(up),
  );
  const silence = Effect.repeat(Effect.sleep(reconnectWaitMs), { times: leaveAfterWaits - 1 });
  const giveUp = Effect.andThen(silence, Effect.promise(() => nats.close()));
  const leave = Effect.raceFirst(answer, giveUp).pipe(
    Effect.repeat({ until: () => nats.isClosed(), schedule: Schedule.spaced(reconnectWaitMs) }),
    Effect.forkIn(scope),
    Effect.asVoid,
  );

  return Connection.of({
    nats,
    manager,
    jetStream: jetstream(nats, { timeout: requestTimeoutMs }),
    server,
    durability: server?.durability ?? options.durability ?? "unknown",
    sealing,
    ask,
    listen: (listener) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => listeners.add(listener)),
        () => Effect.sync(() => listeners.delete(listener)),
      )),
    leave,
  });
});

/** A 503 from JetStream means that no leader answers; everything else that it says is final. */
const requestError = (operation: string, cause: unknown): Unavailable | ServerRefused => {
  if (cause instanceof JetStreamApiError && cause.status !== 503) {
    return new ServerRefused({ operation, errorCode: cause.code, description: cause.message });
  }
  const refusal = cause instanceof errors.RequestError ? cause.cause : cause;
  if (refusal instanceof errors.PermissionViolationError) {
    return new ServerRefused({ operation, errorCode: 0, description: refusal.message });
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Unavailable({ operation, reason, landed: "no", cause });
};

export const layer = (options?: ConnectionOptions): Layer.Layer<Connection, ConnectError> =>
  Layer.effect(Connection, make(options));
