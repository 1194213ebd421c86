/**
 * A budget as it is decided upon: what its record holds, and what has happened to it since. Usage
 * returns to zero here when an interval is over, whenever somebody looks. It reads no clock and
 * stores nothing.
 */
import type { Budget, BudgetName, Dimension } from "../../schema/budget.ts";
import type {
  BudgetEvent,
  BudgetRecord,
  Spending,
  WaiterRecord,
} from "../../schema/budget_record.ts";
import { longestMs, Timestamp } from "../../schema/ids.ts";

export type BudgetState = Omit<BudgetRecord, "kind" | "events" | "records">;
export type Dimensions = BudgetState["dimensions"];

/** A budget as it was read, or as it is to be after what has been decided since. */
export interface Held {
  /** The record that the next one follows. */
  readonly revision: number;
  /** How many records it has had. */
  readonly records: number;
  /** Nothing, if there is no such budget. */
  readonly state: BudgetState | undefined;
  /** What is to be stored. */
  readonly events: ReadonlyArray<BudgetEvent>;
  /** Who is to be told when there is room again, since it was read. */
  readonly waiters?: ReadonlyArray<WaiterRecord>;
}

/** The value under a name of the caller's choice, which may be that of a method. */
export const own = <Value>(
  record: { readonly [name: string]: Value },
  name: string,
): Value | undefined => Object.hasOwn(record, name) ? record[name] : undefined;

/** Something else about each. */
export const mapValues = <Value, Other>(
  record: { readonly [name: string]: Value },
  other: (value: Value, name: string) => Other,
): { readonly [name: string]: Other } =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, other(value, name)]));

/** Whether records beside the budget may hold spendings that count. */
export const hasMovedSpendings = ({ spendingsMovedAfter, dimensions }: BudgetState): boolean =>
  spendingsMovedAfter !== undefined &&
  Object.values(dimensions).some(({ since }) => since <= spendingsMovedAfter);

/** Usage of some dimensions is zero from here on: nobody has spent anything of them. */
export const zeroed = (
  state: BudgetState,
  names: ReadonlyArray<string>,
  revision: number,
): BudgetState => {
  const isZeroed = new Set(names);
  const next: BudgetState = {
    ...state,
    dimensions: mapValues(
      state.dimensions,
      (dimension, name) =>
        isZeroed.has(name) ? { ...dimension, used: 0, since: revision } : dimension,
    ),
  };
  // An empty one still stands before what an older record says.
  const counts = ({ amounts, recalled }: Spending) =>
    Object.keys(amounts).length > 0 || (recalled === true && hasMovedSpendings(next));
  const spendings = state.spendings.map((spending) => ({
    ...spending,
    amounts: Object.fromEntries(
      Object.entries(spending.amounts).filter(([name]) => !isZeroed.has(name)),
    ),
  }));
  return { ...next, spendings: spendings.filter(counts) };
};

/** When usage returns to zero by itself; longer intervals, which older records may have, are cut. */
export const resetsAt = ({ resetEveryMs, intervalStartedAt }: BudgetState): Timestamp | undefined =>
  resetEveryMs === undefined
    ? undefined
    : Timestamp.make(intervalStartedAt + Math.min(resetEveryMs, longestMs));

/** As it is at a time: with usage at zero again, if an interval is over. */
export const atTime = (held: Held, now: number): Held => {
  const { state, revision, events } = held;
  if (state?.resetEveryMs === undefined) return held;
  const { resetEveryMs, intervalStartedAt } = state;
  const passed = Math.floor((now - intervalStartedAt) / resetEveryMs);
  if (passed < 1) return held;
  const dimensions = Object.keys(state.dimensions);
  return {
    ...held,
    state: {
      ...zeroed(state, dimensions, revision),
      intervalStartedAt: Timestamp.make(intervalStartedAt + passed * resetEveryMs),
    },
    events: [...events, { type: "reset", dimensions, by: "interval" }],
  };
};

/** The next state, and what has brought it about. */
export const after = (held: Held, state: BudgetState | undefined, event: BudgetEvent): Held => ({
  ...held,
  state,
  events: [...held.events, event],
});

export const isExhausted = ({ hard, used }: Dimensions[string]): boolean =>
  hard !== undefined && used >= hard;

/** What a budget says of itself. */
export const describe = (name: BudgetName, state: BudgetState): Budget => {
  const { resetEveryMs, hardBreaches, softBreaches } = state;
  const at = resetsAt(state);
  const dimensions = mapValues(state.dimensions, (dimension): Dimension => {
    const { since: _, ...shown } = dimension;
    const { hard, used } = shown;
    return {
      ...shown,
      ...(hard === undefined ? {} : { left: Math.max(0, hard - used) }),
      exhausted: isExhausted(dimension),
    };
  });
  return {
    name,
    dimensions,
    exhausted: Object.values(dimensions).some(({ exhausted }) => exhausted),
    ...(resetEveryMs === undefined || at === undefined ? {} : { resetEveryMs, resetsAt: at }),
    ...(hardBreaches === undefined ? {} : { hardBreaches }),
    ...(softBreaches === undefined ? {} : { softBreaches }),
  };
};
