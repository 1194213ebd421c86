/**
 * What a step takes behind so many others: measured by the code of one execution, in a worker process
 * of its own, with nothing else going on.
 */
import { connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";
import { timedSteps } from "./actors.ts";
import { quantile } from "./rates.ts";
import { startWorker } from "./worker_process.ts";

/** How many steps around a depth count for it. */
const window = 19;

/** Milliseconds of a step at a depth: the median and the worst of those around it, of each round. */
export interface StepLatency {
  readonly depth: number;
  readonly p50: Array<number>;
  readonly most: Array<number>;
}

const around = (depth: number): ReadonlyArray<number> =>
  Array.from({ length: window }, (_, i) => depth - (window >> 1) + i);

export const measureStepLatency = async (
  depths: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<StepLatency>> => {
  const server = await scratchServer({ durability: "bounded" });
  const weir = await connect({ servers: server.url, durability: "bounded", namespace: "bench" });
  const worker = await startWorker({
    url: server.url,
    durability: "bounded",
    namespace: "bench",
    worker: {},
  });
  const latencies = depths.map((depth): StepLatency => ({
    depth,
    p50: [],
    most: [],
  }));
  const count = Math.max(...depths) + window;
  for (let round = 0; round <= rounds; round++) {
    const report = latencies.flatMap(({ depth }) => around(depth));
    const tookMs = await (await weir.start(timedSteps, { count, report })).result();
    if (round === 0) continue; // Warm-up.
    for (const [at, latency] of latencies.entries()) {
      const part = tookMs.slice(at * window, (at + 1) * window);
      latency.p50.push(quantile(part, 0.5));
      latency.most.push(Math.max(...part));
    }
    say(`step latency: round ${round} of ${rounds}`);
  }
  await weir.close();
  await worker.stop();
  await server.stop();
  return latencies;
};
