/**
 * Waiting for a budget: who waits is stored together with the budget by which it was decided, and who
 * gives it room again stores, in the same step, that those who wait are to be told. So neither can miss
 * the other. It reads no clock and stores nothing.
 */
import type { BudgetName } from "../../schema/budget.ts";
import type { Timestamp } from "../../schema/ids.ts";
import type { Await, Awaited, Elapse, Elapsed, ExhaustedDimension } from "./command.ts";
import type { Book, Decided } from "./consume.ts";
import { after, atTime, type BudgetState, type Held, own, resetsAt } from "./state.ts";

/** How much there is left of a dimension; of what nobody limits there is no end. */
const leftOf = ({ dimensions }: BudgetState, name: string): number => {
  const { hard = Infinity, used = 0 } = own(dimensions, name) ?? {};
  return hard - used;
};

/** The first dimension of which too little is left, and how much is needed. */
const lacking = (
  state: BudgetState,
  needs: Await["needs"],
): readonly [dimension: string, need: number] | undefined =>
  Object.keys(state.dimensions)
    .map((name) => [name, needs === undefined ? 1 : own(needs, name) ?? 0] as const)
    .find(([name, need]) => need > 0 && leftOf(state, name) < need);

/** What there is nothing left of in a budget. */
export const lackOf = (budget: BudgetName, { state }: Held): ExhaustedDimension | undefined => {
  const found = state === undefined ? undefined : lacking(state, undefined);
  return found === undefined ? undefined : { budget, dimension: found[0] };
};

/** Whether somebody who waits may go on. */
const hasRoom = (state: BudgetState): boolean =>
  Object.entries(state.awaited ?? {}).some(([name, need]) => leftOf(state, name) >= need);

/** Waits for the first of the budgets that has too little left. */
export const wait = (
  book: Book,
  { budgets, needs, waiter }: Await,
  now: number,
): Decided<Awaited> => {
  for (const budget of budgets) {
    const held = atTime(book.get(budget)!, now);
    const { state } = held;
    const found = state === undefined ? undefined : lacking(state, needs);
    if (state === undefined || found === undefined) continue;
    const [dimension, need] = found;
    const least = Math.min(need, own(state.awaited ?? {}, dimension) ?? Infinity);
    const { execution } = waiter;
    const next = after(
      held,
      { ...state, awaited: { ...state.awaited, [dimension]: least } },
      { type: "awaited", execution, dimension },
    );
    const waiters = [...held.waiters ?? [], { kind: "waiter" as const, ...waiter, dimension }];
    return {
      outcome: { outcome: "waits", budget, dimension },
      book: new Map([...book, [budget, { ...next, waiters }]]),
    };
  }
  return { outcome: { outcome: "open" }, book };
};

/** Has usage begin at zero, if anybody waits for that. */
export const elapse = (
  book: Book,
  { budgets: [budget], due }: Elapse,
  now: number,
): Decided<Elapsed> => {
  const before = book.get(budget)!;
  if (now < due) return { outcome: { outcome: "early" }, book };
  const isAwaited = before.state?.awaited !== undefined;
  return {
    outcome: { outcome: "ok" },
    book: isAwaited ? new Map([...book, [budget, atTime(before, now)]]) : book,
  };
};

/** A budget that is to be stored: without those who wait, if they are to be told. */
export const roused = (
  budget: BudgetName,
  before: BudgetState | undefined,
  { state, waiters }: Held,
): {
  readonly budget: BudgetName;
  readonly state: BudgetState | undefined;
  readonly rings: boolean;
} => {
  if (state === undefined) {
    return { budget, state, rings: before?.awaited !== undefined || waiters !== undefined };
  }
  if (!hasRoom(state)) return { budget, state, rings: false };
  const { awaited: _, ...rest } = state;
  return { budget, state: rest, rings: true };
};

/** When an interval is over for which somebody waits, if that is not known to the server yet. */
export const newDue = (
  before: BudgetState | undefined,
  state: BudgetState | undefined,
): Timestamp | undefined => {
  const dueOf = (budget: BudgetState | undefined) =>
    budget?.awaited === undefined ? undefined : resetsAt(budget);
  const due = dueOf(state);
  return due === dueOf(before) ? undefined : due;
};
