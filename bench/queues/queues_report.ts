/** What a turn in a queue costs, beside an execution without one and however many wait. */
import type { Measures } from "../parts.ts";
import { cell, table } from "../report.ts";
import { tellTurns } from "../scale/scale_report.ts";
import { summarise } from "../statistics.ts";
import { measureAdmission } from "./admission.ts";
import { measureTurns, type TurnsOptions } from "./turns.ts";

export interface QueuesOptions extends TurnsOptions {
  /** How many wait while it is measured how long it takes to find who is next. */
  readonly sizes: ReadonlyArray<number>;
}

/** Its parts. */
export const queues = {
  admission: ({ sizes, rounds }) => {
    const admission = measureAdmission(sizes, rounds);
    table(
      ["waiting", "µs for one"],
      admission.map(({ waiting, micros }) => [
        waiting.toLocaleString("en"),
        cell(summarise(micros)),
      ]),
    );
    return Promise.resolve({ admission });
  },
  turns: async (options) => {
    const turns = await measureTurns(options);
    tellTurns("through a queue of 64 at once", turns);
    return { turns };
  },
} satisfies Measures<QueuesOptions>;
