/**
 * `deno task bench [append] [engine] [output] [families] [outbox] [workflow] [list] [queues]
 * [routing] [scale] [start] [tasks]`: these benchmarks, or all of them, one after another, each with
 * its tables and its file in `bench/results/`; `capacity` tells what follows from these files.
 * Options: --rounds N, for all but `list`, and --milliseconds N, the window of a round, for the first
 * two, `families`, `queues` and `scale`; --parked N, how many executions are parked, and
 * --parked-rounds N; --events N, how many a reader of `families` catches up with; --sizes N,M of
 * `list`, `queues`, `routing` and `scale`; --timers N,M, how many are pending in `scale`; --schedules
 * N, how many are at rest in `tasks`; --only part,part of `engine`, `queues`, `routing`, `scale` or
 * `tasks`; --quick, to see that everything runs.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { reportAppends } from "./append_report.ts";
import { reportCapacity } from "./capacity/capacity_report.ts";
import { engine } from "./engine/engine_report.ts";
import { reportFamilies } from "./families/families_report.ts";
import { reportOutbox } from "./outbox/outbox_report.ts";
import { reportOutput } from "./output/output_report.ts";
import { type Measures, reportParts } from "./parts.ts";
import { queues } from "./queues/queues_report.ts";
import { routing } from "./routing/routing_report.ts";
import { scale } from "./scale/scale_report.ts";
import { reportStart } from "./start_report.ts";
import { tasks } from "./tasks/tasks_report.ts";
import { reportWorkflow } from "./workflow/workflow_report.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    milliseconds: { type: "string" },
    parked: { type: "string" },
    schedules: { type: "string" },
    "parked-rounds": { type: "string" },
    events: { type: "string" },
    sizes: { type: "string" },
    timers: { type: "string" },
    only: { type: "string" },
  },
});

const option = (given: string | undefined, usual: number, quick: number): number =>
  given === undefined ? values.quick ? quick : usual : Number(given);

const numbers = (
  given: string | undefined,
  usual: ReadonlyArray<number>,
  quick: ReadonlyArray<number>,
): ReadonlyArray<number> => given?.split(",").map(Number) ?? (values.quick ? quick : usual);

const reports: Readonly<Record<string, () => Promise<void>>> = {
  append: () =>
    reportAppends({
      rounds: option(values.rounds, 7, 1),
      milliseconds: option(values.milliseconds, 1_500, 200),
    }),
  engine: () =>
    reportParts("engine", engine, partsOf(engine), {
      rounds: option(values.rounds, 5, 1),
      milliseconds: option(values.milliseconds, 600, 200),
      parked: {
        count: option(values.parked, 10_000, 200),
        rounds: option(values["parked-rounds"], 1, 1),
        watchMs: values.quick ? 1_000 : 15_000,
      },
      depths: values.quick ? [10, 100] : [10, 100, 1_000, 5_000],
      among: values.quick ? [1_000] : [20_000, 200_000],
      leaseTtls: values.quick ? [5_000] : [5_000, 30_000],
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
    reportParts("scale", scale, partsOf(scale), {
      rounds: option(values.rounds, 5, 1),
      milliseconds: option(values.milliseconds, 1_000, 200),
      stored: numbers(values.sizes, [1_000, 100_000, 1_000_000], [100, 1_000]),
      timers: {
        counts: numbers(values.timers, [100, 1_000, 10_000, 100_000], [10, 1_000]),
        settleMs: values.quick ? 0 : 80_000,
        watchMs: values.quick ? 1_000 : 20_000,
      },
      subscribers: values.quick ? [0, 1, 10] : [0, 1, 10, 100],
      depths: values.quick ? [10, 100] : [10, 100, 1_000, 5_000, 10_000],
    }),
  tasks: () =>
    reportParts("tasks", tasks, partsOf(tasks), {
      rounds: option(values.rounds, 5, 1),
      milliseconds: option(values.milliseconds, 1_000, 200),
      loads: [1, 64],
      graph: values.quick ? 50 : 1_000,
      resting: {
        count: option(values.schedules, 10_000, 100),
        watchMs: values.quick ? 1_000 : 10_000,
      },
    }),
  queues: () =>
    reportParts("queues", queues, partsOf(queues), {
      rounds: option(values.rounds, 5, 1),
      milliseconds: option(values.milliseconds, 1_500, 300),
      waiting: values.quick ? [1_000] : [10_000, 100_000],
      sizes: numbers(values.sizes, [1_000, 10_000, 100_000, 1_000_000], [1_000, 10_000]),
    }),
  routing: () =>
    reportParts("routing", routing, partsOf(routing), {
      rounds: option(values.rounds, 5, 1),
      capabilities: values.quick ? { workers: 10, tasks: 100 } : { workers: 100, tasks: 1_000 },
      chains: values.quick
        ? { flows: 10, nodes: 10, workers: 4 }
        : { flows: 100, nodes: 10, workers: 16 },
      counts: numbers(values.sizes, [10, 100, 1_000], [10, 50]),
    }),
  list: () => runList(values.sizes?.split(",") ?? (values.quick ? ["1000"] : [])),
  capacity: reportCapacity,
  start: () => reportStart({ rounds: option(values.rounds, 7, 1) }),
};

/** Each size has a server of its own, and the whole a process of its own. */
const runList = async (sizes: ReadonlyArray<string>): Promise<void> => {
  const script = fileURLToPath(new URL("./list.ts", import.meta.url));
  const listing = spawn(process.execPath, ["run", "-A", script, ...sizes], { stdio: "inherit" });
  const [code] = await once(listing, "exit");
  if (code !== 0) throw new Error(`list ended with ${code}`);
};

/** Those that are asked for, or all; ends with 2 if there are none of that name. */
const choose = <Name extends string>(
  what: string,
  asked: ReadonlyArray<string>,
  all: ReadonlyArray<Name>,
): ReadonlyArray<Name> => {
  const named = asked.flatMap((name) => all.find((each) => each === name) ?? []);
  if (named.length < asked.length) {
    console.error(`no such ${what} among ${asked.join(", ")}; there are ${all.join(", ")}`);
    process.exit(2);
  }
  return asked.length === 0 ? all : named;
};

/** The parts of a benchmark that are asked for, or all. */
const partsOf = <Options>(measures: Measures<Options>): ReadonlyArray<string> =>
  choose("part", values.only?.split(",") ?? [], Object.keys(measures));

const chosen = choose("benchmark", positionals, Object.keys(reports));
for (const name of chosen) await reports[name]!();
