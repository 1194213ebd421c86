/** The same on a cluster of three servers, with one copy of each record and with three. */
import process from "node:process";
import { connect } from "@weir/weir";
import { scratchCluster } from "../../tests/fixtures/server.ts";
import { all } from "../engine/actors.ts";
import { type Contestant, type Seen, takeTurns, type Window } from "./contest.ts";

const durability = "bounded";

const replicaCounts = [1, 3] as const;

const nameOf = (replicas: number): string => `R${replicas}`;

export const measureReplicas = async (window: Window): Promise<ReadonlyArray<Seen>> => {
  const cluster = await scratchCluster({ durability });
  const contestants: Array<Contestant> = [];
  for (const replicas of replicaCounts) {
    const weir = await connect({
      servers: [...cluster.urls],
      durability,
      namespace: `copies_${replicas}`,
      replicas,
    });
    const worker = await weir.worker(all);
    contestants.push({
      name: nameOf(replicas),
      weir,
      processes: { ours: [process.pid], servers: cluster.servers.map(({ pid }) => pid!) },
      stop: async () => {
        await worker.close();
        await weir.close();
      },
    });
  }
  const seen = await takeTurns(contestants, [1, 64], window);
  for (const { stop } of contestants) await stop();
  await cluster.stop();
  return seen;
};
