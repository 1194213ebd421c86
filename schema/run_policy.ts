/**
 * How often a task runs: once, a number of times at an interval, or by a calendar. What is stored has
 * been checked to the last cron field, so nothing downstream refuses it; what people write, with
 * durations and defaults, is parsed into it here. When each run comes is computed in `actors/work/`.
 */
import * as DateTime from "effect/DateTime";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Predicate from "effect/Predicate";
import * as Schema from "effect/Schema";
import { CronExpression } from "./cron_expression.ts";
import { InvalidInput } from "./errors.ts";
import { parse, shown } from "./ids.ts";
import { checkOptions, type OptionNames } from "./option_names.ts";

const lastInstant = 8_640_000_000_000_000;

const wholeFromOne = (expected: string) =>
  Schema.Number.check(
    Schema.makeFilter<number>(
      (value) => Number.isInteger(value) && value >= 1 && value <= lastInstant,
      { expected },
    ),
  );

const Count = wholeFromOne("a whole number of at least 1");
const IntervalMs = wholeFromOne("a duration of whole milliseconds, at least 1, like 5 minutes");

/** The name of a time zone in the IANA database, as far as this platform has it. */
export const TimeZoneName = Schema.String.check(
  Schema.makeFilter<string>(
    (name) => /^[A-Za-z][\w+/-]{0,63}$/.test(name) && Option.isSome(DateTime.zoneMakeNamed(name)),
    { expected: "an IANA time zone, like Europe/Berlin or UTC" },
  ),
);

const Once = Schema.Struct({ type: Schema.tag("once") });

const Repeat = Schema.Struct({
  type: Schema.tag("repeat"),
  /** Runs in all. */
  count: Count,
  intervalMs: IntervalMs,
});

const Cron = Schema.Struct({
  type: Schema.tag("cron"),
  expression: CronExpression,
  timeZone: TimeZoneName,
  /** Runs in all; what a misfire policy skips is no run. */
  maxOccurrences: Schema.optionalKey(Count),
});
export type CronPolicy = typeof Cron.Type;

/** How often a task runs, as it is stored. */
export const RunPolicy = Schema.Union([Once, Repeat, Cron]).pipe(Schema.toTaggedUnion("type"));
export type RunPolicy = typeof RunPolicy.Type;

/** How often a task runs, as people write it. */
export type RunPolicyInput =
  | { readonly type: "once" }
  | { readonly type: "repeat"; readonly count: number; readonly interval: Duration.Input }
  | {
    readonly type: "cron";
    readonly expression: string;
    /** UTC, if left out. */
    readonly timeZone?: string | undefined;
    readonly maxOccurrences?: number | undefined;
  };

const policyNames: {
  readonly [Type in RunPolicyInput["type"]]: OptionNames<
    Extract<RunPolicyInput, { readonly type: Type }>
  >;
} = {
  once: { type: true },
  repeat: { type: true, count: true, interval: true },
  cron: { type: true, expression: true, timeZone: true, maxOccurrences: true },
};

const RunPolicyType = Schema.Unknown.check(
  Schema.makeFilter<unknown>(
    (input) =>
      Predicate.isObject(input) &&
      ["once", "repeat", "cron"].some((type) => type === input["type"]),
    { expected: "the type once, repeat or cron" },
  ),
);

const parseInterval = (input: Duration.Input): Effect.Effect<number, InvalidInput> => {
  const duration = Duration.fromInput(input);
  const millis = Option.isSome(duration) ? Duration.toMillis(duration.value) : NaN;
  return parse(IntervalMs, "interval", millis).pipe(
    Effect.mapError(({ what, rule }) => new InvalidInput({ what, value: shown(input), rule })),
  );
};

/** Whether the last run of a policy that begins at an instant is one that a `Date` can show. */
const parseEnd = Effect.fnUntraced(function* (count: number, intervalMs: number, base: number) {
  if (count - 1 <= Math.floor((lastInstant - base) / intervalMs)) return;
  return yield* new InvalidInput({
    what: "repeat",
    value: `${count} times every ${intervalMs} ms`,
    rule: `expected the last run in the year 275760 at the latest, from ` +
      `${new Date(base).toISOString()} on`,
  });
});

/**
 * Turns what people write into what is stored, or says what is wrong with it.
 *
 * @param base when the schedule begins, in milliseconds since the epoch; its last run must have an
 * instant too.
 */
export const parseRunPolicy = Effect.fnUntraced(function* (input: RunPolicyInput, base: number) {
  yield* parse(RunPolicyType, "run policy", input);
  yield* checkOptions(`a run policy of the type ${input.type}`, input, policyNames[input.type]);
  switch (input.type) {
    case "once":
      return RunPolicy.make({ type: "once" });
    case "repeat": {
      const count = yield* parse(Count, "repeat count", input.count);
      const intervalMs = yield* parseInterval(input.interval);
      yield* parseEnd(count, intervalMs, base);
      return RunPolicy.make({ type: "repeat", count, intervalMs });
    }
    case "cron": {
      const { timeZone: zone = "UTC", maxOccurrences: most } = input;
      return RunPolicy.make({
        type: "cron",
        expression: yield* parse(CronExpression, "cron expression", input.expression),
        timeZone: yield* parse(TimeZoneName, "time zone", zone),
        ...(most !== undefined && { maxOccurrences: yield* parse(Count, "maxOccurrences", most) }),
      });
    }
  }
});
