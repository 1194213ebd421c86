/** How the cost of an execution changes with workers, shards, replicas and what is stored already. */
import { cell, figure, keep, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import type { Seen, Window } from "./contest.ts";
import { measurePlacements } from "./placements.ts";
import { measureReplicas } from "./replicas.ts";
import { measureStored } from "./stored.ts";

export interface ScaleOptions extends Window {
  /** How many executions there are already. */
  readonly stored: ReadonlyArray<number>;
}

/** Each against the first of its load. */
const tables = (what: string, all: ReadonlyArray<Seen>): void => {
  for (const inFlight of new Set(all.map((seen) => seen.inFlight))) {
    const of = all.filter((seen) => seen.inFlight === inFlight);
    const load = inFlight === 1 ? "one at a time" : `${inFlight} in flight`;
    table(
      [`${what}, ${load}`, "executions/s", "÷ the first", "p50, ms", "CPU, ms: ours", "servers'"],
      of.map((seen) => [
        seen.name,
        cell(summarise(seen.perSecond)),
        cell(ratio(seen.perSecond, of[0]!.perSecond)),
        cell(summarise(seen.p50)),
        cell(summarise(seen.ours)),
        cell(summarise(seen.servers)),
      ]),
    );
  }
};

export const reportScale = async ({ stored: counts, ...window }: ScaleOptions): Promise<void> => {
  const placements = await measurePlacements(window);
  const replicas = await measureReplicas(window);
  const { seen, stored } = await measureStored(counts, window);
  tables("workers and shards", placements);
  tables("copies of each record, on three servers", replicas);
  tables("beside executions that are stored", seen);
  table(
    ["stored", "server, MiB", "on disk, bytes an execution"],
    stored.map(({ count, serverMiB, diskBytes }) => [
      count.toLocaleString("en"),
      figure(serverMiB),
      figure(diskBytes / count),
    ]),
  );
  await keep("scale", { window, placements, replicas, stored, besideStored: seen });
};
