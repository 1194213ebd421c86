/**
 * The text of a cron schedule, and the wall-clock times that it names. What is read here has been
 * checked field by field, so the calendar searches sets of numbers and never fails. Whether and when
 * such a time comes in a time zone is not known here.
 *
 * Five fields are minute, hour, day of month, month and day of week; six put the second in front, and
 * seven add the year at the end. A field is a list of numbers, names (`JAN`, `MON`), ranges (`1-5`) and
 * steps (`0/15`, `9-17/2`), or `*` or `?` for every value; `L` is the last day of the month; a day of
 * week is 0 to 7, where 0 and 7 are Sunday. Where both kinds of day are restricted, a day that either
 * of them allows is one, as cron always had it; a step restricts too.
 */
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";

/** The values that each field allows, ascending. */
export interface CronFields {
  readonly seconds: ReadonlyArray<number>;
  readonly minutes: ReadonlyArray<number>;
  readonly hours: ReadonlyArray<number>;
  readonly days: ReadonlyArray<number>;
  /** Whether the last day of a month is one, whatever its number. */
  readonly lastDay: boolean;
  readonly months: ReadonlyArray<number>;
  /** From Sunday, which is 0. */
  readonly weekdays: ReadonlyArray<number>;
  /** Every year, if left out. */
  readonly years?: ReadonlyArray<number>;
}

/** The last year that a schedule may name, and that is searched. */
export const lastYear = 9999;

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** The last value, if the maximum is another name of the first. */
  readonly end?: number;
  readonly names?: ReadonlyArray<string>;
}

const monthNames = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split(" ");
const second: Field = { name: "second", min: 0, max: 59 };
const minute: Field = { name: "minute", min: 0, max: 59 };
const hour: Field = { name: "hour", min: 0, max: 23 };
const day: Field = { name: "day of month", min: 1, max: 31 };
const month: Field = { name: "month", min: 1, max: 12, names: monthNames };
const weekday: Field = {
  name: "day of week",
  min: 0,
  max: 7,
  end: 6,
  names: "SUN MON TUE WED THU FRI SAT".split(" "),
};
const year: Field = { name: "year", min: 1970, max: lastYear };

const shorthands: ReadonlyMap<string, string> = new Map(Object.entries({
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
}));

const refused = (field: Field, part: string) => {
  const names = field.names === undefined ? "" : ` or ${field.names[0]} to ${field.names.at(-1)}`;
  const last = field === day ? ", or L for the last" : "";
  return `expected ${field.min} to ${field.max}${names} in the field for the ${field.name}, ` +
    `as a list of values, ranges that ascend and steps${last}, or *, not ${part}`;
};

const valueOf = (field: Field, text: string): number => {
  const name = field.names?.indexOf(text) ?? -1;
  if (name >= 0) return field.min + name;
  const value = /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  return value >= field.min && value <= field.max ? value : NaN;
};

/** What one part of a list allows, or nothing if it is none. */
const valuesOf = (field: Field, part: string): ReadonlyArray<number> | undefined => {
  const [, span, step] = /^([^/]+)(?:\/([^/]+))?$/.exec(part) ?? [];
  if (span === undefined) return undefined;
  const stride = step === undefined ? 1 : /^\d{1,4}$/.test(step) ? Number(step) : 0;
  if (stride < 1 || stride > field.max) return undefined;
  const [left = "", right, ...more] = span.split("-");
  const every = span === "*" || span === "?";
  const from = every ? field.min : valueOf(field, left);
  const open = every || (right === undefined && step !== undefined);
  let to = open ? field.end ?? field.max : valueOf(field, right ?? left);
  // A week may end with its Sunday: MON-SUN.
  if (field === weekday && to === 0 && from > 0) to = 7;
  if (more.length > 0 || !(from <= to)) return undefined;
  return Array.from({ length: Math.floor((to - from) / stride) + 1 }, (_, i) => from + i * stride);
};

const isLast = (field: Field, part: string): boolean => field === day && part === "L";

const parseField = (
  field: Field,
  text: string,
): Result.Result<ReadonlyArray<number>, string> => {
  const values = new Set<number>();
  for (const part of text.toUpperCase().split(",")) {
    const some = isLast(field, part) ? [] : valuesOf(field, part);
    if (some === undefined) return Result.fail(refused(field, part === "" ? "an empty one" : part));
    for (const value of some) values.add(field === weekday ? value % 7 : value);
  }
  return Result.succeed([...values].sort((a, b) => a - b));
};

/** Reads an expression, or says what was expected in it. */
export const parseCronExpression = (text: string): Result.Result<CronFields, string> => {
  const trimmed = text.trim();
  const fields = (shorthands.get(trimmed.toLowerCase()) ?? trimmed).split(/\s+/);
  if (fields.length < 5 || fields.length > 7) {
    return Result.fail(
      `expected 5 fields (minute, hour, day of month, month, day of week), 6 with the second in ` +
        `front or 7 with the year at the end, or one of ${[...shorthands.keys()].join(", ")}`,
    );
  }
  const [
    seconds = "",
    minutes = "",
    hours = "",
    days = "",
    months = "",
    weekdays = "",
    years = "*",
  ] = fields.length === 5 ? ["0", ...fields] : fields;
  return Result.gen(function* () {
    const parsed = {
      seconds: yield* parseField(second, seconds),
      minutes: yield* parseField(minute, minutes),
      hours: yield* parseField(hour, hours),
      days: yield* parseField(day, days),
      lastDay: days.toUpperCase().split(",").includes("L"),
      months: yield* parseField(month, months),
      weekdays: yield* parseField(weekday, weekdays),
    };
    return /^[*?]$/.test(years) ? parsed : { ...parsed, years: yield* parseField(year, years) };
  });
};

/** An expression that has been read once, so that it can be again. */
export const CronExpression = Schema.String.check(
  Schema.isMaxLength(200, { expected: "a cron expression of at most 200 characters" }),
  Schema.makeFilter<string>((text) => {
    const parsed = parseCronExpression(text);
    return Result.isSuccess(parsed) ? undefined : parsed.failure;
  }),
);
