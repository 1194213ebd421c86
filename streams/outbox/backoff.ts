/** The pause before a failed event is tried again: it doubles with each failure up to a limit. */
import * as Duration from "effect/Duration";

export interface Backoff {
  /** After the first failure. Default 1 second. */
  readonly first?: Duration.Input;
  /** How many times longer each is than the one before. Default 2. */
  readonly factor?: number;
  /** The longest. Default 5 minutes. */
  readonly max?: Duration.Input;
}

const millis = (input: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(input));

/** In milliseconds; `random`, from 0 to 1, takes up to half of it off, so that none come together. */
export const pauseAfter = (
  { first = "1 second", factor = 2, max = "5 minutes" }: Backoff,
  failures: number,
  random: number,
): number => {
  const whole = Math.min(millis(max), millis(first) * factor ** (failures - 1));
  return Math.ceil(whole * (1 - random / 2));
};
