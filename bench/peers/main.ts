/**
 * `deno task bench:peers`: Weir and its peers run the same workloads in turn; it prints tables and
 * writes every round to `bench/results/`. Options: --rounds N; --milliseconds N, the window of a run,
 * and --at-most N, that of a peer which is slower; --package F, a packed Weir other than what is here;
 * --peer, --durability and --workload, each as often as wanted, part of the name of what takes part;
 * --quick, to see that everything runs.
 */
import { resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { reportPeers } from "./peers_report.ts";
import { nameOf, type Workload } from "./workloads.ts";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    milliseconds: { type: "string" },
    "at-most": { type: "string" },
    package: { type: "string" },
    peer: { type: "string", multiple: true },
    durability: { type: "string", multiple: true },
    workload: { type: "string", multiple: true },
  },
});

const option = (given: string | undefined, usual: number, quick: number): number =>
  given === undefined ? values.quick ? quick : usual : Number(given);

const isAmong = (parts: ReadonlyArray<string> | undefined, name: string): boolean =>
  parts === undefined || parts.some((part) => name.toLowerCase().includes(part.toLowerCase()));

/** What is started at once takes its time, however short the window is. */
const isQuick = ({ load }: Workload): boolean => load.kind === "open" || load.inFlight <= 64;

const isWhole = !values.quick &&
  [values.peer, values.durability, values.workload].every((parts) => parts === undefined);

const failures = await reportPeers({
  topic: isWhole ? "peers" : "peers-part",
  tarball: values.package === undefined ? undefined : resolve(values.package),
  rounds: option(values.rounds, 5, 1),
  milliseconds: option(values.milliseconds, 1_500, 200),
  atMostMs: option(values["at-most"], 15_000, 2_000),
  takesPart: ({ peer, durability }) =>
    isAmong(values.peer, peer) && isAmong(values.durability, durability),
  isRun: (workload) =>
    isAmong(values.workload, nameOf(workload)) && (!values.quick || isQuick(workload)),
});
process.exit(failures.length === 0 ? 0 : 1);
