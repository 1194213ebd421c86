/**
 * How often something is tried, and how long the pauses between tries are. The pause is computed
 * here and recorded by the engine, so that a replay waits for the same moment.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import { waitMillis } from "../schema/duration.ts";
import type { InvalidInput } from "../schema/errors.ts";
import type { Failure } from "../schema/failure.ts";
import { longestMs, parse } from "../schema/ids.ts";
import { checkOptions, type OptionNames } from "../schema/option_names.ts";

export interface RetryPolicy {
  /** Tries in all, the first one included; 4 if left out, 1 for none but the first. */
  readonly attempts?: number;
  /** Pauses of equal length, or each longer than the last by `factor`; the latter if left out. */
  readonly backoff?: "fixed" | "exponential";
  /** The first pause; a second if left out. */
  readonly delay?: Duration.Input;
  /** 2 if left out. */
  readonly factor?: number;
  /**
   * The longest pause; a minute if left out, or the first pause if that is longer. No pause is longer
   * than a hundred years.
   */
  readonly maxDelay?: Duration.Input;
  /** Whether pauses are shortened at random, by up to half, so that crowds part; true if left out. */
  readonly jitter?: boolean;
  /**
   * Which failures are worth another try; all that do not say otherwise, if left out, and none if it
   * throws.
   */
  readonly retryIf?: (failure: Failure) => boolean;
}

const names: OptionNames<RetryPolicy> = {
  attempts: true,
  backoff: true,
  delay: true,
  factor: true,
  maxDelay: true,
  jitter: true,
  retryIf: true,
};

const Attempts = Schema.Number.check(
  Schema.isGreaterThanOrEqualTo(1, { expected: "a number of tries from 1 on" }),
);
const Backoff = Schema.Literals(["fixed", "exponential"]);
const Factor = Schema.Finite.check(
  Schema.isGreaterThanOrEqualTo(0, { expected: "a number from 0 on" }),
);

/** Refuses a policy by which there would be no next try, or no last one. */
export const checkRetry = Effect.fnUntraced(function* (
  policy: RetryPolicy,
): Effect.fn.Return<void, InvalidInput> {
  yield* checkOptions("retry", policy, names);
  const { attempts, backoff, delay, factor, maxDelay } = policy;
  if (attempts !== undefined) yield* parse(Attempts, "retry attempts", attempts);
  if (backoff !== undefined) yield* parse(Backoff, "retry backoff", backoff);
  if (delay !== undefined) yield* waitMillis("retry delay", delay);
  if (factor !== undefined) yield* parse(Factor, "retry factor", factor);
  if (maxDelay !== undefined) yield* waitMillis("longest retry delay", maxDelay);
});

const millis = (input: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(input));

/** The pause before the next try, or nothing if there is none; a policy that throws ends the tries. */
export const pauseBeforeNext = (
  ...of: Parameters<typeof pauseOf>
): number | undefined => {
  try {
    return pauseOf(...of);
  } catch {
    return undefined;
  }
};

const pauseOf = (
  policy: RetryPolicy,
  failure: Failure,
  tries: number,
  random: number,
): number | undefined => {
  const { attempts = 4, backoff = "exponential", delay = "1 second", factor = 2 } = policy;
  if (tries >= attempts || failure.retryable === false) return undefined;
  if (policy.retryIf?.(failure) === false) return undefined;
  const first = millis(delay);
  // A power may be infinite, and none at all of that is nothing.
  const grown = first === 0 ? 0 : first * (backoff === "fixed" ? 1 : factor ** (tries - 1));
  const longest = policy.maxDelay === undefined ? Math.max(first, 60_000) : millis(policy.maxDelay);
  const capped = Math.min(grown, longest, longestMs);
  return Math.round(policy.jitter === false ? capped : capped * (1 - random / 2));
};
