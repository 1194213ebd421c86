/**
 * `deno run -A bench/compare.ts BEFORE NOW`: compares two files of `bench/results/`, and ends with 1 if
 * a rate is more than 10 % lower than before, a p99 more than 20 % higher, or one of them gone; it
 * warns from half of that on. Rates of two machines, or of a noisy one, say little: with
 * --relative-to "peer=raw JetStream" each series is first divided, round by round, by that one's.
 * --only W, part of a series' name.
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";
import { compare, fails, relativeTo, type Series, seriesOf } from "./comparison.ts";
import { figure, table } from "./report.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "relative-to": { type: "string" }, only: { type: "string" } },
});
const [before, now] = positionals;
if (before === undefined || now === undefined || positionals.length > 2) {
  console.error("name two files of results: the one of before, and the one of now");
  process.exit(2);
}

const relative = values["relative-to"]?.split("=", 2);
if (relative?.length === 1) {
  console.error(`--relative-to ${relative[0]} needs a value, as in "peer=raw JetStream"`);
  process.exit(2);
}

const read = async (file: string): Promise<ReadonlyArray<Series>> => {
  const series = seriesOf(JSON.parse(await readFile(file, "utf8")));
  const chosen = relative === undefined ? series : relativeTo(series, [relative[0]!, relative[1]!]);
  return chosen.filter(({ name }) => name.includes(values.only ?? ""));
};

const compared = compare(await read(before), await read(now));
const percent = (part: number): string => `${part > 0 ? "+" : ""}${(part * 100).toFixed(1)} %`;
table(
  ["series", "", "before", "now", "worse by", ""],
  compared.map((each) => [
    each.name,
    each.figure,
    figure(each.before),
    each.now === undefined ? "" : figure(each.now),
    each.worse === undefined ? "" : percent(each.worse),
    each.verdict,
  ]),
);
const failing = compared.filter(fails);
if (compared.length === 0) console.error(`${before} has nothing to compare`);
if (failing.length > 0) console.error(`${failing.length} of ${compared.length} fail`);
process.exit(compared.length === 0 || failing.length > 0 ? 1 : 0);
