/** A peer's own server in a scratch folder; it listens on loopback and does not outlive this process. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { eventually } from "../../tests/fixtures/server.ts";

export interface BackingServer {
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

export interface BackingServerOptions {
  readonly folder: string;
  readonly program: string;
  readonly args: ReadonlyArray<string>;
  readonly env?: Readonly<Record<string, string>>;
  readonly isReady: () => Promise<boolean>;
}

const startDeadlineMs = 60_000;

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((each) => each.kill("SIGKILL")));

export const startBackingServer = async (
  { folder, program, args, env, isReady }: BackingServerOptions,
): Promise<BackingServer> => {
  const log = join(folder, "server.log");
  const output = openSync(log, "a");
  const running = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  living.add(running);
  const ended = new Promise<void>((resolve) =>
    running.once("exit", () => {
      living.delete(running);
      resolve();
    })
  );
  await eventually(
    `${program} is ready`,
    async () => {
      if (!living.has(running)) {
        throw new Error(`${program} has ended:\n${readFileSync(log, "utf8").slice(-2_000)}`);
      }
      return await isReady().catch(() => false) ? true : undefined;
    },
    startDeadlineMs,
  );
  return {
    pid: running.pid!,
    stop: async () => {
      running.kill("SIGTERM");
      await ended;
    },
  };
};
