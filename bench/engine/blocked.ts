/**
 * How long an actor may hold the event loop of its worker before another worker takes its execution
 * over: each length by itself, with a second worker beside. A worker that is not heard of loses its
 * executions by design; this tells from when on.
 */
import { connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";
import { blocker } from "./actors.ts";
import { startWorker } from "./worker_process.ts";

export interface Blocked {
  readonly seconds: number;
  /** Of so many rounds, in how many the execution was taken over. */
  readonly rounds: number;
  readonly takenOver: number;
}

const namespace = "bench";
const durability = "bounded";

const isTakenOver = async (seconds: number): Promise<boolean> => {
  const server = await scratchServer({ durability });
  const options = { url: server.url, durability, namespace, worker: {} } as const;
  const workers = [await startWorker(options), await startWorker(options)];
  const weir = await connect({ servers: server.url, durability, namespace });
  try {
    const run = await weir.start(blocker, seconds * 1_000);
    return await run.result() > 0;
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await weir.close();
    await server.stop();
  }
};

export const measureBlocked = async (
  lengths: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<Blocked>> => {
  const measured: Array<Blocked> = [];
  for (const seconds of lengths) {
    say(`an event loop that is blocked for ${seconds} s`);
    let takenOver = 0;
    for (let round = 0; round < rounds; round++) if (await isTakenOver(seconds)) takenOver++;
    measured.push({ seconds, rounds, takenOver });
  }
  return measured;
};
