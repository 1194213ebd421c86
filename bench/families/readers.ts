/**
 * Readers of one thing, shared out among some processes, which begin before somebody works and leave
 * when each of them was given as much as it must be. Whether that is right its caller has to judge.
 */
import { processorTime } from "../engine/worker_process.ts";
import type { Source } from "./deliveries.ts";
import { type Followed, type Matter, startReader } from "./reader_process.ts";

export interface Followers {
  readonly matter: Matter;
  readonly readers: number;
  readonly after: string;
}

/** What others do while readers read. */
export interface Work<A> {
  /** Brings an event about, by which a reader is seen to read. */
  readonly first: () => Promise<unknown>;
  /** Resolves with how many more each reader has to be given, and what else there is to tell. */
  readonly rest: () => Promise<readonly [events: number, told: A]>;
}

export interface Readers {
  /** The time that all of their processes had a processor so far, in seconds. */
  readonly processorTime: () => number;
  readonly beside: <A>(
    followers: Followers,
    work: Work<A>,
  ) => Promise<Followed & { readonly told: A }>;
  readonly close: () => Promise<void>;
}

const processes = 4;

export const openReaders = async (source: Source): Promise<Readers> => {
  const all = await Promise.all(Array.from({ length: processes }, () => startReader(source)));
  return {
    processorTime: () => all.reduce((sum, { pid }) => sum + processorTime(pid), 0),
    beside: async ({ matter, readers, after }, { first, rest }) => {
      const shares = all.slice(0, readers).map((child, i) => ({
        child,
        share: Math.floor((readers + processes - 1 - i) / processes),
      }));
      const begun = Promise.all(
        shares.map(({ child, share }) =>
          child.ask({ what: "follow", matter, after, readers: share })
        ),
      );
      await first();
      await begun;
      const [more, told] = await rest();
      const seen = await Promise.all(
        shares.map(({ child }) => child.ask<Followed>({ what: "leave", events: 1 + more })),
      );
      return {
        delivered: seen.reduce((sum, { delivered }) => sum + delivered, 0),
        lagsMs: seen.flatMap(({ lagsMs }) => lagsMs),
        told,
      };
    },
    close: async () => {
      for (const child of all) await child.close();
    },
  };
};
