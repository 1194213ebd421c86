/**
 * How long an execution stands still whose owner is killed in the middle of a step: from the kill until
 * the step is begun by another worker, which has been there all the time.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { wallMs } from "../clock.ts";
import { say } from "../report.ts";
import { mover } from "./actors.ts";
import { startWorker } from "./worker_process.ts";

export interface Failover {
  readonly leaseTtlMs: number;
  /** Milliseconds of each round. */
  readonly took: Array<number>;
}

const place = { durability: "bounded", namespace: "bench" } as const;
/** Time enough for its owner to be in the middle of the step. */
const inStepMs = 500;

const takeOver = async (leaseTtlMs: number): Promise<number> => {
  const server = await scratchServer(place);
  const options = { url: server.url, ...place, worker: { leaseTtl: leaseTtlMs } };
  const workers = [await startWorker(options), await startWorker(options)];
  const weir = await connect({ servers: server.url, ...place });
  const run = await weir.start(mover, undefined);
  await pause(inStepMs);
  const { owner } = await run.describe();
  const killed = workers.find(({ pid }) => owner?.startsWith(`${pid}-`));
  if (killed === undefined) throw new Error(`${run.id} is owned by ${owner}, which is no worker`);
  const killedAt = wallMs();
  process.kill(killed.pid, "SIGKILL");
  const { pid, begunAt } = await run.result();
  if (pid === killed.pid) throw new Error("who was killed went on");
  await Promise.all(workers.map((worker) => worker === killed ? undefined : worker.stop()));
  await weir.close();
  await server.stop();
  return begunAt - killedAt;
};

export const measureFailover = async (
  leaseTtls: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<Failover>> => {
  const measured = leaseTtls.map((leaseTtlMs): Failover => ({ leaseTtlMs, took: [] }));
  for (let round = 1; round <= rounds; round++) {
    for (const { leaseTtlMs, took } of measured) took.push(await takeOver(leaseTtlMs));
    say(`failover: round ${round} of ${rounds}`);
  }
  return measured;
};
