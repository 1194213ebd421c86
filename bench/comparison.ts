/**
 * Whether one file of results is worse than another. Every series of rounds with rates or tail latencies
 * counts, whatever else a benchmark wrote beside it; a series is known by where it stands and by the
 * words and numbers it stands among. It knows nothing of what was measured.
 */
import { ratio, summarise } from "./statistics.ts";

/** How much worse than before fails, as a part of what was before. */
export const limits = { perSecond: 0.1, p99: 0.2 } as const;

export type Figure = keyof typeof limits;

export interface Series {
  readonly name: string;
  readonly figure: Figure;
  readonly rounds: ReadonlyArray<number>;
  /** The words and numbers beside it. */
  readonly beside: Readonly<Record<string, string | number>>;
}

export type Verdict = "as before" | "better" | "nearly too much worse" | "worse" | "missing";

export interface Compared {
  readonly name: string;
  readonly figure: Figure;
  readonly before: number;
  readonly now: number | undefined;
  /** How much worse, as a part of what was before; less than nothing if it is better. */
  readonly worse: number | undefined;
  readonly verdict: Verdict;
}

const figures = Object.keys(limits) as ReadonlyArray<Figure>;

const isRounds = (value: unknown): value is ReadonlyArray<number> =>
  Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "number");

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** All series of a file of results. */
export const seriesOf = (results: unknown, path: ReadonlyArray<string> = []): Array<Series> => {
  if (Array.isArray(results)) return results.flatMap((each) => seriesOf(each, path));
  if (!isRecord(results)) return [];
  const beside: Record<string, string | number> = {};
  for (const [key, value] of Object.entries(results)) {
    if (typeof value === "string" || typeof value === "number") beside[key] = value;
  }
  const words = Object.entries(beside).sort(([a], [b]) => a < b ? -1 : 1)
    .map(([key, value]) => `${key} ${value}`);
  const name = [...path, ...words].join(", ");
  const own = figures.flatMap((figure): Array<Series> => {
    const rounds = results[figure];
    return isRounds(rounds) ? [{ name, figure, rounds, beside }] : [];
  });
  const below = Object.entries(results).flatMap(([key, value]) => seriesOf(value, [...path, key]));
  return [...own, ...below];
};

/** The same series of who has this value in this place, to measure others by. */
const counterpart = (
  all: ReadonlyArray<Series>,
  series: Series,
  [place, value]: readonly [place: string, value: string],
): Series | undefined =>
  all.find((each) =>
    each.figure === series.figure && each.beside[place] === value &&
    each.rounds.length === series.rounds.length &&
    Object.entries(series.beside).every(([key, other]) =>
      key === place || each.beside[key] === other
    )
  );

/**
 * Each series in those of the one that is named, round by round, which takes the machine out of it;
 * what has no counterpart there is left out.
 */
export const relativeTo = (
  all: ReadonlyArray<Series>,
  named: readonly [place: string, value: string],
): ReadonlyArray<Series> =>
  all.flatMap((series) => {
    if (series.beside[named[0]] === named[1]) return [];
    const measure = counterpart(all, series, named);
    return measure === undefined
      ? []
      : [{ ...series, rounds: ratio(series.rounds, measure.rounds).rounds }];
  });

const verdictOn = (worse: number, limit: number): Verdict =>
  worse > limit
    ? "worse"
    : worse > limit / 2
    ? "nearly too much worse"
    : worse < -limit / 2
    ? "better"
    : "as before";

/** Every series of before, and what has become of it. */
export const compare = (
  before: ReadonlyArray<Series>,
  now: ReadonlyArray<Series>,
): ReadonlyArray<Compared> =>
  before.map(({ name, figure, rounds }): Compared => {
    const old = summarise(rounds).median;
    const same = now.find((each) => each.name === name && each.figure === figure);
    if (same === undefined) {
      return { name, figure, before: old, now: undefined, worse: undefined, verdict: "missing" };
    }
    const median = summarise(same.rounds).median;
    const lost = figure === "perSecond" ? old - median : median - old;
    const worse = lost === 0 ? 0 : lost / old;
    return {
      name,
      figure,
      before: old,
      now: median,
      worse,
      verdict: verdictOn(worse, limits[figure]),
    };
  });

/** Whether a release may not have this. */
export const fails = ({ verdict }: Compared): boolean =>
  verdict === "worse" || verdict === "missing";
