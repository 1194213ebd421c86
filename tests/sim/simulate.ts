/**
 * Running one simulation many times, each time with other choices, until something is wrong; then
 * with fewer and smaller ones, as long as something still is. A run is known by its number and the
 * seed, whatever was run before it.
 */
import { Choices, shrink } from "./choices.ts";

/** Something that chance does, and what was wrong with it, with all that happened before. */
export type Simulation = (choices: Choices) => string | undefined | Promise<string | undefined>;

export interface Runs {
  readonly seed: number;
  /** The number of the first, and how many. */
  readonly first?: number;
  readonly count: number;
  readonly onRun?: (done: number) => void;
}

export interface Violation {
  readonly run: number;
  readonly made: ReadonlyArray<number>;
  /** What is wrong, with all that happened before. */
  readonly problem: string;
}

/** The first run in which something is wrong. */
export const firstViolation = async (
  simulation: Simulation,
  { seed, first = 0, count, onRun }: Runs,
): Promise<Violation | undefined> => {
  for (let run = first; run < first + count; run++) {
    const choices = Choices.random(`schedule ${run}`, seed);
    const problem = await simulation(choices);
    if (problem !== undefined) return { run, made: choices.made, problem };
    onRun?.(run - first + 1);
  }
  return undefined;
};

/** What happens in it, made as short as it gets. */
export const inShort = async (simulation: Simulation, { made }: Violation): Promise<string> => {
  const fails = async (choices: Choices) => (await simulation(choices)) !== undefined;
  const smallest = await shrink(made, fails);
  return (await simulation(Choices.repeated(smallest))) ?? "it does not happen again";
};
