/**
 * What many readers of one family cost: how late they have an event that was written at an even pace,
 * and how much slower somebody writes who writes as fast as he can, beside the same without readers
 * a moment before. Writer, server and the processes of the readers share the machine.
 */
import { scratchServer } from "../../tests/fixtures/server.ts";
import { processorTime } from "../engine/worker_process.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";
import { openDeliveries } from "./deliveries.ts";
import { type Way, ways } from "./reader_process.ts";
import { openReaders, type Work } from "./readers.ts";

export interface FanOutOptions {
  readonly rounds: number;
  readonly pacedMs: number;
  readonly flatOutMs: number;
}

/** Of each round; lags and appends in milliseconds. */
export interface FanOut {
  readonly way: Way;
  readonly readers: number;
  readonly p50: Array<number>;
  readonly p99: Array<number>;
  readonly append: Array<number>;
  /** Processor time for one delivery at the even pace, in microseconds. */
  readonly readersTime: Array<number>;
  readonly serversTime: Array<number>;
  /** Events written in a second, alone and beside the readers, and what these were given meanwhile. */
  readonly alone: Array<number>;
  readonly beside: Array<number>;
  readonly delivered: Array<number>;
}

const counts = [1, 10, 100] as const;
const everyMs = 100;

export const measureFanOut = async (
  { rounds, pacedMs, flatOutMs }: FanOutOptions,
): Promise<ReadonlyArray<FanOut>> => {
  const server = await scratchServer({ durability: "bounded" });
  const source = { servers: server.url, durability: "bounded", namespace: "fanout" } as const;
  const deliveries = await openDeliveries(source);
  await deliveries.fill(64, 64);
  const all = await openReaders(source);
  /** Works while so many readers read, and gives what they saw. */
  const beside = async <A>(matter: Way, readers: number, rest: Work<A>["rest"]) =>
    await all.beside(
      { matter, readers, after: await deliveries.before(0) },
      { first: () => deliveries.fill(1, 1), rest },
    );

  const measured = ways.flatMap((way) =>
    counts.map((readers): FanOut => ({
      way,
      readers,
      p50: [],
      p99: [],
      append: [],
      readersTime: [],
      serversTime: [],
      alone: [],
      beside: [],
      delivered: [],
    }))
  );
  for (let round = 0; round <= rounds; round++) {
    for (const each of measured) {
      const { way, readers } = each;
      const written = Math.ceil(pacedMs / everyMs);
      let times = [0, 0];
      const paced = await beside(way, readers, async () => {
        times = [all.processorTime(), processorTime(server.pid!)];
        return [written, await deliveries.paced(written, everyMs)];
      });
      times = [all.processorTime() - times[0]!, processorTime(server.pid!) - times[1]!];
      if (paced.delivered !== readers * (1 + written)) {
        throw new Error(`${readers} readers had ${paced.delivered} of ${written} events each`);
      }
      const alone = await deliveries.flatOut(flatOutMs);
      const flatOut = await beside(
        way,
        readers,
        async () => [0, await deliveries.flatOut(flatOutMs)],
      );
      if (round === 0) continue; // Warm-up.
      each.p50.push(quantile(paced.lagsMs, 0.5));
      each.p99.push(quantile(paced.lagsMs, 0.99));
      each.append.push(quantile(paced.told, 0.5));
      each.readersTime.push(times[0]! / paced.lagsMs.length * 1e6);
      each.serversTime.push(times[1]! / paced.lagsMs.length * 1e6);
      each.alone.push(alone);
      each.beside.push(flatOut.told);
      each.delivered.push(flatOut.delivered / flatOutMs * 1_000);
    }
    say(`fan-out: round ${round} of ${rounds}`);
  }
  await all.close();
  await deliveries.close();
  await server.stop();
  return measured;
};
