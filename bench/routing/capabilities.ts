/**
 * Tasks that require what not every worker has, submitted at once to many workers that take one at a
 * time: how many are taken a second, how long each waits, and whether it was a worker that may.
 */
import { actor, connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";

const universe = Array.from({ length: 10 }, (_, i) => `c${i}`);

/** What each worker has, and what each task requires. */
const modes = {
  happy: {
    has: () => universe,
    requires: (task: number) => [universe[task % 10]!],
  },
  partial: {
    has: (worker: number) => universe.filter((_, i) => (i + worker) % 10 < 5),
    requires: (task: number) => [universe[task % 10]!, universe[(task + 1) % 10]!],
  },
  scarce: {
    has: (worker: number) => worker % 10 === 0 ? universe : universe.slice(1),
    requires: (task: number) => [universe[task % 10]!],
  },
};
export type Mode = keyof typeof modes;

export interface Routed {
  readonly mode: Mode;
  /** Of each round. */
  readonly perSecond: Array<number>;
  readonly p50: Array<number>;
  readonly p99: Array<number>;
  /** Of the tasks that require the first of all capabilities, which is the scarce one. */
  readonly scarceP99: Array<number>;
  /** The share of tasks that ran where they may, each once; less than 1 is a failure. */
  readonly right: Array<number>;
}

export const measureCapabilities = async (
  { workers, tasks, rounds }: {
    readonly workers: number;
    readonly tasks: number;
    readonly rounds: number;
  },
): Promise<ReadonlyArray<Routed>> => {
  const all: Array<Routed> = [];
  for (const mode of Object.keys(modes) as ReadonlyArray<Mode>) {
    const { has, requires } = modes[mode];
    const server = await scratchServer({ durability: "bounded" });
    const weir = await connect({ servers: server.url, durability: "bounded" });
    const taken: Array<{ readonly worker: number; readonly task: number; readonly at: number }> =
      [];
    const by = (worker: number) =>
      actor(
        "task",
        (context, task: number) =>
          context.run("take", () => void taken.push({ worker, task, at: performance.now() })),
      );
    const serving = await Promise.all(
      Array.from(
        { length: workers },
        (_, i) => weir.worker([by(i)], { capabilities: has(i), concurrency: 1 }),
      ),
    );
    const seen: Routed = { mode, perSecond: [], p50: [], p99: [], scarceP99: [], right: [] };
    for (let round = 0; round <= rounds; round++) {
      taken.length = 0;
      const begun = performance.now();
      const runs = await weir.submitAll(
        Array.from({ length: tasks }, (_, task) => ({
          actor: by(0),
          input: task,
          requires: requires(task),
        })),
      );
      await Promise.all(runs.map((run) => run.result()));
      const elapsed = performance.now() - begun;
      const isRight = ({ worker, task }: { readonly worker: number; readonly task: number }) =>
        requires(task).every((each) =>
          (has as (of: number) => Array<string>)(worker).includes(each)
        );
      const right = new Set(taken.filter(isRight).map(({ task }) => task)).size / taken.length;
      if (right < 1 || taken.length !== tasks) {
        throw new Error(`${mode}: ${taken.length} takes, ${right} of them right`);
      }
      say(`capabilities, ${mode}: round ${round} of ${rounds}`);
      if (round === 0) continue; // Warm-up: routes are announced when they are first used.
      const waits = (of: typeof taken) => of.map(({ at }) => at - begun);
      seen.perSecond.push(tasks / elapsed * 1_000);
      seen.p50.push(quantile(waits(taken), 0.5));
      seen.p99.push(quantile(waits(taken), 0.99));
      seen.scarceP99.push(quantile(waits(taken.filter(({ task }) => task % 10 === 0)), 0.99));
      seen.right.push(right);
    }
    all.push(seen);
    await Promise.all(serving.map((worker) => worker.close()));
    await weir.close();
    await server.stop();
  }
  return all;
};
