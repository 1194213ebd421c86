/**
 * What the clocks of a time zone show, and when they are set. Effect's `DateTime` has the offsets;
 * here is what it does not tell: the instant at which an offset changes. A zone is taken to change its
 * offset at most once in two days, which all have kept since 1970.
 */
import * as DateTime from "effect/DateTime";

export const dayMs = 86_400_000;

/** Days whose offset is remembered, before they are asked for anew. */
const remembered = 512;

/** A change of offset: the first instant of the new one. */
export interface Change {
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

export interface ZoneClock {
  /** How far the wall clock is ahead of UTC at an instant, in milliseconds. */
  readonly offsetAt: (instant: number) => number;
  /** The change after one instant and up to another, at most two days later. */
  readonly changeIn: (from: number, to: number) => Change | undefined;
}

const makeClock = (timeZone: string): ZoneClock => {
  const zone = DateTime.zoneMakeNamedUnsafe(timeZone);
  const askedAt = (instant: number): number =>
    zone.id === "UTC"
      ? 0
      : DateTime.zonedOffset(DateTime.makeZonedUnsafe(instant, { timeZone: zone }));

  const days = new Map<number, number>();
  const startOf = (day: number): number => {
    let offset = days.get(day);
    if (offset === undefined) {
      if (days.size >= remembered) days.clear();
      offset = askedAt(day * dayMs);
      days.set(day, offset);
    }
    return offset;
  };
  const offsetAt = (instant: number): number => {
    const day = Math.floor(instant / dayMs);
    const offset = startOf(day);
    // Asking the platform costs a hundred times what remembering does.
    return offset === startOf(day + 1) ? offset : askedAt(instant);
  };

  const changeIn = (from: number, to: number): Change | undefined => {
    const [before, after] = [offsetAt(from), offsetAt(to)];
    if (before === after) return undefined;
    let [low, high] = [Math.floor(from / 1000), Math.ceil(to / 1000)];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offsetAt(middle * 1000) === before) low = middle;
      else high = middle;
    }
    return { at: high * 1000, before, after };
  };
  return { offsetAt, changeIn };
};

const clocks = new Map<string, ZoneClock>();

/** The clock of a zone that the platform has; another is a defect, since policies are checked. */
export const zoneClock = (timeZone: string): ZoneClock => {
  let clock = clocks.get(timeZone);
  if (clock === undefined) {
    clock = makeClock(timeZone);
    clocks.set(timeZone, clock);
  }
  return clock;
};
