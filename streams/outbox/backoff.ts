/** The pause before a failed event is tried again: it doubles with each failure up to a limit. */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { wholeMillis } from "../../schema/duration.ts";
import { parse } from "../../schema/ids.ts";

export interface Backoff {
  /** After the first failure. Default 1 second. */
  readonly first?: Duration.Input;
  /** How many times longer each is than the one before. Default 2. */
  readonly factor?: number;
  /** The longest. Default 5 minutes. */
  readonly max?: Duration.Input;
}

/** A backoff that was checked. */
export interface Pauses {
  readonly firstMs: number;
  readonly factor: number;
  readonly maxMs: number;
}

const Factor = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0));

export const parseBackoff = Effect.fnUntraced(
  function* ({ first = "1 second", factor = 2, max = "5 minutes" }: Backoff) {
    return {
      firstMs: yield* wholeMillis("backoff.first", first),
      factor: yield* parse(Factor, "backoff.factor", factor),
      maxMs: yield* wholeMillis("backoff.max", max),
    } satisfies Pauses;
  },
);

/** In milliseconds; `random`, from 0 to 1, takes up to half of it off, so that none come together. */
export const pauseAfter = (
  { firstMs, factor, maxMs }: Pauses,
  failures: number,
  random: number,
): number => {
  const times = Math.min(factor ** (failures - 1), Number.MAX_VALUE);
  return Math.ceil(Math.min(maxMs, firstMs * times) * (1 - random / 2));
};
