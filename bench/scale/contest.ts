/**
 * Settings of one namespace or another that take turns with the same work, so that what the machine
 * does meanwhile falls on all of them: so many executions of three steps at any time.
 */
import type { Weir } from "@weir/weir";
import { steps } from "../engine/actors.ts";
import { addRound, type Figures, noFigures, observe } from "../engine/rates.ts";
import { say } from "../report.ts";

/** What a turn showed beside its figures, by what it is called in tables. */
export type Aside = Readonly<Record<string, number>>;

export interface Contestant {
  readonly name: string;
  readonly weir: Weir;
  /** What it executes, if not three steps. */
  readonly execute?: () => Promise<void>;
  /** The processes whose time is taken, in ours and in servers. */
  readonly processes: {
    readonly ours: ReadonlyArray<number>;
    readonly servers: ReadonlyArray<number>;
  };
  /** Takes a turn, of which it knows how many executions have ended, while something else goes on. */
  readonly meanwhile?: <A>(
    turn: () => Promise<A>,
    ended: () => number,
  ) => Promise<{ readonly found: A; readonly aside: Aside }>;
  readonly stop: () => Promise<void>;
}

export interface Seen extends Figures {
  readonly name: string;
  readonly inFlight: number;
  readonly aside: Record<string, Array<number>>;
}

export interface Window {
  readonly rounds: number;
  readonly milliseconds: number;
}

const count = 3;

/** One execution, from its start until its result is known. */
export const execute = async (weir: Weir): Promise<void> => {
  const result = await (await weir.start(steps, count)).result();
  if (result !== count) throw new Error(`${count} steps gave ${result}`);
};

const alone: NonNullable<Contestant["meanwhile"]> = async (turn) => ({
  found: await turn(),
  aside: {},
});

const takeTurn = (
  { weir, processes, execute: own = () => execute(weir), meanwhile = alone }: Contestant,
  inFlight: number,
  milliseconds: number,
) => {
  let ended = 0;
  const executeOne = async () => {
    await own();
    ended++;
  };
  return meanwhile(() => observe(executeOne, inFlight, milliseconds, processes), () => ended);
};

export const takeTurns = async (
  contestants: ReadonlyArray<Contestant>,
  loads: ReadonlyArray<number>,
  { rounds, milliseconds }: Window,
): Promise<ReadonlyArray<Seen>> => {
  const all = loads.flatMap((inFlight) =>
    contestants.map((contestant) => ({
      contestant,
      seen: { name: contestant.name, inFlight, ...noFigures(), aside: {} } as Seen,
    }))
  );
  for (let round = 0; round <= rounds; round++) {
    for (const { contestant, seen } of all) {
      const { found, aside } = await takeTurn(contestant, seen.inFlight, milliseconds);
      if (round === 0) continue; // Warm-up.
      addRound(seen, found);
      for (const [name, value] of Object.entries(aside)) (seen.aside[name] ??= []).push(value);
    }
    say(`round ${round} of ${rounds}`);
  }
  return all.map(({ seen }) => seen);
};
