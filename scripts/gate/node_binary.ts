/**
 * Provides the pinned Node releases that the npm package is tested on. The binaries come out of the
 * platform packages behind the `node` npm package, unpacked here because npm may refuse to run the
 * install script that would do it; npm checks their integrity.
 */
import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { runOrThrow } from "./command.ts";
import { cached, cachePath } from "./user_cache.ts";

const releases = { 20: "20.20.2", 22: "22.23.3", 24: "24.21.0" } as const;

export type NodeMajor = keyof typeof releases;

export type NodeBinaries = Readonly<Record<NodeMajor, string>>;

const nodeBinary = (major: NodeMajor): Promise<string> => {
  const version = releases[major];
  return cached(cachePath("node", version, "node"), async (result, scratch) => {
    const name = `node-${process.platform}-${process.arch}@${version}`;
    await runOrThrow("npm", ["pack", name, "--prefer-offline", "--pack-destination", scratch]);
    const archive = (await readdir(scratch)).find((file) => file.endsWith(".tgz"));
    if (archive === undefined) throw new Error(`npm pack ${name} left no archive`);
    await runOrThrow("tar", ["-xzf", join(scratch, archive), "-C", scratch, "package/bin/node"]);
    await rename(join(scratch, "package/bin/node"), result);
  });
};

/** The paths of all of them. */
export const nodeBinaries = async (): Promise<NodeBinaries> => {
  const [node20, node22, node24] = await Promise.all([
    nodeBinary(20),
    nodeBinary(22),
    nodeBinary(24),
  ]);
  return { 20: node20, 22: node22, 24: node24 };
};
