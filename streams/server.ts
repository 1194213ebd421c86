/**
 * The embedded server: a real nats-server that the processes of this machine share by naming one
 * store folder. It runs as long as one of them uses it and at most 5 seconds longer, and comes back
 * on the same data, and on the same port unless somebody has taken that, if it is killed. It is for
 * one machine; a service has its own NATS.
 */
import { mkdir, realpath } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import { type InvalidInput, ServerFailed, type ServerNotFound } from "../schema/errors.ts";
import { parse } from "../schema/ids.ts";
import type { Durability } from "./server/configuration.ts";
import * as configuration from "./server/configuration.ts";
import type { LocateOptions } from "./server/locate.ts";
import { locate, sources } from "./server/locate.ts";
import type { Membership } from "./server/membership.ts";
import { share } from "./server/membership.ts";

export type { Durability } from "./server/configuration.ts";

export interface EmbeddedServerOptions extends LocateOptions {
  /**
   * The folder that holds the data, on a local disk of this machine. Who names the same folder
   * shares the server. The default is `weir` in the user's data folder.
   */
  readonly store?: string;
  /**
   * What an acknowledged write survives; a process kill always. Left out: what the server that runs
   * already gives, or else "power-safe".
   */
  readonly durability?: Durability;
  /** When the streams may grow no more; left out, what the store had last, or else 10 GiB. */
  readonly maxStorageBytes?: number;
}

export interface EmbeddedServer {
  /** Where it listens, with the credentials. It changes only if someone takes the port meanwhile. */
  readonly url: string;
  readonly store: string;
  readonly durability: Durability;
  readonly maxStorageBytes: number;
  readonly version: string;
  readonly binary: string;
  readonly pid: number;
}

const DurabilityOrNone = Schema.UndefinedOr(Schema.Literals(["power-safe", "bounded"]));
const BytesOrNone = Schema.UndefinedOr(Schema.Int.check(Schema.isGreaterThan(0)));

const defaultStore = (): string =>
  join(process.env["XDG_DATA_HOME"] || join(homedir(), ".local", "share"), "weir");

const prepare = (store: string): Effect.Effect<string, ServerFailed> =>
  Effect.tryPromise({
    try: async () => {
      await mkdir(store, { recursive: true, mode: 0o700 });
      return await realpath(store);
    },
    catch: (cause) =>
      new ServerFailed({ store, reason: `the store cannot be created: ${cause}`, logTail: "" }),
  });

/** A command that is over leaves its server behind for a moment. */
const untilOthersAreGone = Schedule.spaced("100 millis").pipe(
  Schedule.upTo({ duration: "5 seconds" }),
);

const backOff = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("5 seconds")]);

/** A server that cannot live is not started more often than this. */
const shortestUse = Effect.sleep("250 millis");

/** A server that is ready, and kept running while the scope is open. */
export const acquire = Effect.fn("Server.acquire")(function* (
  options: EmbeddedServerOptions = {},
): Effect.fn.Return<EmbeddedServer, InvalidInput | ServerNotFound | ServerFailed, Scope.Scope> {
  const durability = yield* parse(DurabilityOrNone, "embedded.durability", options.durability);
  const maxStorageBytes = yield* parse(
    BytesOrNone,
    "embedded.maxStorageBytes",
    options.maxStorageBytes,
  );
  const requested = options.store ?? defaultStore();
  if (process.platform === "win32") {
    return yield* new ServerFailed({
      store: requested,
      reason: "it does not run on Windows: start nats-server yourself and set NATS_URL",
      logTail: "",
    });
  }
  const store = yield* prepare(requested);
  const binary = Effect.suspend(() => locate(sources(options)));

  const first = yield* Deferred.make<Membership, ServerNotFound | ServerFailed>();
  let current: Membership | undefined;
  const useUntilLost = Effect.scoped(Effect.gen(function* () {
    const comesBack = current !== undefined;
    current = yield* share({ store, binary, durability, maxStorageBytes, comesBack });
    yield* Deferred.succeed(first, current);
    yield* Effect.all([current.lifeline.lost, shortestUse], { concurrency: 2 });
  })).pipe(
    Effect.retry({ while: ({ _tag }) => _tag === "RunsOtherwise", schedule: untilOthersAreGone }),
    Effect.catchTag(
      "RunsOtherwise",
      ({ reason }) => new ServerFailed({ store, reason, logTail: "" }),
    ),
  );
  const comeBack = useUntilLost.pipe(
    Effect.tapError((error) => Effect.logWarning(error.message)),
    Effect.retry(backOff),
  );
  yield* useUntilLost.pipe(
    Effect.matchCauseEffect({
      onFailure: (cause) => Deferred.failCause(first, cause),
      onSuccess: () => Effect.forever(comeBack),
    }),
    Effect.forkScoped,
  );
  const initial = yield* Deferred.await(first);

  const latest = () => current ?? initial;
  const server: Omit<EmbeddedServer, "url"> = {
    store,
    get durability() {
      return configuration.durability(latest().configuration);
    },
    get maxStorageBytes() {
      return latest().configuration.jetstream.max_file_store;
    },
    get version() {
      return latest().lifeline.version;
    },
    get binary() {
      return latest().configuration.server_metadata.binary;
    },
    get pid() {
      return latest().pid;
    },
  };
  // It is there for whoever asks for it, and not for whoever shows all that there is.
  return Object.defineProperty(server as EmbeddedServer, "url", {
    enumerable: false,
    get: () => {
      const { port, authorization } = latest().configuration;
      return `nats://${authorization.user}:${authorization.password}@127.0.0.1:${port}`;
    },
  });
});
