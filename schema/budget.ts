/**
 * Budgets as callers speak of them: names, dimensions, limits, and what a budget says of itself.
 * Every number is an integer that JSON carries exactly. What happens to a budget is in
 * `budget_record.ts`.
 */
import * as Schema from "effect/Schema";
import { boundedText, Timestamp } from "./ids.ts";

/** Names a budget within its tenant: any text, `task:t-1` or `tenant` by convention. */
export const BudgetName = boundedText(128).pipe(Schema.brand("BudgetName"));
export type BudgetName = typeof BudgetName.Type;

/** Names one consumption, or another change, so that repeating it changes nothing. */
export const BudgetKey = boundedText(200).pipe(Schema.brand("BudgetKey"));
export type BudgetKey = typeof BudgetKey.Type;

/** How many dimensions a budget has at most. */
export const maxDimensions = 32;

const dimensionName = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/;

/** Something about each of some dimensions. */
export const perDimension = <Value extends Schema.Constraint>(value: Value) =>
  Schema.Record(Schema.String, value).check(
    Schema.makeFilter<{ readonly [dimension: string]: unknown }>((given) => {
      const names = Object.keys(given);
      return names.length > 0 && names.length <= maxDimensions &&
        names.every((name) => dimensionName.test(name));
    }, {
      expected: `1 to ${maxDimensions} dimensions, each named by a letter and up to 63 letters, ` +
        `digits, _, . or -`,
    }),
  );

/** What is used of each dimension, or is to be. */
export const Amounts = perDimension(Schema.Natural);
export type Amounts = typeof Amounts.Type;

/** Up to where a dimension may be used, inclusive: for good, and before it is pointed out. */
export const Limits = Schema.Struct({
  hard: Schema.optionalKey(Schema.Natural),
  soft: Schema.optionalKey(Schema.Natural),
}).check(
  Schema.makeFilter<{ readonly hard?: number; readonly soft?: number }>(
    ({ hard, soft }) => hard !== undefined || soft !== undefined,
    { expected: "a hard limit, a soft limit, or both" },
  ),
);
export type Limits = typeof Limits.Type;

/** A number is a hard limit. */
export const LimitInput = Schema.Union([Schema.Natural, Limits]);
export type LimitInput = typeof LimitInput.Type;

/** How often a limit was met, and when last. */
export const Breaches = Schema.Struct({
  count: Schema.Natural,
  /** Of the last one. */
  dimension: Schema.String,
  at: Timestamp,
});
export type Breaches = typeof Breaches.Type;

/** One dimension of a budget, as it is now. */
export interface Dimension {
  readonly hard?: number;
  readonly soft?: number;
  readonly used: number;
  /** What may still be used, if there is a hard limit. */
  readonly left?: number;
  /** Whether as much was used as the hard limit allows, or more. */
  readonly exhausted: boolean;
}

/** A budget as it is now. */
export interface Budget {
  readonly name: BudgetName;
  readonly dimensions: { readonly [dimension: string]: Dimension };
  /** Whether any dimension is. */
  readonly exhausted: boolean;
  readonly resetEveryMs?: number;
  /** When usage returns to zero by itself. */
  readonly resetsAt?: Timestamp;
  /** Consumptions that were refused. */
  readonly hardBreaches?: Breaches;
  /** Consumptions that were applied and went above a soft limit. */
  readonly softBreaches?: Breaches;
}
