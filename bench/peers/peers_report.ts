/** Weir beside its peers: `deno task bench:peers`. */
import { cell, keep, table } from "../report.ts";
import { summarise } from "../statistics.ts";
import { type Contestant, contestants as everyone, durabilities } from "./contestants.ts";
import { install } from "./installation.ts";
import type { Window } from "./load.ts";
import { tellRatios, tellRoundTrips } from "./ratios_report.ts";
import { type Failure, type Measured, runRounds } from "./rounds.ts";
import {
  type Load,
  nameOf,
  nameOfLoad,
  nameOfWork,
  type Workload,
  workloads,
} from "./workloads.ts";

export interface PeersOptions extends Window {
  /** What the file of results is called. */
  readonly topic: string;
  readonly rounds: number;
  /** The package to measure; what is here, if left out. */
  readonly tarball: string | undefined;
  readonly takesPart: (contestant: Contestant) => boolean;
  readonly isRun: (workload: Workload) => boolean;
}

/** Prints and keeps what was measured; resolves with what failed. */
export const reportPeers = async (
  { topic, takesPart, isRun, tarball, ...options }: PeersOptions,
): Promise<ReadonlyArray<Failure>> => {
  const contestants = everyone.filter(takesPart);
  const chosen = workloads.filter(isRun);
  const installation = await install(tarball);
  const { measured, failures } = await runRounds(contestants, chosen, installation, options);
  tellContestants(contestants);
  for (const durability of durabilities) {
    const peers = contestants.filter((each) => each.durability === durability);
    const own = measured.filter((each) => each.durability === durability);
    for (const title of new Set(chosen.map(titleOf))) {
      const run = chosen.filter((each) =>
        titleOf(each) === title && own.some(({ workload }) => workload === nameOf(each))
      );
      if (run.length > 0) tellTogether(`${durability}, ${title}`, run, peers, own);
    }
  }
  const recommended = contestants.filter(({ recommended }) => recommended);
  tellRatios(measured, recommended);
  tellRoundTrips(measured);
  await keep(topic, { options, contestants, measured, failures });
  return failures;
};

const tellContestants = (contestants: ReadonlyArray<Contestant>): void =>
  table(
    ["contestant", "settings", "a loss of power may take", "as recommended"],
    contestants.map(({ peer, durability, atRisk, recommended }) => [
      peer,
      durability,
      atRisk,
      recommended ? "yes" : "no",
    ]),
  );

type Column = readonly [head: string, of: (measured: Measured) => ReadonlyArray<number>];

const rate: Column = ["a second", ({ perSecond }) => perSecond];
const median: Column = ["p50, ms", ({ p50 }) => p50];
const tail: Column = ["p99, ms", ({ p99 }) => p99];
const processor: Column = [
  "CPU, ms",
  ({ ours, servers }) => ours.map((each, round) => each + servers[round]!),
];

const columnsOf = (load: Load): ReadonlyArray<Column> =>
  load.kind === "open"
    ? [median, tail]
    : load.inFlight === 1
    ? [median, tail]
    : [rate, tail, processor];

/** What stands in a table together. */
const titleOf = ({ work, load }: Workload): string =>
  work.kind === "wake" ? nameOfWork(work) : nameOfLoad(load);

const tellTogether = (
  title: string,
  run: ReadonlyArray<Workload>,
  contestants: ReadonlyArray<Contestant>,
  measured: ReadonlyArray<Measured>,
): void => {
  const columns = columnsOf(run[0]!.load);
  const cellsOf = (peer: string, workload: Workload) => {
    const found = measured.find((each) => each.peer === peer && each.workload === nameOf(workload));
    return columns.map(([, of]) => found === undefined ? "" : cell(summarise(of(found))));
  };
  const heads = run.flatMap(({ work }) => columns.map(([head]) => `${nameOfWork(work)}: ${head}`));
  const rows = contestants.map(({ peer }) => [peer, ...run.flatMap((each) => cellsOf(peer, each))]);
  table(
    [title, ...heads],
    rows.filter(([, ...cells]) => cells.some((each) => each !== "")),
  );
};
