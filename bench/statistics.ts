/** What a set of rounds says: the median, and how far the rounds lie apart. */
export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: ReadonlyArray<number>;
}

export const summarise = (rounds: ReadonlyArray<number>): Summary => {
  const sorted = [...rounds].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, low: sorted[0]!, high: sorted.at(-1)!, rounds };
};

/** The median of each round's own ratio: what the machine did meanwhile cancels out. */
export const ratio = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): Summary =>
  summarise(a.map((value, round) => value / b[round]!));
