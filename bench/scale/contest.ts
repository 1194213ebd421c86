/**
 * Settings of one namespace or another that take turns with the same work, so that what the machine
 * does meanwhile falls on all of them: so many executions of three steps at any time.
 */
import type { Weir } from "@weir/weir";
import { steps } from "../engine/actors.ts";
import { addRound, type Figures, noFigures, observe } from "../engine/rates.ts";
import { say } from "../report.ts";

export interface Contestant {
  readonly name: string;
  readonly weir: Weir;
  /** The processes whose time is taken, in ours and in servers. */
  readonly processes: {
    readonly ours: ReadonlyArray<number>;
    readonly servers: ReadonlyArray<number>;
  };
  readonly stop: () => Promise<void>;
}

export interface Seen extends Figures {
  readonly name: string;
  readonly inFlight: number;
}

export interface Window {
  readonly rounds: number;
  readonly milliseconds: number;
}

const count = 3;

export const takeTurns = async (
  contestants: ReadonlyArray<Contestant>,
  loads: ReadonlyArray<number>,
  { rounds, milliseconds }: Window,
): Promise<ReadonlyArray<Seen>> => {
  const all = loads.flatMap((inFlight) =>
    contestants.map((contestant) => ({
      contestant,
      seen: { name: contestant.name, inFlight, ...noFigures() },
    }))
  );
  for (let round = 0; round <= rounds; round++) {
    for (const { contestant: { weir, processes }, seen } of all) {
      const execute = async () => {
        const result = await (await weir.start(steps, count)).result();
        if (result !== count) throw new Error(`${count} steps gave ${result}`);
      };
      const found = await observe(execute, seen.inFlight, milliseconds, processes);
      if (round === 0) continue; // Warm-up.
      addRound(seen, found);
    }
    say(`round ${round} of ${rounds}`);
  }
  return all.map(({ seen }) => seen);
};
