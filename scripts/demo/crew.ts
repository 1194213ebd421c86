/**
 * The worker processes of the demo, and what they say of the steps that they begin. None of them
 * outlives the demo: their standard input ends with it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** A step as a worker has begun it. */
export interface Begun {
  readonly worker: string;
  readonly execution: string;
  readonly step: string;
  readonly idempotencyKey: string;
}

export interface CrewMember {
  readonly name: string;
  /** What the log calls it. */
  readonly identity: string;
  readonly pid: number;
  /** Kill -9; resolves when it is dead. */
  readonly kill: () => Promise<void>;
}

export interface CrewOptions {
  readonly url: string;
  readonly namespace: string;
  /** Tells the workers of this demo from those of another. */
  readonly batch: string;
  readonly onBegun: (begun: Begun) => void;
  /** Hears whatever else a worker writes. */
  readonly onWords: (words: string) => void;
}

const program = fileURLToPath(new URL("./worker.ts", import.meta.url));

export const makeCrew = ({ url, namespace, batch, onBegun, onWords }: CrewOptions) => {
  const living = new Set<ChildProcess>();

  /** Starts a worker, and returns when it serves. */
  const hire = async (name: string): Promise<CrewMember> => {
    const identity = `${name}-${batch}`;
    const child = spawn(process.execPath, ["run", "-A", program, namespace, identity], {
      env: { ...process.env, NATS_URL: url, DEMO_WORKER: name },
      stdio: ["pipe", "pipe", "pipe"],
    });
    living.add(child);
    child.once("exit", () => living.delete(child));
    createInterface({ input: child.stderr }).on("line", (line) => onWords(`${name}: ${line}`));
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`${name} ended with ${code} as it began`)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (!line.startsWith("{")) return onWords(`${name}: ${line}`);
        const said = JSON.parse(line) as Omit<Begun, "worker"> | { readonly ready: true };
        if ("ready" in said) resolve();
        else onBegun({ ...said, worker: name });
      });
    });
    return {
      name,
      identity,
      pid: child.pid!,
      kill: async () => {
        const ended = once(child, "exit");
        process.kill(child.pid!, "SIGKILL");
        await ended;
      },
    };
  };

  /** Has all of them finish and end. */
  const dismiss = async () => {
    await Promise.all([...living].map((child) => {
      const ended = once(child, "exit");
      child.stdin!.end();
      return ended;
    }));
  };

  const killAll = () => living.forEach((child) => child.kill("SIGKILL"));

  return { hire, dismiss, killAll };
};
