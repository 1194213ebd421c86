/** One to four workers, each in a process of its own, on one to four shards of one server. */
import process from "node:process";
import { connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { startWorker } from "../engine/worker_process.ts";
import { type Contestant, type Seen, takeTurns, type Window } from "./contest.ts";

interface Placement {
  readonly workers: number;
  readonly shards: number;
}

const placements: ReadonlyArray<Placement> = [
  { workers: 1, shards: 1 },
  { workers: 2, shards: 1 },
  { workers: 4, shards: 1 },
  { workers: 1, shards: 4 },
  { workers: 2, shards: 2 },
  { workers: 4, shards: 4 },
];

const nameOf = ({ workers, shards }: Placement): string =>
  `${workers} worker${workers === 1 ? "" : "s"}, ${shards} shard${shards === 1 ? "" : "s"}`;

const durability = "bounded";

export const measurePlacements = async (window: Window): Promise<ReadonlyArray<Seen>> => {
  const server = await scratchServer({ durability });
  const contestants: Array<Contestant> = [];
  for (const placement of placements) {
    const { workers, shards } = placement;
    const namespace = `place_${workers}_${shards}`;
    const weir = await connect({ servers: server.url, durability, namespace, shards });
    const processes = await Promise.all(
      Array.from(
        { length: workers },
        () => startWorker({ url: server.url, durability, namespace, worker: {} }),
      ),
    );
    contestants.push({
      name: nameOf(placement),
      weir,
      processes: {
        ours: [process.pid, ...processes.map(({ pid }) => pid)],
        servers: [server.pid!],
      },
      stop: async () => {
        await Promise.all(processes.map(({ stop }) => stop()));
        await weir.close();
      },
    });
  }
  const seen = await takeTurns(contestants, [1, 128], window);
  for (const { stop } of contestants) await stop();
  await server.stop();
  return seen;
};
