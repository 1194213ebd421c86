/**
 * The configuration file of a nats-server on this machine, which is also what its users read to find
 * it: written once before the server starts, whole, and readable by its owner alone. It listens on
 * loopback only and has no monitoring port. It does not write files.
 */
import type * as Option from "effect/Option";
import * as Schema from "effect/Schema";

/** What an acknowledged write survives: a power cut, or a power cut except for the last 100 ms. */
export type Durability = "power-safe" | "bounded";

const syncIntervals = { "power-safe": "always", bounded: "100ms" } as const;

const mebibyte = 1024 * 1024;

/** Room for a laptop's executions. It is a limit, not a reservation. */
export const defaultMaxStorageBytes = 10 * 1024 * mebibyte;

/** Weir's streams are on disk; this is for consumers and for what users try out. */
const maxMemoryBytes = 256 * mebibyte;

const maxLogBytes = 8 * mebibyte;

export const Configuration = Schema.Struct({
  host: Schema.String,
  port: Schema.Int,
  server_name: Schema.String,
  /** Shown by `nats server info`; Weir reads the path of the running binary from it. */
  server_metadata: Schema.Struct({ binary: Schema.String }),
  authorization: Schema.Struct({ user: Schema.String, password: Schema.String }),
  pid_file: Schema.String,
  log_file: Schema.String,
  log_size_limit: Schema.Int,
  log_max_num: Schema.Int,
  jetstream: Schema.Struct({
    store_dir: Schema.String,
    sync_interval: Schema.Literals(["always", "100ms"]),
    max_file_store: Schema.Int,
    max_memory_store: Schema.Int,
  }),
});
export type Configuration = typeof Configuration.Type;

export interface ConfigurationOptions {
  readonly store: string;
  readonly binary: string;
  readonly port: number;
  readonly durability: Durability;
  readonly maxStorageBytes: number;
  readonly authorization: { readonly user: string; readonly password: string };
}

export const make = (options: ConfigurationOptions): Configuration => ({
  host: "127.0.0.1",
  port: options.port,
  server_name: "weir",
  server_metadata: { binary: options.binary },
  authorization: options.authorization,
  pid_file: `${options.store}/server.pid`,
  log_file: `${options.store}/server.log`,
  log_size_limit: maxLogBytes,
  log_max_num: 2,
  jetstream: {
    store_dir: options.store,
    sync_interval: syncIntervals[options.durability],
    max_file_store: options.maxStorageBytes,
    max_memory_store: maxMemoryBytes,
  },
});

export const durability = (configuration: Configuration): Durability =>
  configuration.jetstream.sync_interval === "always" ? "power-safe" : "bounded";

const json = Schema.fromJsonString(Configuration);

export const encode: (configuration: Configuration) => string = Schema.encodeSync(json);

/** The configuration in `text`; none where a crash or a power cut left half a file. */
export const decode: (text: string) => Option.Option<Configuration> = Schema.decodeUnknownOption(
  json,
);
