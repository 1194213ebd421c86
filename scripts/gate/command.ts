/**
 * Runs one program in a process group of its own, so that a time limit, or the end of the gate,
 * takes everything with it that the program started. Standard output and error come back as one
 * text; nothing is printed here.
 */
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import process from "node:process";

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly limitSeconds?: number;
}

export interface Finished {
  /** `null` when a signal ended the program. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly output: string;
  readonly seconds: number;
}

const groups = new Set<number>();

const killGroup = (leader: number): void => {
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // Every member of the group has ended already.
  }
};

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    for (const leader of groups) killGroup(leader);
    process.exit(1);
  });
}

/** Runs a program to its end, or to its limit. A program that cannot be started rejects. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: CommandOptions = {},
): Promise<Finished> =>
  new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const chunks: Array<Uint8Array> = [];
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    let timedOut = false;
    let limit: ReturnType<typeof setTimeout> | undefined;
    child.on("spawn", () => {
      const leader = child.pid!;
      groups.add(leader);
      limit = setTimeout(() => {
        timedOut = true;
        killGroup(leader);
      }, (options.limitSeconds ?? 600) * 1000);
    });
    // A descendant that outlives the program holds the pipes open: "exit" ends the group, and with
    // it what keeps "close" from coming.
    child.on("exit", () => {
      clearTimeout(limit);
      killGroup(child.pid!);
      groups.delete(child.pid!);
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 1000).unref();
    });
    child.on("close", (exitCode, signal) =>
      resolve({
        exitCode,
        signal,
        timedOut,
        output: Buffer.concat(chunks).toString(),
        seconds: (performance.now() - startedAt) / 1000,
      }));
    child.on("error", reject);
  });

/** How a program ended, as the end of a sentence. */
export const ending = ({ exitCode, signal, timedOut }: Finished): string =>
  timedOut ? "took too long" : `ended with ${signal ?? exitCode}`;

/** Runs a program that has to succeed; rejects with its output otherwise. */
export const runOrThrow = async (
  program: string,
  args: ReadonlyArray<string>,
  options: CommandOptions = {},
): Promise<string> => {
  const finished = await run(program, args, options);
  if (finished.exitCode !== 0) {
    throw new Error(`${program} ${args.join(" ")} ${ending(finished)}:\n${finished.output}`);
  }
  return finished.output;
};
