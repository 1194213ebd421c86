/**
 * How long it takes until a first execution is done, in processes of their own that use the built
 * package as it is installed, on each runtime: with a store that is new, whose server has to be
 * started first, and with a server that runs already. The files are in the system's cache.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect } from "@weir/weir";
import { buildPackage } from "../scripts/build_npm.ts";
import { runOrThrow } from "../scripts/gate/command.ts";
import { manifest, pinned } from "../scripts/gate/library.ts";
import { nodeBinaries } from "../scripts/gate/node_binary.ts";
import { removeStore, scratchStore } from "../tests/public/scratch_store.ts";

/** Milliseconds; `total` begins where the process is spawned and ends with the result. */
export type Parts = Readonly<
  Record<"import" | "connect" | "worker" | "execution" | "total", number>
>;

export interface StartUp {
  readonly runtime: string;
  readonly server: "started" | "running";
  readonly rounds: Array<Parts>;
}

const program = "first_execution.js";

const install = async (folder: string): Promise<void> => {
  const project = {
    type: "module",
    dependencies: { [manifest.name]: `file:${await buildPackage()}`, effect: pinned("effect") },
  };
  await writeFile(join(folder, "package.json"), JSON.stringify(project));
  const quietly = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"];
  await runOrThrow("npm", ["install", ...quietly, "--loglevel=error"], { cwd: folder });
  await cp(fileURLToPath(new URL(program, import.meta.url)), join(folder, program));
};

const runOnce = async (
  [command, ...words]: readonly [string, ...ReadonlyArray<string>],
  folder: string,
  store: string,
): Promise<Parts> => {
  const { NATS_URL: _, ...env } = process.env;
  const began = performance.now();
  const child = spawn(command, [...words, program, store], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  const { value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  const total = performance.now() - began;
  const [code] = await ended;
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
  return { ...JSON.parse(value), total };
};

/** Each runtime in turn, in each round; the first round only warms up. */
export const measureStartUp = async (rounds: number): Promise<ReadonlyArray<StartUp>> => {
  const nodes = await nodeBinaries();
  const runtimes: Readonly<Record<string, readonly [string, ...ReadonlyArray<string>]>> = {
    Deno: [process.execPath, "run", "-A", "--no-check"],
    "Node 20": [nodes[20]],
    "Node 22": [nodes[22]],
    "Node 24": [nodes[24]],
  };
  const measured = Object.keys(runtimes).flatMap((runtime): ReadonlyArray<StartUp> => [
    { runtime, server: "started", rounds: [] },
    { runtime, server: "running", rounds: [] },
  ]);
  const folder = await mkdtemp(join(tmpdir(), "weir-bench-"));
  try {
    await install(folder);
    for (let round = 0; round <= rounds; round++) {
      for (const { runtime, server, rounds } of measured) {
        const store = await scratchStore();
        const holder = server === "running" ? await connect({ embedded: { store } }) : undefined;
        const parts = await runOnce(runtimes[runtime]!, folder, store);
        if (round > 0) rounds.push(parts);
        await holder?.close();
        await removeStore(store);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return measured;
};
