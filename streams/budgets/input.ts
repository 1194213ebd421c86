/**
 * What callers give, checked and made a command of, or refused before anything is read or written.
 * Names and keys come with their brands, which say that they were checked.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import {
  Amounts,
  type BudgetKey,
  type BudgetName,
  LimitInput,
  perDimension,
} from "../../schema/budget.ts";
import { ZeroLimit } from "../../schema/budget_errors.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { type ExecutionId, longestMs, parse } from "../../schema/ids.ts";
import type { Allocate, Consume, LimitInputs, Replenish, Reset } from "./command.ts";

export interface KeyOptions {
  /** Under which it happens once, however often it is asked for; remembered for 7 days at least. */
  readonly key?: BudgetKey;
}

export interface AllocateOptions extends KeyOptions {
  /** How often usage returns to zero by itself; left out, it stays as it is. */
  readonly resetEvery?: Duration.Input | "never";
}

export interface ConsumeOptions extends KeyOptions {
  /** Who consumes, so that it can be taken back with `release`. */
  readonly execution?: ExecutionId;
  /** Whether it has been consumed already, and is counted even above hard limits. Default `refuse`. */
  readonly overage?: "refuse" | "allow";
  /** Whether budgets and dimensions that nobody allocated are passed over. Default `refuse`. */
  readonly unallocated?: "refuse" | "ignore";
  /** What has to be left below hard limits, for work that matters more. */
  readonly leave?: Amounts;
}

export interface ResetOptions extends KeyOptions {
  /** All, if left out; then the interval begins anew as well. */
  readonly dimensions?: ReadonlyArray<string>;
}

/** How many budgets one consumption may be about. */
export const maxStack = 16;
const shortestIntervalMs = 1_000;

const Limits = perDimension(LimitInput);
const DimensionNames = Schema.NonEmptyArray(Schema.String);
const Overage = Schema.Literals(["refuse", "allow"]);
const Unallocated = Schema.Literals(["refuse", "ignore"]);

const keyed = ({ key }: KeyOptions) => (key === undefined ? {} : { key });

const interval = Effect.fnUntraced(function* (given: Duration.Input | "never" | undefined) {
  if (given === undefined) return {};
  if (given === "never") return { resetEveryMs: given } as const;
  const ms = Option.match(Duration.fromInput(given), {
    onNone: () => NaN,
    onSome: (duration) => Math.floor(Duration.toMillis(duration)),
  });
  if (ms >= shortestIntervalMs && ms <= longestMs) return { resetEveryMs: ms };
  return yield* new InvalidInput({
    what: "interval",
    value: String(given),
    rule: `expected a duration from 1 second to a hundred years, or "never"`,
  });
});

/** Budgets that something is about at once, each named once. */
export const stackOf = (
  names: ReadonlyArray<BudgetName>,
): Effect.Effect<ReadonlyArray<BudgetName>, InvalidInput> => {
  const found = [...new Set(names)];
  return found.length >= 1 && found.length <= maxStack ? Effect.succeed(found) : Effect.fail(
    new InvalidInput({
      what: "budgets",
      value: String(found.length),
      rule: `expected 1 to ${maxStack} of them`,
    }),
  );
};

export const allocate = Effect.fnUntraced(function* (
  budget: BudgetName,
  given: LimitInputs,
  options: AllocateOptions,
): Effect.fn.Return<Allocate, InvalidInput | ZeroLimit> {
  const limits = yield* parse(Limits, "limits", given);
  const zero = Object.entries(limits).find(([, limit]) =>
    typeof limit === "number" ? limit === 0 : limit.hard === 0 || limit.soft === 0
  );
  if (zero !== undefined) return yield* new ZeroLimit({ budget, dimension: zero[0] });
  return {
    type: "allocate",
    budgets: [budget],
    limits,
    ...yield* interval(options.resetEvery),
    ...keyed(options),
  };
});

export const consume = Effect.fnUntraced(function* (
  names: ReadonlyArray<BudgetName>,
  amounts: Amounts,
  options: ConsumeOptions,
): Effect.fn.Return<Consume, InvalidInput> {
  const { overage = "refuse", unallocated = "refuse", leave, execution } = options;
  return {
    type: "consume",
    budgets: yield* stackOf(names),
    amounts: yield* parse(Amounts, "amounts", amounts),
    overage: yield* parse(Overage, "overage", overage),
    unallocated: yield* parse(Unallocated, "unallocated", unallocated),
    ...(leave === undefined ? {} : { leave: yield* parse(Amounts, "leave", leave) }),
    ...(execution === undefined ? {} : { execution }),
    ...keyed(options),
  };
});

export const replenish = Effect.fnUntraced(function* (
  budget: BudgetName,
  given: LimitInputs,
  options: KeyOptions,
): Effect.fn.Return<Replenish, InvalidInput> {
  const limits = yield* parse(Limits, "limits", given);
  return { type: "replenish", budgets: [budget], limits, ...keyed(options) };
});

export const reset = Effect.fnUntraced(function* (
  budget: BudgetName,
  options: ResetOptions,
): Effect.fn.Return<Reset, InvalidInput> {
  const { dimensions } = options;
  const asked = dimensions === undefined
    ? {}
    : { dimensions: yield* parse(DimensionNames, "dimensions", dimensions) };
  return { type: "reset", budgets: [budget], ...asked, ...keyed(options) };
});
