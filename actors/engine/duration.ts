/**
 * Durations as actors and workers give them. One that is none, or that no calendar holds, is refused
 * before anything is recorded with it; what is over already lasts no time.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { InvalidInput } from "../../schema/errors.ts";
import { shown } from "../../schema/ids.ts";

/** A hundred years. */
const longestMs = 36_525 * 24 * 60 * 60 * 1000;

/** How many milliseconds it lasts. */
export const millisOf = (
  what: string,
  input: Duration.Input,
): Effect.Effect<number, InvalidInput> => {
  const duration = Duration.fromInput(input);
  const millis = Option.isSome(duration) ? Duration.toMillis(duration.value) : NaN;
  return millis <= longestMs && !Number.isNaN(input) ? Effect.succeed(millis) : Effect.fail(
    new InvalidInput({
      what,
      value: shown(input),
      rule: "expected a duration of at most a hundred years, like 5 minutes, or milliseconds",
    }),
  );
};

/** How many milliseconds it lasts: what a process waits for, for ever at most, and of no calendar. */
export const fromZero = (
  what: string,
  input: Duration.Input,
  rule = "expected a duration from 0 on, like 5 seconds, or milliseconds",
): Effect.Effect<number, InvalidInput> => {
  const duration = Duration.fromInput(input);
  const millis = Option.isSome(duration) ? Duration.toMillis(duration.value) : NaN;
  return millis >= 0 && !Number.isNaN(input)
    ? Effect.succeed(millis)
    : Effect.fail(new InvalidInput({ what, value: shown(input), rule }));
};
