/**
 * How fast a reader catches up: from `earliest`, once over all that a stream holds and in each round
 * over a part of it, and behind a cursor with some events missed, beside the plain client's ordered
 * consumer over the same stream. Nobody writes meanwhile.
 */
import { scratchServer } from "../../tests/fixtures/server.ts";
import { processorTime } from "../engine/worker_process.ts";
import { say } from "../report.ts";
import { openDeliveries } from "./deliveries.ts";
import { type CaughtUp, startReader, type Way, ways } from "./reader_process.ts";

export interface CatchUpOptions {
  readonly rounds: number;
  readonly events: number;
  /** Among how many executions, one stream for each. */
  readonly executions: ReadonlyArray<number>;
  /** How many of them are read in each round. */
  readonly part: number;
  readonly missed: number;
}

/** Of each round, but for `whole`; processor time is in microseconds for one event. */
export interface CatchUp {
  readonly executions: number;
  readonly way: Way;
  /** Of one reading of all events. */
  readonly whole: Array<number>;
  readonly perSecond: Array<number>;
  readonly readers: Array<number>;
  readonly servers: Array<number>;
  /** Milliseconds until the first and the last of those that were missed. */
  readonly first: Array<number>;
  readonly last: Array<number>;
}

export const measureCatchUp = async (
  { rounds, events, executions, part, missed }: CatchUpOptions,
): Promise<ReadonlyArray<CatchUp>> => {
  const server = await scratchServer({ durability: "bounded" });
  const measured: Array<CatchUp> = [];
  for (const among of executions) {
    const namespace = `among${among}`;
    const source = { servers: server.url, durability: "bounded", namespace } as const;
    const deliveries = await openDeliveries(source);
    const filled = await deliveries.fill(events, among);
    say(`${events} events of ${among} executions, ${Math.round(filled)}/s`);
    const resumeAfter = await deliveries.before(missed);
    await deliveries.close();
    const reader = await startReader(source);
    const found = ways.map((way): CatchUp => ({
      executions: among,
      way,
      whole: [],
      perSecond: [],
      readers: [],
      servers: [],
      first: [],
      last: [],
    }));
    const read = (way: Way, after: string, count: number) =>
      reader.ask<CaughtUp>({ what: "read", way, after, events: count });
    for (let round = 0; round <= rounds; round++) {
      for (const { way, whole, perSecond, readers, servers, first, last } of found) {
        if (round === 0) {
          whole.push(events / (await read(way, "earliest", events)).lastMs * 1_000);
          continue;
        }
        const resumed = await read(way, resumeAfter, missed);
        first.push(resumed.firstMs);
        last.push(resumed.lastMs);
        const [ours, its] = [processorTime(reader.pid), processorTime(server.pid!)];
        const { lastMs } = await read(way, "earliest", part);
        perSecond.push(part / lastMs * 1_000);
        readers.push((processorTime(reader.pid) - ours) / part * 1e6);
        servers.push((processorTime(server.pid!) - its) / part * 1e6);
      }
      say(`catching up, ${among} executions: round ${round} of ${rounds}`);
    }
    await reader.close();
    measured.push(...found);
  }
  await server.stop();
  return measured;
};
