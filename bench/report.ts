/** How every benchmark speaks: its options, its tables, and the file that keeps each round. */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import process from "node:process";
import type { Summary } from "./statistics.ts";

export const say = (line: string): void => console.error(line);

export const figure = (value: number): string =>
  value >= 100 || value === 0 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);

export const cell = ({ median, low, high }: Summary): string =>
  `${figure(median)} (${figure(low)}-${figure(high)})`;

export const table = (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
): void => {
  for (const row of [head, head.map(() => "---"), ...rows]) console.log(`| ${row.join(" | ")} |`);
  console.log();
};

/** What only shows that everything runs must not replace what was measured. */
const suffix = process.argv.includes("--quick") ? "-quick" : "";

/** Writes what was measured, with the machine that it was measured on. */
export const keep = async (topic: string, measured: object): Promise<void> => {
  const folder = new URL("./results/", import.meta.url);
  await mkdir(folder, { recursive: true });
  const when = new Date().toISOString();
  const name = `${topic}${suffix}-${when.slice(0, 10)}.json`;
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    kernel: release(),
    runtime: process.versions,
  };
  await writeFile(
    new URL(name, folder),
    JSON.stringify({ when, machine, ...measured }, null, 2) + "\n",
  );
  say(`written: bench/results/${name}`);
};
