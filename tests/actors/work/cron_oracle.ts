/**
 * Cron schedules at random, with the sets that they were written from, and a clock that is watched
 * minute by minute: slow, and nothing of it is shared with the calendar.
 */
import type { Chance } from "../../chaos/seed.ts";

export interface Sample {
  readonly expression: string;
  readonly everyHour: boolean;
  /** Whether a wall time, as the UTC instant that shows it, is one that the schedule names. */
  readonly names: (wall: number) => boolean;
}

export const minuteMs = 60_000;

const field = (chance: Chance, min: number, max: number): [text: string, values: Set<number>] => {
  const all = Array.from({ length: max - min + 1 }, (_, i) => min + i);
  const low = min + chance(all.length);
  const high = low + chance(max - low + 1);
  const step = 1 + chance(max);
  const listed = [low, min + chance(all.length), min + chance(all.length)];
  const kinds: ReadonlyArray<[string, Array<number>]> = [
    ["*", all],
    [`${low}`, [low]],
    [listed.join(","), listed],
    [`${low}-${high}`, all.filter((at) => at >= low && at <= high)],
    [`*/${step}`, all.filter((at) => (at - min) % step === 0)],
    [`${low}/${step}`, all.filter((at) => at >= low && (at - low) % step === 0)],
    [`${low}-${high}/${step}`, all.filter((a) => a >= low && a <= high && (a - low) % step === 0)],
  ];
  const [text, values] = kinds[chance(kinds.length)]!;
  return [text, new Set(values)];
};

export const sample = (chance: Chance, kind: "any day" | "every day"): Sample => {
  const every = (min: number, max: number): [string, Set<number>] => [
    "*",
    new Set(Array.from({ length: max - min + 1 }, (_, i) => min + i)),
  ];
  const ofDay = kind === "any day" ? field.bind(undefined, chance) : every;
  const [minute, minutes] = field(chance, 0, 59);
  const [hour, hours] = field(chance, 0, 23);
  const [day, days] = ofDay(1, 31);
  const [month, months] = ofDay(1, 12);
  const [weekday, weekdays] = ofDay(0, 6);
  return {
    expression: [minute, hour, day, month, weekday].join(" "),
    everyHour: hours.size === 24,
    names: (wall) => {
      const date = new Date(wall);
      if (!minutes.has(date.getUTCMinutes()) || !hours.has(date.getUTCHours())) return false;
      if (!months.has(date.getUTCMonth() + 1)) return false;
      const [byMonth, byWeek] = [days.has(date.getUTCDate()), weekdays.has(date.getUTCDay())];
      return days.size < 31 && weekdays.size < 7 ? byMonth || byWeek : byMonth && byWeek;
    },
  };
};

/** What a wall clock shows at an instant, from the platform itself. */
const wallClock = (timeZone: string) => {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    calendar: "iso8601",
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (instant: number): number => {
    const parts = format.formatToParts(instant);
    const [year, month, day, hour, minute] = ["year", "month", "day", "hour", "minute"].map(
      (type) => Number(parts.find((part) => part.type === type)?.value),
    );
    return Date.UTC(year!, month! - 1, day, hour, minute);
  };
};

/** Every instant in a span at which a schedule comes, by watching the clock. */
export const watched = (
  { everyHour, names }: Sample,
  timeZone: string,
  from: number,
  to: number,
): Array<number> => {
  const wallAt = timeZone === "UTC" ? (instant: number) => instant : wallClock(timeZone);
  const found: Array<number> = [];
  let seen = wallAt(from - minuteMs);
  for (let instant = from; instant < to; instant += minuteMs) {
    const wall = wallAt(instant);
    let comes = everyHour && names(wall);
    for (; seen < wall; seen += minuteMs) comes ||= !everyHour && names(seen + minuteMs);
    if (comes) found.push(instant);
  }
  return found;
};
