/**
 * `deno task durability`: the table of what survives what, as it is on this machine, each cell several
 * times. It takes a root user, a minute for each round of one server, and three for each of three.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { type Cell, type Failure, failures, failuresOf, measure, settings } from "./durability.ts";

const usage = "deno task durability [--rounds N] [--seconds S] [--json]";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const forMs = Number(values.seconds) * 1_000;
if (!(rounds > 0 && forMs > 0)) {
  console.error(usage);
  process.exit(2);
}

const sum = (cells: ReadonlyArray<Cell>, of: (cell: Cell) => number): number =>
  cells.reduce((total, cell) => total + of(cell), 0);

const shown = (cells: ReadonlyArray<Cell>): string => {
  if (cells.length === 0) return "";
  const lost = sum(cells, (cell) => cell.lost).toLocaleString("en");
  const accepted = sum(cells, (cell) => cell.accepted).toLocaleString("en");
  const ms = Math.max(...cells.map(({ lostMs }) => lostMs));
  return `${lost} of ${accepted}${ms > 0 ? `, the last ${ms} ms` : ""}`;
};

const names = Object.keys(failures) as ReadonlyArray<Failure>;
if (!values.json) {
  console.log(`| replicas | sync_interval | ${names.join(" | ")} |`);
  console.log(`|${" --- |".repeat(names.length + 2)}`);
}
for (const setting of settings) {
  const row: Array<string> = [];
  for (const failure of names) {
    const cells: Array<Cell> = [];
    for (let round = 1; round <= rounds && failuresOf(setting).includes(failure); round++) {
      cells.push(await measure(setting, failure, { forMs }));
      process.stderr.write(`${failure}, round ${round} of ${rounds}\n`);
    }
    if (values.json) cells.forEach((cell) => console.log(JSON.stringify(cell)));
    row.push(shown(cells));
  }
  if (!values.json) {
    console.log(`| ${setting.replicas} | ${setting.syncInterval} | ${row.join(" | ")} |`);
  }
}
process.exit(0);
