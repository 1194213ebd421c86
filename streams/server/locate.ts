/**
 * Where the nats-server binary comes from: what the user names, what is installed, what was fetched
 * before, and then each way to fetch it. The first that is usable wins, and a failure names the
 * refusal of every one. It starts nothing.
 */
import { access, constants } from "node:fs/promises";
import { delimiter, resolve } from "node:path";
import process from "node:process";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import { ServerNotFound } from "../../schema/errors.ts";
import type { Binary } from "./binary.ts";
import { inspect } from "./binary.ts";
import { cachedPath, defaultCacheFolder, install } from "./cache.ts";
import { fetchDebianPackage } from "./debian_package.ts";
import { goInstall } from "./go_install.ts";
import { defaultReleases, fetchReleaseArchive, pinnedChecksums } from "./release_archive.ts";

export interface LocateOptions {
  /** The binary to use, and no other; the default is the environment's WEIR_NATS_SERVER. */
  readonly binary?: string;
  /** Where fetched binaries are kept. */
  readonly cacheFolder?: string;
  /** Where the official archives are; the default is WEIR_NATS_RELEASES, or the project's own. */
  readonly releases?: string;
  /** SHA-256 of the official archive by platform, such as `linux-amd64`. */
  readonly checksums?: Readonly<Record<string, string>>;
  /** How long a source may take to answer; 5 seconds unless said otherwise. */
  readonly connectTimeout?: Duration.Input;
  /** How long a download may pause; 30 seconds unless said otherwise. */
  readonly stallTimeout?: Duration.Input;
  /** Called with one line of text while something is fetched. */
  readonly onProgress?: (message: string) => void;
}

export interface Source {
  readonly name: string;
  readonly find: Effect.Effect<Binary, string>;
}

const isExecutable = (path: string): Effect.Effect<boolean> =>
  Effect.promise(() => access(path, constants.X_OK).then(() => true, () => false));

const onPath = Effect.fnUntraced(function* (): Effect.fn.Return<Binary, string> {
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const path = resolve(folder, "nats-server");
    if (folder !== "" && (yield* isExecutable(path))) return yield* inspect(path);
  }
  return yield* Effect.fail("it is not there");
});

const inCache = Effect.fnUntraced(function* (folder: string): Effect.fn.Return<Binary, string> {
  const path = cachedPath(folder);
  if (!(yield* isExecutable(path))) return yield* Effect.fail(`${path} is not there`);
  return yield* inspect(path);
});

/** The server is started from another folder; a mere name is looked for on the PATH, from there too. */
const absolute = (path: string): string => path.includes("/") ? resolve(path) : path;

/** Every source in the order of preference. A binary that the user names is the only one. */
export const sources = (options: LocateOptions = {}): ReadonlyArray<Source> => {
  const cacheFolder = resolve(options.cacheFolder ?? defaultCacheFolder());
  const {
    connectTimeout = "5 seconds",
    stallTimeout = "30 seconds",
    checksums = pinnedChecksums,
    onProgress = () => {},
  } = options;
  const named = options.binary ?? process.env["WEIR_NATS_SERVER"];
  if (named) {
    const name = options.binary === undefined ? "WEIR_NATS_SERVER" : "the binary option";
    return [{ name, find: inspect(absolute(named)) }];
  }
  const releases = options.releases ?? (process.env["WEIR_NATS_RELEASES"] || defaultReleases);
  const remote = { releases, checksums, connectTimeout, stallTimeout, onProgress };
  return [
    { name: "nats-server on PATH", find: onPath() },
    { name: "the cache", find: inCache(cacheFolder) },
    {
      name: "the official release archive",
      find: install(cacheFolder, (scratch) => fetchReleaseArchive(scratch, remote)),
    },
    {
      name: "the Debian package",
      find: install(cacheFolder, (scratch) => fetchDebianPackage(scratch, remote)),
    },
    { name: "go install", find: install(cacheFolder, (scratch) => goInstall(scratch, remote)) },
  ];
};

/** The first usable binary. */
export const locate = Effect.fn("Server.locate")(
  function* (
    candidates: ReadonlyArray<Source> = sources(),
  ): Effect.fn.Return<Binary, ServerNotFound> {
    const refusals: Array<{ source: string; reason: string }> = [];
    for (const { name, find } of candidates) {
      const found = yield* Effect.result(find);
      if (found._tag === "Success") return found.success;
      refusals.push({ source: name, reason: found.failure });
    }
    return yield* new ServerNotFound({ refusals });
  },
);
