/**
 * Durations as people give them. One that is none, or that no calendar holds, is refused
 * before anything is recorded with it; what is over already lasts no time.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { InvalidInput } from "./errors.ts";
import { longestMs, shown } from "./ids.ts";

const lengthOf = (input: Duration.Input): number => {
  const duration = Duration.fromInput(input);
  return Option.isNone(duration) || Number.isNaN(input) ? NaN : Duration.toMillis(duration.value);
};

const checked = (
  what: string,
  input: Duration.Input,
  isRight: (millis: number) => boolean,
  rule: string,
): Effect.Effect<number, InvalidInput> => {
  const millis = lengthOf(input);
  return isRight(millis)
    ? Effect.succeed(millis)
    : Effect.fail(new InvalidInput({ what, value: shown(input), rule }));
};

/** How many milliseconds it lasts. */
export const millisOf = (
  what: string,
  input: Duration.Input,
): Effect.Effect<number, InvalidInput> =>
  checked(
    what,
    input,
    (millis) => millis <= longestMs,
    "expected a duration of at most a hundred years, like 5 minutes, or milliseconds",
  );

/** The same in whole milliseconds, of which it has to last some. */
export const wholeMillis = (
  what: string,
  input: Duration.Input,
  least = 0,
): Effect.Effect<number, InvalidInput> =>
  Effect.map(
    checked(
      what,
      input,
      (millis) => millis >= least && millis <= longestMs,
      `expected a duration from ${least} ms to a hundred years, like 5 minutes`,
    ),
    Math.ceil,
  );

/** The same, if it is given. */
export const optionalMillis = (
  what: string,
  input: Duration.Input | undefined,
  least?: number,
): Effect.Effect<number | undefined, InvalidInput> =>
  input === undefined ? Effect.undefined : wholeMillis(what, input, least);

/** How many milliseconds it lasts: what a process waits for, for ever at most, and of no calendar. */
export const waitMillis = (
  what: string,
  input: Duration.Input,
  least = 0,
): Effect.Effect<number, InvalidInput> =>
  checked(
    what,
    input,
    (millis) => millis >= least,
    `expected a duration from ${least} ms on, like 5 seconds, or milliseconds`,
  );

/** How many milliseconds something is kept for, if not for ever. */
export const keptFor = (
  what: string,
  input: Duration.Input,
): Effect.Effect<number, InvalidInput> =>
  checked(
    what,
    input,
    (millis) => millis >= 0 && (millis <= longestMs || millis === Infinity),
    'expected a duration of at most a hundred years, like 30 days, or "forever"',
  );
