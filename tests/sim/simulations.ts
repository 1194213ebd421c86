/** Every simulation, by the name under which it is asked for. */
import { problemOf as problemOfAppends } from "./appends.ts";
import { problemOf as problemOfReaders } from "./readers.ts";
import { problemOf as problemOfOwners } from "./schedule.ts";
import type { Simulation } from "./simulate.ts";
import { problemOf as problemOfWorkers } from "./workers.ts";

interface Known {
  readonly simulation: Simulation;
  /** What holds in it. */
  readonly what: string;
  /** How often the gate runs it. */
  readonly inGate: number;
}

export const simulations = {
  owners: {
    simulation: problemOfOwners,
    what: "the core comes to the same end under all its owners",
    inGate: 4_000,
  },
  workers: {
    simulation: problemOfWorkers,
    what: "workers bring every execution to its end",
    inGate: 1_000,
  },
  appends: {
    simulation: problemOfAppends,
    what: "what is told of an append is what the log has",
    inGate: 2_000,
  },
  readers: {
    simulation: problemOfReaders,
    what: "a cursor leaves out nothing and repeats nothing",
    inGate: 1_000,
  },
} as const satisfies Readonly<Record<string, Known>>;

export type Name = keyof typeof simulations;

export const isName = (name: string): name is Name => Object.hasOwn(simulations, name);
