/**
 * When usage of a budget comes above a part of its limit: a fold over what was written of the budget,
 * event by event, since one record may hold that usage fell and rose again. What was written at once
 * counts as one crossing. Pure.
 */
import { type BudgetRecord, isBudgetEvent } from "../../../schema/budget_record.ts";
import type { When } from "../../../schema/trigger.ts";

export type BudgetWhen = Extract<When, { readonly budget: string }>;

/** How a dimension stands. */
export interface Level {
  readonly used: number;
  /** What it may be used up to; nothing, if it has no limit. */
  readonly limit: number | undefined;
}

type Limits = { readonly hard?: number; readonly soft?: number };

const limitOf = ({ hard, soft }: Limits): number | undefined => hard ?? soft;

const nothing: Level = { used: 0, limit: undefined };

/** How the dimension of a trigger stands by a record; nothing is used of what is not there. */
export const levelOf = (record: BudgetRecord | undefined, { dimension }: BudgetWhen): Level => {
  const found = record?.dimensions[dimension];
  return found === undefined ? nothing : { used: found.used, limit: limitOf(found) };
};

export const isAbove = ({ used, limit }: Level, { percent }: BudgetWhen): boolean =>
  limit !== undefined && used * 100 >= limit * percent;

const own = <Value>(values: Readonly<Record<string, Value>>, name: string): Value | undefined =>
  Object.hasOwn(values, name) ? values[name] : undefined;

const behind = (level: Level, event: unknown, dimension: string): Level => {
  if (!isBudgetEvent(event)) return level;
  switch (event.type) {
    case "allocated": {
      const limits = own(event.limits, dimension);
      // What is used stays, and so does what is not named.
      return limits === undefined ? level : { ...level, limit: limitOf(limits) };
    }
    case "replenished": {
      const limits = own(event.limits, dimension);
      return limits === undefined ? level : { used: 0, limit: limitOf(limits) };
    }
    case "consumed":
      // What a budget does not limit, it does not count.
      return level.limit === undefined
        ? level
        : { ...level, used: level.used + (own(event.amounts, dimension) ?? 0) };
    case "released":
      return { ...level, used: Math.max(0, level.used - (own(event.amounts, dimension) ?? 0)) };
    case "reset":
      return event.dimensions.includes(dimension) ? { ...level, used: 0 } : level;
    case "deleted":
      return nothing;
    case "awaited":
    case "breached":
      return level;
  }
};

/** Whether a record, or that the budget was removed, says that usage came above from below. */
export const crosses = (
  before: { readonly level: Level | undefined; readonly above: boolean },
  record: BudgetRecord | undefined,
  when: BudgetWhen,
): boolean => {
  if (record === undefined) return false;
  let level = before.level;
  let above = level === undefined ? before.above : isAbove(level, when);
  let crossed = false;
  const rise = (next: boolean) => {
    crossed ||= next && !above;
    above = next;
  };
  for (const event of record.events) {
    const known = level ?? restart(event, when.dimension);
    if (known === undefined) continue;
    level = behind(known, event, when.dimension);
    rise(isAbove(level, when));
  }
  // The record has the last word, also about events of a later release.
  rise(isAbove(levelOf(record, when), when));
  return crossed;
};

/** Of a level that is not known, what is known behind an event that begins anew. */
const restart = (event: unknown, dimension: string): Level | undefined =>
  isBudgetEvent(event) && event.type === "replenished" && Object.hasOwn(event.limits, dimension)
    ? nothing
    : undefined;
