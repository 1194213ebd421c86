/**
 * Whether something may be consumed, and what follows from it: all budgets count it, or none does. No
 * hard limit is exceeded, unless the caller says that it has been consumed already. It reads no clock
 * and stores nothing.
 */
import * as Result from "effect/Result";
import type { Breaches, BudgetName } from "../../schema/budget.ts";
import { BudgetNotFound, DimensionNotAllocated } from "../../schema/budget_errors.ts";
import { Timestamp } from "../../schema/ids.ts";
import type { Breach, Consume, Consumed, ExhaustedDimension } from "./command.ts";
import { knowsKey, withKey, withSpending } from "./facts.ts";
import {
  after,
  atTime,
  type BudgetState,
  type Dimensions,
  type Held,
  isExhausted,
  mapValues,
  own,
} from "./state.ts";

/** The budgets that a decision is about, and what it makes of them. */
export type Book = ReadonlyMap<BudgetName, Held>;

export interface Decided<Outcome> {
  readonly outcome: Outcome;
  readonly book: Book;
}

/** Numbers above this are not exact, so that it is a limit of everything. */
const mostEver = Number.MAX_SAFE_INTEGER;

/** A budget that takes part, and what it is to count. */
interface Part {
  readonly budget: BudgetName;
  readonly held: Held;
  readonly state: BudgetState;
  readonly amounts: Consume["amounts"];
}

const counted = (before: Breaches | undefined, dimension: string, now: number): Breaches => ({
  count: (before?.count ?? 0) + 1,
  dimension,
  at: Timestamp.make(Math.floor(now)),
});

/** Each budget counts what it has a dimension for. */
const partsOf = (
  book: Book,
  { budgets, amounts, unallocated }: Consume,
  now: number,
): Result.Result<ReadonlyArray<Part>, BudgetNotFound | DimensionNotAllocated> => {
  const parts: Array<Part> = [];
  for (const budget of budgets) {
    const held = atTime(book.get(budget)!, now);
    const { state } = held;
    if (state === undefined) {
      if (unallocated === "refuse") return Result.fail(new BudgetNotFound({ budget }));
      continue;
    }
    const counts = Object.entries(amounts).filter(([name]) =>
      Object.hasOwn(state.dimensions, name)
    );
    if (counts.length === 0) continue;
    parts.push({ budget, held, state, amounts: Object.fromEntries(counts) });
  }
  const dimension = Object.keys(amounts).find((name) =>
    !parts.some((part) => Object.hasOwn(part.amounts, name))
  );
  return dimension === undefined || unallocated === "ignore"
    ? Result.succeed(parts)
    : Result.fail(new DimensionNotAllocated({ budgets, dimension }));
};

const breachesOf = ({ budget, state, amounts }: Part, leave: Consume["leave"]) =>
  Object.entries(amounts).flatMap(([dimension, amount]) => {
    const { hard: limit = mostEver, used } = state.dimensions[dimension]!;
    const left = limit - (own(leave ?? {}, dimension) ?? 0) - used;
    return amount > 0 && amount > left ? [{ budget, dimension, limit, used, left }] : [];
  });

const refuse = (
  book: Book,
  { execution, key }: Consume,
  breaching: ReadonlyArray<readonly [Part, ReadonlyArray<Breach & { readonly left: number }>]>,
  now: number,
): Decided<Consumed> => {
  const next = new Map(book);
  for (const [{ budget, held, state, amounts }, breaches] of breaching) {
    const dimensions = breaches.map(({ dimension }) => dimension);
    const hardBreaches = counted(state.hardBreaches, dimensions[0]!, now);
    const event = {
      type: "breached",
      amounts,
      dimensions,
      ...(execution === undefined ? {} : { execution }),
      ...(key === undefined ? {} : { key }),
    } as const;
    next.set(budget, after(held, { ...state, hardBreaches }, event));
  }
  const breaches = breaching.flatMap(([, breaches]) => breaches)
    .sort((a, b) => a.left - b.left)
    .map(({ left: _, ...breach }): Breach => breach);
  return { outcome: { outcome: "hardBreach", breaches }, book: next };
};

/** What one budget counts, and what that leads to. */
const apply = (part: Part, { overage, execution, key }: Consume, now: number) => {
  const { budget, held, state } = part;
  const before = state.dimensions;
  const amounts = mapValues(
    part.amounts,
    (amount, name) => Math.min(amount, mostEver - before[name]!.used),
  );
  const dimensions: Dimensions = {
    ...before,
    ...mapValues(amounts, (amount, name) => ({
      ...before[name]!,
      used: before[name]!.used + amount,
    })),
  };
  const breaches = Object.entries(amounts).flatMap(([dimension, amount]): ReadonlyArray<Breach> => {
    const { soft: limit = mostEver, used } = dimensions[dimension]!;
    return amount > 0 && used > limit ? [{ budget, dimension, limit, used }] : [];
  });
  const above = breaches.map(({ dimension }) => dimension);
  const event = {
    type: "consumed",
    amounts,
    ...(overage === "allow" ? { overage: true as const } : {}),
    ...(above.length === 0 ? {} : { above }),
    ...(execution === undefined ? {} : { execution }),
    ...(key === undefined ? {} : { key }),
  } as const;
  const next: BudgetState = {
    ...withKey(withSpending(state, execution, amounts), key, now),
    dimensions,
    ...(above.length === 0 ? {} : { softBreaches: counted(state.softBreaches, above[0]!, now) }),
  };
  const exhausted = Object.keys(dimensions).flatMap((dimension): Array<ExhaustedDimension> =>
    isExhausted(dimensions[dimension]!) ? [{ budget, dimension }] : []
  );
  return { held: after(held, next, event), breaches, exhausted };
};

/** Consumes from all budgets or from none. */
export const consume = (
  book: Book,
  command: Consume,
  now: number,
): Result.Result<Decided<Consumed>, BudgetNotFound | DimensionNotAllocated> => {
  const { budgets, overage, leave, key } = command;
  // Whoever repeats it may find that a budget is gone which there was the first time.
  const isKnown = budgets.some((budget) => {
    const { state } = book.get(budget)!;
    return state !== undefined && knowsKey(state, key);
  });
  if (isKnown) return Result.succeed({ outcome: { outcome: "alreadyApplied" }, book });
  return Result.map(partsOf(book, command, now), (parts) => {
    const breaching = parts.map((part) => [part, breachesOf(part, leave)] as const)
      .filter(([, breaches]) => breaches.length > 0);
    if (overage === "refuse" && breaching.length > 0) {
      return refuse(book, command, breaching, now);
    }
    const applied = parts.map((part) => [part.budget, apply(part, command, now)] as const);
    const next = new Map([
      ...book,
      ...applied.map(([budget, { held }]) => [budget, held] as const),
    ]);
    const exhausted = applied.flatMap(([, { exhausted }]) => exhausted);
    const breaches = applied.flatMap(([, { breaches }]) => breaches);
    const outcome: Consumed = breaches.length === 0
      ? { outcome: "ok", exhausted }
      : { outcome: "softBreach", breaches, exhausted };
    return { outcome, book: next };
  });
};
