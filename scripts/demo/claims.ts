/**
 * What the demo claims, each checked against what was seen. A claim that does not hold says so, with
 * what was seen instead, and the demo goes on, but ends as failed.
 */
import { isDeepStrictEqual } from "node:util";

export const makeClaims = (say: (line: string) => void) => {
  let failed = 0;
  return {
    get failed(): number {
      return failed;
    },
    /** Claims that what was seen is what has to be. */
    check: (claim: string, seen: unknown, expected: unknown): void => {
      if (isDeepStrictEqual(seen, expected)) return say(`✓ ${claim}`);
      failed++;
      say(`✗ ${claim}: NO.`);
      say(`  expected ${JSON.stringify(expected)}`);
      say(`  seen     ${JSON.stringify(seen)}`);
    },
  };
};

export type Claims = ReturnType<typeof makeClaims>;
