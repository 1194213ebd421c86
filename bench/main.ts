/**
 * `deno task bench`: everything that BENCHMARKS.md reports, in one run, with its dispersion. It
 * prints a table and writes the figures to `bench/results/`; options: --rounds N, --milliseconds N.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { concurrencies, measureAppends, type Measured } from "./append.ts";
import { measureStartUp } from "./start_up.ts";
import { ratio, summarise, type Summary } from "./statistics.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    milliseconds: { type: "string", default: "1500" },
  },
});
const rounds = Number(values.rounds);
const milliseconds = Number(values.milliseconds);
const say = (line: string) => console.error(line);

const figure = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);

const cell = ({ median, low, high }: Summary): string =>
  `${figure(median)} (${figure(low)}-${figure(high)})`;

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): void => {
  for (const row of [head, head.map(() => "---"), ...rows]) console.log(`| ${row.join(" | ")} |`);
  console.log();
};

const appends: Array<Measured> = [];
for (const durability of ["bounded", "power-safe"] as const) {
  appends.push(...await measureAppends(durability, { rounds, milliseconds, say }));
}
const perSecond = (durability: string, workload: string, inFlight: number) =>
  appends.find((each) =>
    each.durability === durability && each.workload === workload && each.inFlight === inFlight
  )!.perSecond;

for (const durability of ["bounded", "power-safe"] as const) {
  table(
    [`${durability}, per second`, ...concurrencies.map((count) => `${count} in flight`)],
    (["raw", "js.publish", "request", "append"] as const).map((workload) => [
      workload,
      ...concurrencies.map((count) => cell(summarise(perSecond(durability, workload, count)))),
    ]),
  );
}

const ratios = {
  "bounded, 1,024 in flight: append ÷ raw (at least 0.4)": ratio(
    perSecond("bounded", "append", 1024),
    perSecond("bounded", "raw", 1024),
  ),
  "power-safe, 1,024 in flight: append ÷ raw singles (at least 10)": ratio(
    perSecond("power-safe", "append", 1024),
    perSecond("power-safe", "raw", 1024),
  ),
  "power-safe: append at 1,024 in flight ÷ raw one at a time": ratio(
    perSecond("power-safe", "append", 1024),
    perSecond("power-safe", "raw", 1),
  ),
  "bounded, one at a time: append ÷ bare request (at least 1)": ratio(
    perSecond("bounded", "append", 1),
    perSecond("bounded", "request", 1),
  ),
  "power-safe, one at a time: append ÷ bare request (at least 1)": ratio(
    perSecond("power-safe", "append", 1),
    perSecond("power-safe", "request", 1),
  ),
};
table(
  ["ratio", "median (lowest-highest)"],
  Object.entries(ratios).map(([name, each]) => [name, cell(each)]),
);

const startUp = await measureStartUp(rounds);
table(
  ["connect(), milliseconds", "median (lowest-highest)"],
  Object.entries(startUp).map(([name, each]) => [name, cell(summarise(each))]),
);

const folder = new URL("./results/", import.meta.url);
await mkdir(folder, { recursive: true });
const when = new Date().toISOString();
const file = new URL(`append-${when.slice(0, 10)}.json`, folder);
const machine = {
  cpu: cpus()[0]?.model,
  cores: cpus().length,
  kernel: release(),
  runtime: process.versions,
};
await writeFile(
  file,
  JSON.stringify({ when, machine, rounds, milliseconds, appends, ratios, startUp }, null, 2) + "\n",
);
say(`written: bench/results/append-${when.slice(0, 10)}.json`);
