/**
 * What schedules cost whose next run is far off: the processor time of the worker that has them and of
 * the server, and their memory, beside none. The worker is a process of its own.
 */
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@weir/weir";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { steps } from "../engine/actors.ts";
import { memory, processorTime, startWorker } from "../engine/worker_process.ts";
import { say } from "../report.ts";

/** Shares of one processor, of each round, and memory at the end. */
export interface Resting {
  readonly schedules: number;
  readonly worker: Array<number>;
  readonly server: Array<number>;
  workerMiB: number;
  serverMiB: number;
}

export interface RestingOptions {
  readonly count: number;
  readonly watchMs: number;
  readonly rounds: number;
}

const place = { durability: "bounded", namespace: "bench" } as const;
const together = 64;
/** What its owner may have left to do when the last schedule has been taken up. */
const settleMs = 15_000;

export const measureResting = async (
  { count, watchMs, rounds }: RestingOptions,
): Promise<{ readonly resting: ReadonlyArray<Resting>; readonly storedPerSecond: number }> => {
  const server = await scratchServer(place);
  const weir = await connect({ servers: server.url, ...place });
  const worker = await startWorker({
    url: server.url,
    ...place,
    worker: { residentGrace: "0 millis" },
  });
  const watch = async (schedules: number): Promise<Resting> => {
    await pause(settleMs);
    const seen: Resting = {
      schedules,
      worker: [],
      server: [],
      workerMiB: 0,
      serverMiB: 0,
    };
    for (let round = 1; round <= rounds; round++) {
      const before = [processorTime(worker.pid), processorTime(server.pid!)] as const;
      const begun = performance.now();
      await pause(watchMs);
      const seconds = (performance.now() - begun) / 1_000;
      seen.worker.push((processorTime(worker.pid) - before[0]) / seconds);
      seen.server.push((processorTime(server.pid!) - before[1]) / seconds);
      say(`${schedules} schedules: round ${round} of ${rounds}`);
    }
    return {
      ...seen,
      workerMiB: await worker.settledMemory(),
      serverMiB: memory(server.pid!),
    };
  };

  const none = await watch(0);
  const begun = performance.now();
  let next = 0;
  await Promise.all(Array.from({ length: together }, async () => {
    for (let n = next++; n < count; n = next++) {
      await weir.schedule(steps, 1, {
        id: `s-${n}`,
        policy: { type: "cron", expression: `${n % 60} ${n % 24} 1 1 *` },
      });
    }
  }));
  const last = weir.getSchedule(steps, `s-${count - 1}`);
  await eventually("the last has its time", async () => {
    await pause(100);
    return (await last.describe()).schedule?.next;
  }, 600_000);
  await eventually("all are listed as suspended", async () => {
    await pause(500);
    let listed = 0;
    let from: Awaited<ReturnType<typeof weir.list>>["next"];
    do {
      const page = await weir.list({
        status: "suspended",
        limit: 1_000,
        ...(from === undefined ? {} : { from }),
      });
      listed += page.executions.length;
      from = page.next;
    } while (from !== undefined);
    return listed === count || undefined;
  }, 600_000);
  const storedPerSecond = count / (performance.now() - begun) * 1_000;
  const many = await watch(count);
  await worker.stop();
  await weir.close();
  await server.stop();
  return { resting: [none, many], storedPerSecond };
};
