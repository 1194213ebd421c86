/**
 * The part of the user's cache that the gate fills: each thing is fetched or built once, under a
 * temporary name, and takes its place in one rename, so a killed run leaves nothing half-made.
 * What is there is used without asking the network.
 */
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";

/** A path below `$XDG_CACHE_HOME/weir`. */
export const cachePath = (...names: ReadonlyArray<string>): string =>
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "weir", ...names);

export const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

/** Returns `path`; when nothing is there yet, `make` has to leave the thing at the path it gets. */
export const cached = async (
  path: string,
  make: (result: string, scratch: string) => Promise<void>,
): Promise<string> => {
  if (await exists(path)) return path;
  await mkdir(dirname(path), { recursive: true });
  const scratch = await mkdtemp(`${path}.partial-`);
  try {
    const result = join(scratch, "result");
    await make(result, scratch);
    await rename(result, path).catch(async (cause) => {
      // Another run may have put a folder there first; its content is the same.
      if (!await exists(path)) throw cause;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return path;
};
