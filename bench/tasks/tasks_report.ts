/** What tasks and schedules cost, as tables: `deno task bench tasks`. */
import type { Measures } from "../parts.ts";
import { cell, figure, table } from "../report.ts";
import type { Window } from "../scale/contest.ts";
import { ratio, summarise } from "../statistics.ts";
import { type Graph, measureGraphs } from "./graphs.ts";
import { measureResting, type Resting } from "./resting.ts";
import { measureSubmitting, type Submitted } from "./submitting.ts";

export interface TasksOptions extends Window {
  readonly loads: ReadonlyArray<number>;
  /** How many tasks a graph has. */
  readonly graph: number;
  readonly resting: { readonly count: number; readonly watchMs: number };
}

/** Its parts. */
export const tasks = {
  submitting: async ({ loads, ...window }) => {
    const submitted = await measureSubmitting(loads, window);
    tellSubmitted(submitted);
    return { submitted };
  },
  graphs: async ({ graph, rounds }) => {
    const graphs = await measureGraphs(graph, rounds);
    tellGraphs(graphs);
    return { graphs };
  },
  resting: async ({ resting: { count, watchMs }, rounds }) => {
    const { resting, storedPerSecond } = await measureResting({ count, watchMs, rounds });
    tellResting(resting);
    return { resting, storedPerSecond };
  },
} satisfies Measures<TasksOptions>;

const median = (rounds: ReadonlyArray<number>): string => cell(summarise(rounds));

/** Each against the plain start of its load. */
const tellSubmitted = (all: ReadonlyArray<Submitted>): void => {
  for (const inFlight of new Set(all.map((seen) => seen.inFlight))) {
    const of = all.filter((seen) => seen.inFlight === inFlight);
    table(
      [
        `of one step, ${inFlight} in flight`,
        "a second",
        "÷ started",
        "p50, ms",
        "p99, ms",
        "CPU, ms: ours",
        "server's",
      ],
      of.map((seen) => [
        seen.way,
        median(seen.perSecond),
        cell(ratio(seen.perSecond, of[0]!.perSecond)),
        median(seen.p50),
        median(seen.p99),
        median(seen.ours),
        median(seen.servers),
      ]),
    );
  }
};

const tellGraphs = (graphs: ReadonlyArray<Graph>): void =>
  table(
    ["tasks of one step", "all stored, ms", "all done, ms", "tasks/s", "÷ each by itself"],
    graphs.map(({ shape, tasks, stored, done }) => [
      `${tasks.toLocaleString("en")}, ${shape}`,
      median(stored),
      median(done),
      median(done.map((ms) => tasks / ms * 1_000)),
      cell(ratio(done, graphs[0]!.done)),
    ]),
  );

const tellResting = (resting: ReadonlyArray<Resting>): void =>
  table(
    ["schedules", "worker's processor", "server's processor", "worker, MiB", "server, MiB"],
    resting.map(({ schedules, worker, server, workerMiB, serverMiB }) => [
      schedules.toLocaleString("en"),
      median(worker),
      median(server),
      figure(workerMiB),
      figure(serverMiB),
    ]),
  );
