/**
 * Where the processes of the peers run: a folder with Weir's own package, built and packed, and one
 * with theirs, which stay in the user's cache and out of this project's manifest. Both have a copy of
 * the code that runs there, since Node looks for packages beside it.
 */
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { buildPackage } from "../../scripts/build_npm.ts";
import { runOrThrow } from "../../scripts/gate/command.ts";
import { manifest, pinned, root } from "../../scripts/gate/library.ts";
import { nodeBinaries } from "../../scripts/gate/node_binary.ts";
import { cached, cachePath } from "../../scripts/gate/user_cache.ts";
import { scratchFolder } from "../../tests/fixtures/server.ts";

export interface Installation {
  readonly node: string;
  /** The module of the process that has Weir. */
  readonly weir: () => Promise<string>;
  /** The module of the process that has a peer. */
  readonly peers: string;
  readonly restateServer: string;
}

const pins = join(root, "bench", "peers", "packages");
const manifests = ["package.json", "package-lock.json"];

/** What a process consists of, relative to the root. */
const code = [
  "bench/child_process.ts",
  "bench/clock.ts",
  "bench/engine/spike.ts",
  "bench/peers/adapters",
  "bench/peers/load.ts",
  "bench/peers/peer.ts",
  "bench/peers/peer_process.ts",
  "bench/workflow/workflows.ts",
];

const npm = (args: ReadonlyArray<string>, cwd: string) =>
  runOrThrow(
    "npm",
    [...args, "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"],
    { cwd },
  );

/** The peers as their lock file pins them. */
const peersPackages = async (): Promise<string> => {
  const lock = await readFile(join(pins, "package-lock.json"));
  const digest = createHash("sha256").update(lock).digest("hex").slice(0, 16);
  return cached(cachePath("peers", digest), async (result) => {
    await mkdir(result);
    for (const file of manifests) await cp(join(pins, file), join(result, file));
    // `npm ci` asks for packages of other platforms as well, which not every registry has.
    await npm(["install", "--no-save"], result);
  });
};

/** Copies the code; returns the module of the process. */
const addCode = async (folder: string): Promise<string> => {
  for (const path of code) await cp(join(root, path), join(folder, path), { recursive: true });
  return pathToFileURL(join(folder, "bench/peers/peer_process.ts")).href;
};

/** Weir as a user installs it: as it is here, or a package that was packed before. */
const installWeir = async (tarball: string | undefined): Promise<string> => {
  const folder = scratchFolder("weir");
  const dependencies = {
    [manifest.name]: `file:${tarball ?? await buildPackage()}`,
    effect: pinned("effect"),
  };
  const project = { private: true, type: "module", dependencies };
  await writeFile(join(folder, "package.json"), JSON.stringify(project));
  await npm(["install", "--no-package-lock"], folder);
  return addCode(folder);
};

export const install = async (tarball: string | undefined): Promise<Installation> => {
  const installed = await peersPackages();
  const peers = scratchFolder("peers");
  await cp(join(installed, "package.json"), join(peers, "package.json"));
  await symlink(join(installed, "node_modules"), join(peers, "node_modules"));
  let weir: Promise<string> | undefined;
  const platform = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  return {
    node: (await nodeBinaries())[24],
    weir: () => weir ??= installWeir(tarball),
    peers: await addCode(peers),
    restateServer: join(installed, "node_modules", platform, "bin", "restate-server"),
  };
};
