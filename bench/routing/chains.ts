/**
 * Flows whose tasks come one after the other, all submitted at once to workers that take one at a
 * time: how many flows end a second, and how long each takes.
 */
import { connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { all, steps } from "../engine/actors.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";

export interface Chains {
  /** Of each round. */
  readonly flowsPerSecond: Array<number>;
  /** From the submission of a flow until its last result is known. */
  readonly p50: Array<number>;
  readonly p95: Array<number>;
  readonly p99: Array<number>;
}

export const measureChains = async (
  { flows, nodes, workers, rounds }: {
    readonly flows: number;
    readonly nodes: number;
    readonly workers: number;
    readonly rounds: number;
  },
): Promise<Chains> => {
  const server = await scratchServer({ durability: "bounded" });
  const weir = await connect({ servers: server.url, durability: "bounded" });
  const serving = await Promise.all(
    Array.from({ length: workers }, () => weir.worker(all, { concurrency: 1 })),
  );
  const seen: Chains = { flowsPerSecond: [], p50: [], p95: [], p99: [] };
  for (let round = 0; round <= rounds; round++) {
    const begun = performance.now();
    const tookMs = await Promise.all(Array.from({ length: flows }, async (_, flow) => {
      const id = (node: number) => `f-${round}-${flow}-${node}`;
      const submitted = performance.now();
      const runs = await weir.submitAll(Array.from({ length: nodes }, (_, node) => ({
        actor: steps,
        input: 1,
        id: id(node),
        after: node === 0 ? [] : [`${steps.name}/${id(node - 1)}`],
      })));
      if (await runs.at(-1)!.result() !== 1) throw new Error("a flow has no result");
      return performance.now() - submitted;
    }));
    say(`chains: round ${round} of ${rounds}`);
    if (round === 0) continue; // Warm-up.
    seen.flowsPerSecond.push(flows / (performance.now() - begun) * 1_000);
    seen.p50.push(quantile(tookMs, 0.5));
    seen.p95.push(quantile(tookMs, 0.95));
    seen.p99.push(quantile(tookMs, 0.99));
  }
  await Promise.all(serving.map((worker) => worker.close()));
  await weir.close();
  await server.stop();
  return seen;
};
