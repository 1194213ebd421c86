/**
 * Executions per second with so many in flight, and how long one by itself takes, beside the bare
 * spike in the same rounds. A rate is what ended within a window of a closed loop that was full before
 * it and after it.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@weir/weir";
import type { Durability } from "../../streams/server.ts";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";
import { all, steps } from "./actors.ts";
import { startSpike } from "./spike.ts";
import { processorTime, startWorker } from "./worker_process.ts";

/** Client and worker in one process on one connection, or each in its own. */
export type Processes = "one process" | "two processes";

export interface Workload {
  readonly processes: Processes;
  readonly what: "spike" | number;
}

/** Of each round: executions per second, milliseconds from start to result, and processor time. */
export interface Figures {
  readonly perSecond: Array<number>;
  readonly p50: Array<number>;
  readonly p99: Array<number>;
  /** Milliseconds of a processor for one execution: in our processes, and in the server's. */
  readonly ours: Array<number>;
  readonly servers: Array<number>;
}

export const noFigures = (): Figures => ({
  perSecond: [],
  p50: [],
  p99: [],
  ours: [],
  servers: [],
});

/** Adds what was seen in one round. */
export const addRound = (
  to: Figures,
  seen: Readonly<Record<keyof Figures, number>>,
): void => {
  for (const figure of ["perSecond", "p50", "p99", "ours", "servers"] as const) {
    to[figure].push(seen[figure]);
  }
};

export interface Measured extends Workload, Figures {
  readonly durability: Durability;
  readonly inFlight: number;
}

export const stepCounts = [0, 1, 3, 9] as const;
export const loads = [1, 64, 512] as const;

const workloads: ReadonlyArray<Workload> = [
  { processes: "one process", what: "spike" },
  ...stepCounts.map((what) => ({ processes: "one process" as const, what })),
  { processes: "two processes", what: 3 },
];

export const quantile = (values: ReadonlyArray<number>, at: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? NaN;
};

const timeOf = (processes: ReadonlyArray<number>): number =>
  processes.reduce((sum, pid) => sum + processorTime(pid), 0);

/**
 * Keeps so many going, and looks at what ends within a window of that. What began together ends
 * together, so the window begins when as many have ended as are in flight, and has as many at least.
 */
export const observe = async (
  execute: () => Promise<unknown>,
  inFlight: number,
  milliseconds: number,
  processes: { readonly ours: ReadonlyArray<number>; readonly servers: ReadonlyArray<number> },
) => {
  const tookMs: Array<number> = [];
  let open = true;
  const lanes = Array.from({ length: inFlight }, async () => {
    while (open) {
      const begun = performance.now();
      await execute();
      tookMs.push(performance.now() - begun);
    }
  });
  const ended = Promise.all(lanes);
  const untilManyEnded = async () => {
    while (tookMs.length < inFlight) await Promise.race([ended, pause(5)]);
  };
  await Promise.all([untilManyEnded(), Promise.race([ended, pause(milliseconds / 3)])]);
  tookMs.length = 0;
  const begun = performance.now();
  const [ours, servers] = [timeOf(processes.ours), timeOf(processes.servers)];
  await Promise.all([untilManyEnded(), Promise.race([ended, pause(milliseconds)])]);
  const elapsed = performance.now() - begun;
  const perExecution = (seconds: number) => seconds * 1_000 / tookMs.length;
  const seen = {
    ours: perExecution(timeOf(processes.ours) - ours),
    servers: perExecution(timeOf(processes.servers) - servers),
    perSecond: tookMs.length / elapsed * 1_000,
    p50: quantile(tookMs, 0.5),
    p99: quantile(tookMs, 0.99),
  };
  open = false;
  await ended;
  return seen;
};

export const measureRates = async (
  durability: Durability,
  { rounds, milliseconds }: { readonly rounds: number; readonly milliseconds: number },
): Promise<ReadonlyArray<Measured>> => {
  const server = await scratchServer({ durability });
  const servers = server.url;
  const spike = await startSpike(servers, durability);
  const together = await connect({ servers, durability, namespace: "together" });
  const worker = await together.worker(all, { identity: "together" });
  const apart = await connect({ servers, durability, namespace: "apart" });
  const other = await startWorker({ url: servers, durability, namespace: "apart", worker: {} });
  const execute = ({ processes, what }: Workload): () => Promise<unknown> => {
    if (what === "spike") return spike.execute;
    const client = processes === "one process" ? together : apart;
    return async () => {
      const result = await (await client.start(steps, what)).result();
      if (result !== what) throw new Error(`${what} steps gave ${result}`);
    };
  };

  const results = new Map<string, Measured>();
  for (let round = 0; round <= rounds; round++) {
    for (const inFlight of loads) {
      for (const workload of workloads) {
        const seen = await observe(execute(workload), inFlight, milliseconds, {
          ours: workload.processes === "one process" ? [process.pid] : [process.pid, other.pid],
          servers: [server.pid!],
        });
        if (round === 0) continue; // Warm-up.
        const key = `${workload.processes} ${workload.what} ${inFlight}`;
        const measured = results.get(key) ?? { ...workload, durability, inFlight, ...noFigures() };
        addRound(measured, seen);
        results.set(key, measured);
      }
    }
    say(`${durability}: round ${round} of ${rounds}`);
  }

  await worker.close();
  await together.close();
  await apart.close();
  await other.stop();
  await spike.close();
  await server.stop();
  return [...results.values()];
};
