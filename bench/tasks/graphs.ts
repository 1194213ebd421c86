/**
 * How long it takes until tasks that come after each other are stored, and until the last is done: one
 * behind the other, or all between a first and a last, beside as many that know of nobody. Client and
 * worker are one process.
 */
import { connect } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { all, steps } from "../engine/actors.ts";
import { say } from "../report.ts";

const durability = "bounded";

/** What comes before each, by the number of tasks. */
const shapes = {
  "each by itself": () => [],
  "a chain": (n: number) => n === 0 ? [] : [n - 1],
  "out and in": (n: number, count: number) =>
    n === 0 ? [] : n < count - 1 ? [0] : Array.from({ length: count - 2 }, (_, i) => i + 1),
} satisfies Record<string, (n: number, count: number) => ReadonlyArray<number>>;

/** Milliseconds of each round. */
export interface Graph {
  readonly shape: keyof typeof shapes;
  readonly tasks: number;
  /** Until all were stored. */
  readonly stored: Array<number>;
  /** From the submission until every result was known. */
  readonly done: Array<number>;
}

export const measureGraphs = async (
  tasks: number,
  rounds: number,
): Promise<ReadonlyArray<Graph>> => {
  const server = await scratchServer({ durability });
  const weir = await connect({ servers: server.url, durability });
  const worker = await weir.worker(all);
  const graphs = (Object.keys(shapes) as ReadonlyArray<keyof typeof shapes>).map((
    shape,
  ): Graph => ({
    shape,
    tasks,
    stored: [],
    done: [],
  }));
  for (let round = 0; round <= rounds; round++) {
    for (const [place, { shape, stored, done }] of graphs.entries()) {
      const id = (n: number) => `g-${round}-${place}-${n}`;
      const begun = performance.now();
      const runs = await weir.submitAll(Array.from({ length: tasks }, (_, n) => ({
        actor: steps,
        input: 1,
        id: id(n),
        after: shapes[shape](n, tasks).map((before) => `${steps.name}/${id(before)}`),
      })));
      const storedMs = performance.now() - begun;
      await Promise.all(runs.map((run) => run.result()));
      if (round === 0) continue; // Warm-up.
      stored.push(storedMs);
      done.push(performance.now() - begun);
    }
    say(`graphs: round ${round} of ${rounds}`);
  }
  await worker.close();
  await weir.close();
  await server.stop();
  return graphs;
};
