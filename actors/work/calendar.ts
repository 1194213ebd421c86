/**
 * When a cron schedule comes, in its time zone. Every instant is a function of the policy, the
 * instant asked about and the platform's time zone data, so that whoever asks again gets the same; no
 * clock is read. How late an occurrence may be is `due.ts`.
 *
 * A schedule that names its hours follows the wall clock, once for each time it names: a time that the
 * clock skips comes at the instant after the gap, several of them together once, and a time that the
 * clock shows twice comes the first time. A schedule of every hour follows elapsed time: it comes
 * whenever the clock shows a time that it names, so in both of two repeated hours and not for one
 * that was left out. `effect/Cron` is not asked: it puts 02:30 in a gap at 03:30, but 02:00 to 02:40
 * together at 03:00, gives up on rare dates, and has neither years nor the last day of a month.
 */
import * as Result from "effect/Result";
import { type CronFields, parseCronExpression } from "../../schema/cron_expression.ts";
import type { CronPolicy } from "../../schema/run_policy.ts";
import { nextWallTime } from "./wall_clock.ts";
import { dayMs, type ZoneClock, zoneClock } from "./zone_clock.ts";

/** A cron policy that is ready to be asked. */
export interface Calendar {
  readonly fields: CronFields;
  readonly clock: ZoneClock;
}

/** Reads a policy, which has been checked; one that has not is a defect. */
export const calendarOf = ({ expression, timeZone }: CronPolicy): Calendar => ({
  fields: Result.getOrThrowWith(parseCronExpression(expression), (rule) => new Error(rule)),
  clock: zoneClock(timeZone),
});

/** When the wall clock first shows a time or, if it never does, the instant after the gap. */
const instantOf = (clock: ZoneClock, wall: number): number => {
  const change = clock.changeIn(wall - dayMs, wall + dayMs);
  if (change === undefined) return wall - clock.offsetAt(wall);
  const { at, before, after } = change;
  return wall - before < at ? wall - before : Math.max(wall - after, at);
};

/** The first time that the wall clock has not yet shown after an instant. */
const unseenAfter = (clock: ZoneClock, instant: number): number => {
  const unseen = instant + clock.offsetAt(instant) + 1;
  const change = clock.changeIn(instant - 2 * dayMs, instant);
  // While it repeats itself, the clock has been further already.
  return change === undefined ? unseen : Math.max(unseen, change.at + change.before);
};

const nextByWallClock = ({ fields, clock }: Calendar, after: number): number | undefined => {
  const wall = nextWallTime(fields, unseenAfter(clock, after));
  return wall === undefined ? undefined : instantOf(clock, wall);
};

const nextByElapsedTime = ({ fields, clock }: Calendar, after: number): number | undefined => {
  let at = after + 1;
  for (;;) {
    const offset = clock.offsetAt(at);
    const wall = nextWallTime(fields, at + offset);
    if (wall === undefined) return undefined;
    const rest = wall - offset - at;
    const stride = Math.min(rest, dayMs);
    const change = clock.changeIn(at, at + stride);
    if (change !== undefined) at = change.at;
    else if (rest === stride) return wall - offset;
    // All changes on the way together come to less than two days.
    else at += Math.max(stride, rest - 2 * dayMs);
  }
};

/** The first occurrence after an instant, or nothing if there is none left. */
export const nextOccurrence = (calendar: Calendar, after: number): number | undefined =>
  calendar.fields.hours.length === 24
    ? nextByElapsedTime(calendar, after)
    : nextByWallClock(calendar, after);

/**
 * The last occurrence after one instant and before another, if there is any. It is found by asking for
 * the next ones, so it is one of those that going forward gives, however far back that begins.
 */
export const lastOccurrence = (
  calendar: Calendar,
  after: number,
  before: number,
): number | undefined => {
  const within = (from: number): number | undefined => {
    const at = nextOccurrence(calendar, from);
    return at !== undefined && at < before ? at : undefined;
  };
  let stride = 1000;
  while (before - stride > after && within(before - stride) === undefined) stride *= 2;
  let last = within(Math.max(before - stride, after));
  if (last === undefined) return undefined;
  // Between the last that is known and the instant after which there is none; they are seconds apart.
  for (let none = before; none - last > 999;) {
    const middle = Math.floor((last + none) / 2);
    const later = within(middle);
    if (later === undefined) none = middle;
    else last = later;
  }
  return last;
};
