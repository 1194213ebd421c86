/**
 * Chance as a list of choices, so that what chance has done can be done again and made smaller.
 * Zero is always the choice in which nothing goes wrong; a list that is too short goes on with zeros.
 */
import { chance } from "../chaos/seed.ts";

export class Choices {
  readonly made: Array<number> = [];
  readonly #draw: (below: number) => number;

  private constructor(draw: (below: number) => number) {
    this.#draw = draw;
  }

  /** Depends on the seed and on the purpose alone. */
  static random(purpose: string, seed: number): Choices {
    return new Choices(chance(purpose, seed));
  }

  static repeated(made: ReadonlyArray<number>): Choices {
    let next = 0;
    return new Choices((below) => (made[next++] ?? 0) % below);
  }

  /** A whole number from 0. */
  below(limit: number): number {
    const choice = this.#draw(limit);
    this.made.push(choice);
    return choice;
  }

  /** True once in so many times. */
  oneIn(times: number): boolean {
    return this.below(times) === times - 1;
  }

  of<A>(items: ReadonlyArray<A>): A {
    return items[this.below(items.length)]!;
  }
}

/** The fewest and smallest choices found with which something still fails, within so many trials. */
export const shrink = async (
  made: ReadonlyArray<number>,
  fails: (choices: Choices) => boolean | Promise<boolean>,
  trials = 600,
): Promise<ReadonlyArray<number>> => {
  let best = made;
  let left = trials;
  const attempt = async (candidate: ReadonlyArray<number>): Promise<boolean> => {
    if (left-- <= 0 || !(await fails(Choices.repeated(candidate)))) return false;
    best = candidate;
    return true;
  };
  for (let size = Math.ceil(best.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < best.length && left > 0;) {
      const without = [...best.slice(0, at), ...best.slice(at + size)];
      const zeroed = [
        ...best.slice(0, at),
        ...best.slice(at, at + size).map(() => 0),
        ...best.slice(at + size),
      ];
      const isZero = best.slice(at, at + size).every((choice) => choice === 0);
      if (await attempt(without)) continue;
      if (!isZero) await attempt(zeroed);
      at += size;
    }
  }
  return best;
};
