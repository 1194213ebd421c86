/**
 * What the services stand on, as an operator sees it: its name, whether it needs a network, how it
 * is, and how to end it. A health check asks the real thing and answers within two seconds, whatever
 * is wrong. It stores nothing itself.
 */
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Scope from "effect/Scope";
import { Connection } from "./connection.ts";
import { Log } from "./log.ts";

export type Health =
  | {
    readonly _tag: "Healthy";
    /** How long the slowest stream took to answer. */
    readonly latencyMs: number;
    /** The server's clock less ours, as far as that can be told. */
    readonly clockOffsetMs: number;
  }
  | { readonly _tag: "Unhealthy"; readonly reason: string };

export class StorageBackend extends Context.Service<StorageBackend, {
  readonly name: string;
  /** Whether it is reached through a network that may be absent. */
  readonly requiresNetwork: boolean;
  /** Whether it can be used on a machine without a network. */
  readonly supportsAirGapped: boolean;
  readonly healthCheck: Effect.Effect<Health>;
  /** Ends the services and what they hold, as the end of their scope would; once is enough. */
  readonly shutdown: Effect.Effect<void>;
}>()("@weir/weir/streams/StorageBackend") {}

interface Backend {
  readonly name: string;
  readonly requiresNetwork: boolean;
  /** Why it cannot be asked at all. */
  readonly unreachable: () => string | undefined;
}

const healthTimeoutMs = 2_000;

const unhealthy = (reason: string): Health => ({ _tag: "Unhealthy", reason });

/** Asks each stream for its tail: a leader must answer, which tells its time. */
const askStreams = Effect.fnUntraced(function* (log: Log["Service"]) {
  const offsets = yield* Effect.forEach(
    Array.from({ length: log.layout.shards }, (_, shard) => shard),
    (shard) =>
      Effect.gen(function* () {
        const sent = yield* Clock.currentTimeMillis;
        const { at } = yield* log.tail(shard);
        const answered = yield* Clock.currentTimeMillis;
        return { latencyMs: answered - sent, clockOffsetMs: at - (sent + answered) / 2 };
      }),
    { concurrency: "unbounded" },
  );
  const { latencyMs, clockOffsetMs } = offsets.reduce((a, b) => b.latencyMs > a.latencyMs ? b : a);
  return { _tag: "Healthy", latencyMs, clockOffsetMs } satisfies Health;
});

/** Adds the backend to the services that stand on it, and gives it their scope to end. */
const beneath = <Services, E, R>(
  services: Layer.Layer<Services | Log, E, R>,
  make: (
    context: Context.Context<Services | Log>,
  ) => Effect.Effect<Backend, never, Scope.Scope>,
): Layer.Layer<Services | Log | StorageBackend, E, R> =>
  Layer.fromBuildMemo((memoMap, scope) =>
    Effect.gen(function* () {
      const ending = yield* Scope.fork(scope);
      const context = yield* Layer.buildWithMemoMap(services, memoMap, ending);
      const log = Context.get(context, Log);
      const { name, requiresNetwork, unreachable } = yield* Scope.provide(make(context), ending);
      let isShutDown = false;
      const healthCheck = Effect.suspend(() => {
        const reason = isShutDown ? "it was shut down" : unreachable();
        return reason !== undefined ? Effect.succeed(unhealthy(reason)) : askStreams(log).pipe(
          Effect.catch((error) => Effect.succeed(unhealthy(error.message))),
          Effect.timeoutOrElse({
            duration: healthTimeoutMs,
            orElse: () => Effect.succeed(unhealthy(`no answer within ${healthTimeoutMs} ms`)),
          }),
        );
      });
      const shutdown = Effect.suspend(() => {
        isShutDown = true;
        return Scope.close(ending, Exit.void);
      });
      return Context.add(context, StorageBackend, {
        name,
        requiresNetwork,
        supportsAirGapped: !requiresNetwork,
        healthCheck: Effect.withSpan(healthCheck, "StorageBackend.healthCheck"),
        shutdown: Effect.withSpan(shutdown, "StorageBackend.shutdown"),
      });
    })
  );

/** Whether an address, with its port, is one of this machine's own. */
export const isLoopback = (address: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)(:\d+)?$/.test(address);

/** The backend of services on JetStream, which is reached through a network unless it is local. */
export const layerJetStream = <Services, E, R>(
  services: Layer.Layer<Services | Connection | Log, E, R>,
): Layer.Layer<Services | Connection | Log | StorageBackend, E, R> =>
  beneath(services, (context) =>
    Effect.gen(function* () {
      const { nats, server, listen } = Context.get(context, Connection);
      const address = nats.getServer();
      let isConnected = true;
      yield* listen({
        disconnected: () => isConnected = false,
        reconnected: () => isConnected = true,
        closed: () => isConnected = false,
      });
      return {
        name: "jetstream",
        requiresNetwork: server === undefined && !isLoopback(address),
        unreachable: () => isConnected ? undefined : `disconnected from ${address}`,
      };
    }));

/** The backend of services in memory. */
export const layerMemory = <Services, E, R>(
  services: Layer.Layer<Services | Log, E, R>,
): Layer.Layer<Services | Log | StorageBackend, E, R> =>
  beneath(services, () =>
    Effect.succeed({
      name: "memory",
      requiresNetwork: false,
      unreachable: () => undefined,
    }));
