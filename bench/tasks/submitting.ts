/**
 * What it takes to submit a task, from its submission until its result is known, beside a plain start
 * of the same code in the same rounds. Client and worker are one process on one connection.
 */
import process from "node:process";
import { connect, type Weir } from "@weir/weir";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { all, steps } from "../engine/actors.ts";
import { addRound, type Figures, noFigures, observe } from "../engine/rates.ts";
import { say } from "../report.ts";
import type { Window } from "../scale/contest.ts";

const durability = "bounded";
const first = "first";

/** One step each. */
const ways = {
  "started": (weir) => weir.start(steps, 1),
  "submitted": (weir) => weir.submit(steps, 1),
  "with attempts and a time": (weir) =>
    weir.submit(steps, 1, { timeout: "1 minute", retry: { attempts: 3 } }),
  "behind one that has ended": (weir) =>
    weir.submit(steps, 1, { after: [`${steps.name}/${first}`] }),
} satisfies Record<string, (weir: Weir) => Promise<{ result(): Promise<number> }>>;

export interface Submitted extends Figures {
  readonly way: keyof typeof ways;
  readonly inFlight: number;
}

export const measureSubmitting = async (
  loads: ReadonlyArray<number>,
  { rounds, milliseconds }: Window,
): Promise<ReadonlyArray<Submitted>> => {
  const server = await scratchServer({ durability });
  const weir = await connect({ servers: server.url, durability });
  const worker = await weir.worker(all);
  await (await weir.start(steps, 1, { id: first })).result();
  const seen = loads.flatMap((inFlight) =>
    (Object.keys(ways) as ReadonlyArray<keyof typeof ways>).map((way): Submitted => ({
      way,
      inFlight,
      ...noFigures(),
    }))
  );
  for (let round = 0; round <= rounds; round++) {
    for (const each of seen) {
      const execute = async () => {
        const result = await (await ways[each.way](weir)).result();
        if (result !== 1) throw new Error(`one step gave ${result}`);
      };
      const found = await observe(execute, each.inFlight, milliseconds, {
        ours: [process.pid],
        servers: [server.pid!],
      });
      if (round > 0) addRound(each, found); // The first is a warm-up.
    }
    say(`submitting: round ${round} of ${rounds}`);
  }
  await worker.close();
  await weir.close();
  await server.stop();
  return seen;
};
