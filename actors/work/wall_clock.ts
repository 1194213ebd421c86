/**
 * When a cron schedule's fields name a time, on a clock that is never set. The search visits days, not
 * seconds, and ends where no calendar could still have one, so an impossible date costs no more than
 * a rare one. Time zones are unknown here: a wall time is the instant at which UTC shows it.
 */
import { type CronFields, lastYear } from "../../schema/cron_expression.ts";

/** From 29 February 2096 to the next; no day that a month and a week can name is rarer. */
const rarestYears = 8;

const daysIn = (year: number, month: number): number =>
  new Date(Date.UTC(year, month, 0)).getUTCDate();

const isDay = (fields: CronFields, date: Date, daysInMonth: number): boolean => {
  const day = date.getUTCDate();
  const byMonth = fields.days.includes(day) || (fields.lastDay && day === daysInMonth);
  const byWeek = fields.weekdays.includes(date.getUTCDay());
  const both = fields.days.length < 31 && fields.weekdays.length < 7;
  return both ? byMonth || byWeek : byMonth && byWeek;
};

/** The first time of day at or after one, in seconds since midnight. */
const timeFrom = ({ hours, minutes, seconds }: CronFields, from: number): number | undefined => {
  const hour = Math.floor(from / 3600);
  const minute = Math.floor(from / 60) % 60;
  if (hours.includes(hour)) {
    const second = minutes.includes(minute) ? seconds.find((at) => at >= from % 60) : undefined;
    if (second !== undefined) return hour * 3600 + minute * 60 + second;
    const later = minutes.find((at) => at > minute);
    if (later !== undefined) return hour * 3600 + later * 60 + seconds[0]!;
  }
  const later = hours.find((at) => at > hour);
  return later === undefined ? undefined : later * 3600 + minutes[0]! * 60 + seconds[0]!;
};

function* yearsFrom(fields: CronFields, year: number): Iterable<number> {
  const end = Math.min(year + rarestYears, lastYear);
  if (fields.years !== undefined) yield* fields.years.filter((at) => at >= year);
  else for (let at = year; at <= end; at++) yield at;
}

/** The first wall time at or after one, or nothing if there is none left. */
export const nextWallTime = (fields: CronFields, from: number): number | undefined => {
  const begin = new Date(Math.ceil(from / 1000) * 1000);
  const [year, month, day] = [begin.getUTCFullYear(), begin.getUTCMonth() + 1, begin.getUTCDate()];
  const second = (begin.getTime() - Date.UTC(year, month - 1, day)) / 1000;
  for (const y of yearsFrom(fields, year)) {
    for (const m of fields.months) {
      if (y === year && m < month) continue;
      const isThisMonth = y === year && m === month;
      const daysInMonth = daysIn(y, m);
      for (let d = isThisMonth ? day : 1; d <= daysInMonth; d++) {
        const date = new Date(Date.UTC(y, m - 1, d));
        if (!isDay(fields, date, daysInMonth)) continue;
        const time = timeFrom(fields, isThisMonth && d === day ? second : 0);
        if (time !== undefined) return date.getTime() + time * 1000;
      }
    }
  }
  return undefined;
};
