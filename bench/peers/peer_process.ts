/**
 * A peer in a Node process of its own, which is both its client and its worker. It is told what to
 * run, checks each result, and answers with times and counts; what it logs goes to standard error.
 */
import { Console } from "node:console";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { answering } from "../child_process.ts";
import { closedLoop, type Execute, type Observed, openLoop, type Window } from "./load.ts";
import { type Open, type Peer, sumTo, wallMs } from "./peer.ts";
import type { Work, Workload } from "./workloads.ts";

export interface Options {
  /** A module of `adapters/`. */
  readonly adapter: string;
  readonly settings: unknown;
}

export type Question =
  | { readonly what: "run"; readonly workload: Workload; readonly window: Window }
  /** Answers with how many executions have ended according to what is stored. */
  | { readonly what: "completed" };

export interface Ran extends Observed {
  /** How many steps have run for it. */
  readonly performed: number;
}

/** How long an execution that waits is left alone before its signal. */
const lingerMs = 20;

const check = (what: string, found: unknown, expected: unknown): void => {
  if (found !== expected) throw new Error(`${what} is ${found}, and not ${expected}`);
};

const wake = async (peer: Peer): Promise<number> => {
  const parked = Promise.withResolvers<void>();
  const resumed = Promise.withResolvers<number>();
  const { send, result } = await peer.wait!({
    parked: parked.resolve,
    resumed: (atMs = wallMs()) => resumed.resolve(atMs),
  });
  await parked.promise;
  await pause(lingerMs);
  const begun = wallMs();
  const [atMs] = await Promise.all([resumed.promise, send()]);
  check("what it waited for", await result, 1);
  return atMs - begun;
};

const executing = (peer: Peer, work: Work): Execute => {
  if (work.kind === "wake") return () => wake(peer);
  const ballast = "x".repeat(work.inputBytes);
  return async () => {
    const begun = performance.now();
    check("the result", await peer.steps(work.steps, ballast), sumTo(work.steps));
    return performance.now() - begun;
  };
};

const run = async (peer: Peer, { work, load }: Workload, window: Window): Promise<Ran> => {
  const before = peer.performed();
  const execute = executing(peer, work);
  const observed = load.kind === "closed"
    ? await closedLoop(execute, load.inFlight, window)
    : await openLoop(execute, load.perSecond, window);
  return { ...observed, performed: peer.performed() - before };
};

const open = async ({ adapter, settings }: Options) => {
  globalThis.console = new Console(process.stderr, process.stderr);
  const module: { open: Open<unknown> } = await import(`./adapters/${adapter}`);
  const peer = await module.open(settings);
  return {
    answer: (question: Question): Promise<unknown> =>
      question.what === "completed"
        ? peer.completed()
        : run(peer, question.workload, question.window),
    close: peer.close,
  };
};

await answering(import.meta.url, open);
