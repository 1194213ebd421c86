/**
 * A worker in a process of its own, and what the system says of a process: its memory and the time
 * that it had a processor. It runs until its parent stops it or ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect, type WorkerOptions } from "@weir/weir";
import type { Durability } from "../../streams/server.ts";
import { all } from "./actors.ts";

interface ServeOptions {
  readonly url: string;
  readonly durability: Durability;
  readonly namespace: string;
  readonly worker: WorkerOptions;
}

export interface WorkerProcess {
  readonly pid: number;
  /** Has it collect its garbage, and says how much memory it has then, in MiB. */
  readonly settledMemory: () => Promise<number>;
  readonly stop: () => Promise<void>;
}

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((each) => each.kill("SIGKILL")));

const script = fileURLToPath(import.meta.url);

export const startWorker = async (
  options: ServeOptions,
  { profileInto }: { readonly profileInto?: string } = {},
): Promise<WorkerProcess> => {
  const profile = profileInto === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileInto}`];
  const running = spawn(
    process.execPath,
    [
      "run",
      "-A",
      "--no-check",
      "--v8-flags=--expose-gc",
      ...profile,
      script,
      JSON.stringify(options),
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  living.add(running);
  running.once("exit", () => living.delete(running));
  const lines = createInterface({ input: running.stdout });
  const said = async () => {
    const [line] = await Promise.race([
      once(lines, "line"),
      once(running, "exit").then(() => Promise.reject(new Error("the worker has ended"))),
    ]);
    return line as string;
  };
  await said();
  return {
    pid: running.pid!,
    settledMemory: async () => {
      running.stdin.write("collect\n");
      await said();
      return memory(running.pid!);
    },
    stop: async () => {
      const ended = once(running, "exit");
      running.stdin.end("stop\n");
      await ended;
    },
  };
};

/** Resident memory of a process, in MiB. */
export const memory = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024;

const ticksPerSecond = 100;

/** The time that a process had a processor so far, in seconds. */
export const processorTime = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
};

const serve = async ({ url, worker, ...options }: ServeOptions): Promise<void> => {
  const weir = await connect({ servers: url, ...options });
  const serving = await weir.worker(all, worker);
  console.log("serving");
  const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "stop") break;
    collect();
    console.log("collected");
  }
  await serving.close();
  await weir.close();
};

if (process.argv[1] === script) {
  await serve(JSON.parse(process.argv[2]!) as ServeOptions);
  process.exit(0);
}
