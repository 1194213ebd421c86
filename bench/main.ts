/**
 * `deno task bench [append] [engine] [output] [families] [outbox] [workflow] [list] [scale] [start]`:
 * these benchmarks, or all of them, one after another, each with its tables and its file in
 * `bench/results/`. Options:
 * --rounds N, for all but `list`, and --milliseconds N, the window of a round, for the first two,
 * `families` and `scale`; --parked N, how many executions are parked, and --parked-rounds N;
 * --events N, how many a reader of `families` catches up with; --sizes N,M of `list` and `scale`;
 * --quick, to see that everything runs.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { reportAppends } from "./append_report.ts";
import { reportEngine } from "./engine/engine_report.ts";
import { reportFamilies } from "./families/families_report.ts";
import { reportOutbox } from "./outbox/outbox_report.ts";
import { reportOutput } from "./output/output_report.ts";
import { reportScale } from "./scale/scale_report.ts";
import { reportStart } from "./start_report.ts";
import { reportWorkflow } from "./workflow/workflow_report.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    milliseconds: { type: "string" },
    parked: { type: "string" },
    "parked-rounds": { type: "string" },
    events: { type: "string" },
    sizes: { type: "string" },
  },
});

const option = (given: string | undefined, usual: number, quick: number): number =>
  given === undefined ? values.quick ? quick : usual : Number(given);

const reports: Readonly<Record<string, () => Promise<void>>> = {
  append: () =>
    reportAppends({
      rounds: option(values.rounds, 7, 1),
      milliseconds: option(values.milliseconds, 1_500, 200),
    }),
  engine: () =>
    reportEngine({
      rounds: option(values.rounds, 5, 1),
      milliseconds: option(values.milliseconds, 600, 200),
      parked: {
        count: option(values.parked, 10_000, 200),
        rounds: option(values["parked-rounds"], 1, 1),
        watchMs: values.quick ? 1_000 : 15_000,
      },
      depths: values.quick ? [10, 100] : [10, 100, 1_000, 5_000],
      among: values.quick ? [1_000] : [20_000, 200_000],
      blocked: values.quick
        ? { seconds: [1], rounds: 1 }
        : { seconds: [2, 4, 6, 8, 10, 12, 14], rounds: 2 },
    }),
  output: () =>
    reportOutput({
      rounds: option(values.rounds, 5, 1),
      frames: values.quick ? 500 : 5_000,
      pacedMs: values.quick ? 500 : 3_000,
    }),
  families: () => {
    const pacedMs = option(values.milliseconds, 3_000, 400);
    const events = option(values.events, 1_000_000, 5_000);
    return reportFamilies({
      rounds: option(values.rounds, 5, 1),
      pacedMs,
      flatOutMs: 2 * pacedMs,
      events,
      executions: values.quick ? [100, 1_000] : [100, 100_000],
      part: Math.ceil(events / 5),
      missed: Math.min(10_000, events / 2),
    });
  },
  outbox: () =>
    reportOutbox({
      rounds: option(values.rounds, 5, 1),
      managed: values.quick ? 100 : 1_000,
      oneByOne: values.quick ? 20 : 100,
    }),
  workflow: () =>
    reportWorkflow({
      rounds: option(values.rounds, 5, 1),
      oneByOne: values.quick ? 2 : 10,
      many: values.quick ? 10 : 200,
      inFlight: 50,
      sleepers: values.quick ? 2 : 10,
      wakes: values.quick ? 1 : 3,
      parkedSeconds: values.quick ? [1, 2] : [2, 8],
      forgottenMs: values.quick ? 1_000 : 12_000,
      idleMs: values.quick ? 1_000 : 10_000,
      spreadMs: values.quick ? 0 : 10_000,
    }),
  scale: () =>
    reportScale({
      rounds: option(values.rounds, 5, 1),
      milliseconds: option(values.milliseconds, 1_000, 200),
      stored: values.sizes?.split(",").map(Number) ??
        (values.quick ? [100, 1_000] : [1_000, 100_000, 1_000_000]),
    }),
  list: () => runList(values.sizes?.split(",") ?? (values.quick ? ["1000"] : [])),
  start: () => reportStart({ rounds: option(values.rounds, 7, 1) }),
};

/** Each size has a server of its own, and the whole a process of its own. */
const runList = async (sizes: ReadonlyArray<string>): Promise<void> => {
  const script = fileURLToPath(new URL("./list.ts", import.meta.url));
  const listing = spawn(process.execPath, ["run", "-A", script, ...sizes], { stdio: "inherit" });
  const [code] = await once(listing, "exit");
  if (code !== 0) throw new Error(`list ended with ${code}`);
};

const chosen = positionals.length === 0 ? Object.keys(reports) : positionals;
const unknown = chosen.filter((name) => !Object.hasOwn(reports, name));
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(", ")}; there are ${Object.keys(reports)}`);
  process.exit(2);
}
for (const name of chosen) await reports[name]!();
