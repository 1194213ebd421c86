/**
 * The capacity model with the costs of this machine, held against what was measured that it does not
 * know, and what it says of so many executions a second: `deno task bench capacity`. It measures
 * nothing: it reads the newest files of `bench/results/`.
 */
import { readdir, readFile } from "node:fs/promises";
import type { Durability } from "../../streams/server.ts";
import type { Measured } from "../engine/rates.ts";
import { figure, table } from "../report.ts";
import type { Seen } from "../scale/contest.ts";
import type { Stored } from "../scale/stored.ts";
import { summarise } from "../statistics.ts";
import { type Commit, type Cost, type Costs, fit, needsOf, rateOf, type Setting } from "./model.ts";

interface AppendRate {
  readonly durability: Durability;
  readonly workload: string;
  readonly inFlight: number;
  readonly perSecond: ReadonlyArray<number>;
}

/** What of the results the model is made of, or is held against. */
interface Found {
  readonly rates: ReadonlyArray<Measured>;
  readonly appends: ReadonlyArray<AppendRate>;
  readonly placements: ReadonlyArray<Seen>;
  readonly replicas: ReadonlyArray<Seen>;
  readonly stored: ReadonlyArray<Stored>;
}

const folder = new URL("../results/", import.meta.url);

/** Each from the newest file that has it. */
const readNewest = async (names: ReadonlyArray<keyof Found>): Promise<Found> => {
  const files = (await readdir(folder)).filter((file) =>
    file.endsWith(".json") && !file.includes("-quick-")
  );
  const all = await Promise.all(
    files.map(async (file) =>
      JSON.parse(await readFile(new URL(file, folder), "utf8")) as Found & { readonly when: string }
    ),
  );
  const newest = all.sort((a, b) => a.when < b.when ? 1 : -1);
  return Object.fromEntries(names.map((name) => {
    const found = newest.find((results) => results[name] !== undefined);
    if (found === undefined) {
      throw new Error(`nothing in ${folder.pathname} has ${name}: run bench`);
    }
    return [name, found[name]];
  })) as unknown as Found;
};

const median = (values: ReadonlyArray<number>): number => summarise(values).median;

/** The costs of nine steps are left to be foretold. */
const known: ReadonlyArray<unknown> = [0, 1, 3];

const costsOf = (
  { rates, appends }: Found,
  durability: Durability,
  inFlight: number,
): Costs => {
  const of = rates.filter((each) =>
    each.durability === durability && each.inFlight === inFlight &&
    each.processes === "one process" && known.includes(each.what)
  );
  const line = (whose: "ours" | "servers"): Cost =>
    fit(of.map((each) => [Number(each.what), median(each[whose])]));
  return {
    ours: line("ours"),
    servers: line("servers"),
    commit: durability === "power-safe" ? commitOf(appends) : undefined,
  };
};

const rateOfAppends = (
  appends: ReadonlyArray<AppendRate>,
  durability: Durability,
  inFlight: number,
): number =>
  median(
    appends.find((each) =>
      each.durability === durability && each.inFlight === inFlight && each.workload === "append"
    )!.perSecond,
  );

/** From two rates at which all that is in flight shares each commit. */
const commitOf = (appends: ReadonlyArray<AppendRate>): Commit => {
  const [few, many] = [64, 1_024].map((inFlight) => ({
    inFlight,
    ms: inFlight / rateOfAppends(appends, "power-safe", inFlight) * 1_000,
  }));
  const perRecord = (many!.ms - few!.ms) / (many!.inFlight - few!.inFlight);
  return { base: Math.max(0, few!.ms - perRecord * few!.inFlight), perRecord };
};

interface Check {
  readonly what: string;
  readonly durability: Durability;
  readonly setting: Setting;
  readonly measured: number;
}

const processors = 2;

/** How many times more an execution costs ours where client and worker are two processes. */
const apartOf = ({ rates }: Found, durability: Durability, inFlight: number): number => {
  const [together, apart] = ["one process", "two processes"].map((processes) =>
    median(
      rates.find((each) =>
        each.what === 3 && each.durability === durability && each.inFlight === inFlight &&
        each.processes === processes
      )!.ours,
    )
  );
  return apart! / together!;
};

const times = ({ base, perStep }: Cost, factor: number): Cost => ({
  base: base * factor,
  perStep: perStep * factor,
});

/** Runs of which the model knows nothing, or only the costs. */
const checksOf = ({ rates, placements }: Found): ReadonlyArray<Check> => [
  ...rates.filter(({ what, inFlight }) => what !== "spike" && inFlight > 1).map((each): Check => ({
    what: `${each.what} steps, ${each.processes}`,
    durability: each.durability,
    setting: {
      steps: Number(each.what),
      inFlight: each.inFlight,
      processes: each.processes === "one process" ? 1 : 2,
      processors,
    },
    measured: median(each.perSecond),
  })),
  ...placements.filter(({ inFlight }) => inFlight > 1).map((each): Check => ({
    what: `3 steps, ${each.name}, a process each`,
    durability: "bounded",
    // The client is one more.
    setting: { steps: 3, inFlight: each.inFlight, processes: 1 + parseInt(each.name), processors },
    measured: median(each.perSecond),
  })),
];

const perSecond = [100, 1_000, 10_000, 100_000];

export const reportCapacity = async (): Promise<void> => {
  const found = await readNewest(["rates", "appends", "placements", "replicas", "stored"]);
  const loads = [64, 512];
  const durabilities = ["bounded", "power-safe"] as const;
  table(
    ["CPU, ms an execution", "in flight", "ours: base", "a step", "server's: base", "a step"],
    durabilities.flatMap((durability) =>
      loads.map((inFlight) => {
        const { ours, servers } = costsOf(found, durability, inFlight);
        const costs = [ours.base, ours.perStep, servers.base, servers.perStep];
        return [durability, String(inFlight), ...costs.map(figure)];
      })
    ),
  );
  const commit = commitOf(found.appends);
  table(["a shared commit, ms", "a record of it, ms"], [[
    figure(commit.base),
    figure(commit.perRecord),
  ]]);

  table(
    ["executions/s", "durability", "in flight", "foretold", "measured", "measured ÷ foretold"],
    checksOf(found).map(({ what, durability, setting, measured }) => {
      const load = setting.inFlight < 512 ? 64 : 512;
      const costs = costsOf(found, durability, load);
      const factor = setting.processes === 1 ? 1 : apartOf(found, durability, load);
      const foretold = rateOf({ ...costs, ours: times(costs.ours, factor) }, setting);
      return [
        what,
        durability,
        String(setting.inFlight),
        figure(foretold),
        figure(measured),
        figure(measured / foretold),
      ];
    }),
  );

  const [once, thrice] = ["R1", "R3"].map((name) =>
    median(found.replicas.find((each) => each.name === name && each.inFlight > 1)!.servers)
  );
  const most = found.stored.at(-1)!;
  /** As many as were stored to measure it: start, claim and end. */
  const bytesPerRecord = most.diskBytes / most.count / 3;
  const { ours, servers } = costsOf(found, "bounded", 64);
  const streamLimit = rateOfAppends(found.appends, "bounded", 1_024);
  table(
    [
      "executions/s of 3 steps, bounded",
      "copies",
      "records/s",
      "processes of workers and clients",
      "servers' processors",
      "shards",
      "GiB a day",
    ],
    perSecond.flatMap((rate) =>
      [["R1", 1], ["R3", thrice! / once!]].map(([name, copies]) => {
        const needs = needsOf(
          {
            ours: times(ours, apartOf(found, "bounded", 64)),
            servers,
            copies: Number(copies),
            streamLimit,
            bytesPerRecord,
          },
          { perSecond: rate, steps: 3 },
        );
        return [
          rate.toLocaleString("en"),
          String(name),
          figure(needs.recordsPerSecond),
          figure(needs.processes),
          figure(needs.serverProcessors),
          figure(needs.shards),
          figure(needs.gibPerDay * (name === "R3" ? 3 : 1)),
        ];
      })
    ),
  );
};
