/**
 * The same while so many follow how executions end. Each subscriber has to be given each end, however
 * long that takes behind a turn; only then does the next turn begin.
 */
import process from "node:process";
import { connect, type Weir } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { all } from "../engine/actors.ts";
import { quantile } from "../engine/rates.ts";
import { openReaders, type Readers } from "../families/readers.ts";
import { type Contestant, execute, type Seen, takeTurns, type Window } from "./contest.ts";

const source = { durability: "bounded", namespace: "followed" } as const;

const nameOf = (count: number): string => `${count} subscriber${count === 1 ? "" : "s"}`;

/** A cursor behind which nothing has ended yet. */
const cursorNow = async (weir: Weir): Promise<string> => {
  for await (const { cursor } of weir.completions({ after: "now", ticks: "10 millis" })) {
    return cursor;
  }
  throw new Error("the family has ended");
};

const followedBy =
  (readers: number, weir: Weir, all: Readers): NonNullable<Contestant["meanwhile"]> =>
  async (turn, ended) => {
    const followers = { matter: "completions", readers, after: await cursorNow(weir) } as const;
    let before = 0;
    const { delivered, lagsMs, told: found } = await all.beside(followers, {
      first: () => execute(weir),
      rest: async () => {
        before = all.processorTime();
        const found = await turn();
        return [ended(), found];
      },
    });
    const took = all.processorTime() - before;
    if (delivered !== readers * (1 + ended())) {
      throw new Error(`${nameOf(readers)} had ${delivered} of ${1 + ended()} ends each`);
    }
    const aside = {
      "subscribers' CPU, µs a delivery": took / lagsMs.length * 1e6,
      "lag p50, ms": quantile(lagsMs, 0.5),
      "lag p99, ms": quantile(lagsMs, 0.99),
    };
    return { found, aside: readers === 0 ? {} : aside };
  };

export const measureSubscribers = async (
  counts: ReadonlyArray<number>,
  window: Window,
): Promise<ReadonlyArray<Seen>> => {
  const server = await scratchServer(source);
  const servers = server.url;
  const weir = await connect({ servers, ...source });
  const worker = await weir.worker(all);
  const readers = await openReaders({ servers, ...source });
  const contestants = counts.map((count): Contestant => ({
    name: nameOf(count),
    weir,
    processes: { ours: [process.pid], servers: [server.pid!] },
    meanwhile: followedBy(count, weir, readers),
    stop: () => Promise.resolve(),
  }));
  const seen = await takeTurns(contestants, [1, 64], window);
  await readers.close();
  await worker.close();
  await weir.close();
  await server.stop();
  return seen;
};
