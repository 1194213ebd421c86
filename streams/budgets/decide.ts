/**
 * What becomes of budgets when something is asked of them: the outcome, and what they are afterwards.
 * It is the same whoever decides it, on the same budgets at the same time; it reads no clock and
 * stores nothing. Whoever stores what follows must see to it that nothing has changed meanwhile.
 */
import * as Result from "effect/Result";
import { type BudgetName, type Limits, maxDimensions } from "../../schema/budget.ts";
import {
  BudgetNotFound,
  type BudgetProblem,
  DimensionNotAllocated,
  TooManyDimensions,
} from "../../schema/budget_errors.ts";
import { Timestamp } from "../../schema/ids.ts";
import type {
  Allocate,
  Changed,
  Command,
  Delete,
  Deleted,
  LimitInputs,
  Outcome,
  Release,
  Released,
  Replenish,
  Reset,
} from "./command.ts";
import { type Book, consume, type Decided } from "./consume.ts";
import { knowsKey, spendingOf, withKey, withoutSpending } from "./facts.ts";
import { after, atTime, type BudgetState, type Held, mapValues, own, zeroed } from "./state.ts";
import { elapse, wait } from "./wait.ts";

export type { Book, Decided } from "./consume.ts";

const limitsOf = (given: LimitInputs): { readonly [dimension: string]: Limits } =>
  mapValues(given, (limit) => typeof limit === "number" ? { hard: limit } : limit);

const changed = (book: Book, budget: BudgetName, held: Held): Decided<Changed> => ({
  outcome: { outcome: "ok" },
  book: new Map([...book, [budget, held]]),
});

const unchanged = (book: Book): Decided<Changed> => ({
  outcome: { outcome: "alreadyApplied" },
  book,
});

const keyed = ({ key }: { readonly key?: Allocate["key"] }) => (key === undefined ? {} : { key });

const allocate = (
  book: Book,
  command: Allocate,
  now: number,
): Result.Result<Decided<Changed>, TooManyDimensions> => {
  const { budgets: [budget], key } = command;
  const held = atTime(book.get(budget)!, now);
  if (held.state !== undefined && knowsKey(held.state, key)) return Result.succeed(unchanged(book));
  const limits = limitsOf(command.limits);
  const { resetEveryMs: before, ...known }: BudgetState = held.state ?? {
    dimensions: {},
    intervalStartedAt: Timestamp.make(Math.floor(now)),
    spendings: [],
    keys: [],
    life: held.revision,
  };
  const dimensions = {
    ...known.dimensions,
    ...mapValues(limits, (limit, name) => {
      const { used = 0, since = held.revision } = own(known.dimensions, name) ?? {};
      return { ...limit, used, since };
    }),
  };
  if (Object.keys(dimensions).length > maxDimensions) {
    return Result.fail(new TooManyDimensions({ budget, limit: maxDimensions }));
  }
  const { resetEveryMs: asked = before } = command;
  const resetEveryMs = asked === undefined || asked === "never" ? {} : { resetEveryMs: asked };
  const state = {
    ...withKey(known, key, now),
    dimensions,
    ...resetEveryMs,
    ...(asked === before ? {} : { intervalStartedAt: Timestamp.make(Math.floor(now)) }),
  };
  const event = { type: "allocated", limits, ...resetEveryMs, ...keyed(command) } as const;
  return Result.succeed(changed(book, budget, after(held, state, event)));
};

/** A budget that is there, and has what is asked for. */
const known = (
  book: Book,
  budget: BudgetName,
  dimensions: ReadonlyArray<string>,
  now: number,
): Result.Result<
  { readonly held: Held; readonly state: BudgetState },
  BudgetNotFound | DimensionNotAllocated
> => {
  const held = atTime(book.get(budget)!, now);
  const { state } = held;
  if (state === undefined) return Result.fail(new BudgetNotFound({ budget }));
  const dimension = dimensions.find((name) => !Object.hasOwn(state.dimensions, name));
  return dimension === undefined
    ? Result.succeed({ held, state })
    : Result.fail(new DimensionNotAllocated({ budgets: [budget], dimension }));
};

const replenish = (book: Book, command: Replenish, now: number) => {
  const { budgets: [budget], key } = command;
  const limits = limitsOf(command.limits);
  const names = Object.keys(limits);
  return Result.map(known(book, budget, names, now), ({ held, state }) => {
    if (knowsKey(state, key)) return unchanged(book);
    const empty = zeroed(state, names, held.revision);
    const dimensions = {
      ...empty.dimensions,
      ...mapValues(limits, (limit, name) => ({ ...empty.dimensions[name]!, ...limit })),
    };
    const event = { type: "replenished", limits, ...keyed(command) } as const;
    const next = { ...withKey(empty, key, now), dimensions };
    return changed(book, budget, after(held, next, event));
  });
};

const reset = (book: Book, command: Reset, now: number) => {
  const { budgets: [budget], key, dimensions: asked } = command;
  return Result.map(known(book, budget, asked ?? [], now), ({ held, state }) => {
    if (knowsKey(state, key)) return unchanged(book);
    const dimensions = asked ?? Object.keys(state.dimensions);
    const next = {
      ...withKey(zeroed(state, dimensions, held.revision), key, now),
      // What was reset as a whole begins anew, and so does its interval.
      ...(asked === undefined ? { intervalStartedAt: Timestamp.make(Math.floor(now)) } : {}),
    };
    const event = { type: "reset", dimensions, by: "caller", ...keyed(command) } as const;
    return changed(book, budget, after(held, next, event));
  });
};

const release = (
  book: Book,
  { budgets, execution, key }: Release,
  now: number,
): Decided<Released> => {
  const next = new Map(book);
  const amounts: Array<readonly [BudgetName, Released["amounts"][string]]> = [];
  for (const budget of budgets) {
    const held = atTime(book.get(budget)!, now);
    const { state } = held;
    const spending = state === undefined ? undefined : spendingOf(state, execution);
    if (state === undefined || spending === undefined || knowsKey(state, key)) continue;
    if (Object.keys(spending.amounts).length === 0) continue;
    amounts.push([budget, spending.amounts]);
    const dimensions = mapValues(state.dimensions, (dimension, name) => ({
      ...dimension,
      used: dimension.used - (own(spending.amounts, name) ?? 0),
    }));
    const event = { type: "released", amounts: spending.amounts, execution } as const;
    next.set(
      budget,
      after(held, { ...withKey(withoutSpending(state, execution), key, now), dimensions }, event),
    );
  }
  const outcome = amounts.length === 0 ? "nothingSpent" : "released";
  return { outcome: { outcome, amounts: Object.fromEntries(amounts) }, book: next };
};

const remove = (book: Book, { budgets: [budget] }: Delete): Decided<Deleted> => {
  const held = book.get(budget)!;
  return held.state === undefined ? { outcome: { outcome: "notFound" }, book } : {
    outcome: { outcome: "deleted" },
    book: new Map([...book, [budget, after(held, undefined, { type: "deleted" })]]),
  };
};

const decideAny = (
  book: Book,
  command: Command,
  now: number,
): Result.Result<Decided<Outcome<Command>>, BudgetProblem> => {
  switch (command.type) {
    case "allocate":
      return allocate(book, command, now);
    case "consume":
      return consume(book, command, now);
    case "replenish":
      return replenish(book, command, now);
    case "reset":
      return reset(book, command, now);
    case "release":
      return Result.succeed(release(book, command, now));
    case "delete":
      return Result.succeed(remove(book, command));
    case "await":
      return Result.succeed(wait(book, command, now));
    case "elapse":
      return Result.succeed(elapse(book, command, now));
  }
};

/** Decides a command on the budgets that it names, all of which are in the book. */
export const decide = <C extends Command>(book: Book, command: C, now: number) =>
  decideAny(book, command, now) as Result.Result<Decided<Outcome<C>>, BudgetProblem>;
