/**
 * The user's cache folder for nats-server binaries that Weir fetched itself. A binary appears in it
 * whole and tried, or not at all, however many processes install at once or die half-way. It does
 * not know where binaries come from.
 */
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import * as Effect from "effect/Effect";
import type { Binary } from "./binary.ts";
import { inspect, pinnedVersion } from "./binary.ts";

/** Where this user's cached binaries are, unless an option says otherwise. */
export const defaultCacheFolder = (): string =>
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "weir", "nats-server");

/** One folder per pinned release; what a Debian mirror put there may be a later one. */
const versionFolder = (cacheFolder: string): string => join(cacheFolder, pinnedVersion);

export const cachedPath = (cacheFolder: string): string =>
  join(versionFolder(cacheFolder), "nats-server");

/** Lets `fetch` put a binary into a scratch folder, tries it, and moves it into the cache. */
export const install = <R>(
  cacheFolder: string,
  fetch: (scratch: string) => Effect.Effect<string, string, R>,
): Effect.Effect<Binary, string, R> =>
  Effect.acquireUseRelease(
    Effect.tryPromise({
      try: async () => {
        await mkdir(versionFolder(cacheFolder), { recursive: true });
        return await mkdtemp(join(versionFolder(cacheFolder), "incoming-"));
      },
      catch: (cause) => `the cache folder cannot be written: ${cause}`,
    }),
    Effect.fnUntraced(function* (scratch) {
      const { path, version } = yield* inspect(yield* fetch(scratch));
      const installed = cachedPath(cacheFolder);
      yield* Effect.tryPromise({
        try: () => rename(path, installed),
        catch: (cause) => `the binary cannot be moved into the cache: ${cause}`,
      });
      return { path: installed, version };
    }),
    (scratch) => Effect.promise(() => rm(scratch, { recursive: true, force: true })),
  );
