/**
 * What a budget remembers of who consumed: what each execution has spent, and the keys of what was
 * done. The latest are in its record; the oldest of too many move into records beside it, in the same
 * step, and are recalled when they are asked for. Nothing is forgotten on the way.
 */
import type { Spending, SpendRecord } from "../../schema/budget_record.ts";
import type { BudgetKey } from "../../schema/budget.ts";
import { type ExecutionId, Timestamp } from "../../schema/ids.ts";
import { type BudgetState, hasMovedSpendings, mapValues, own } from "./state.ts";

/** How long a key is remembered at least. */
export const keysKeptMs = 7 * 24 * 60 * 60 * 1_000;

/** Above so many keys, or spendings, the older half of them moves out of the record. */
const mostInRecord = 64;

type Amounts = Spending["amounts"];

/** Something that has a record of its own from now on. */
export type Moved =
  | { readonly key: BudgetKey; readonly record: SpendRecord; readonly ttlSeconds: number }
  | {
    readonly execution: ExecutionId;
    /** Nothing, if all was given back. */
    readonly record: SpendRecord | undefined;
  };

export const knowsKey = (state: BudgetState, key: BudgetKey | undefined): boolean =>
  key !== undefined && state.keys.some((known) => known.key === key);

/** Whether a key that is not in the record may be beside it. */
export const mayKnowKey = ({ keysMovedAt }: BudgetState, now: number): boolean =>
  keysMovedAt !== undefined && now - keysMovedAt < keysKeptMs;

export const withKey = (
  state: BudgetState,
  key: BudgetKey | undefined,
  now: number,
): BudgetState =>
  key === undefined
    ? state
    : { ...state, keys: [...state.keys, { key, at: Timestamp.make(Math.floor(now)) }] };

export const spendingOf = (
  { spendings }: BudgetState,
  execution: ExecutionId,
): Spending | undefined => spendings.find((spending) => spending.execution === execution);

/** Whether a spending that is not in the record may be beside it. */
export const maySpend = (state: BudgetState, execution: ExecutionId): boolean =>
  hasMovedSpendings(state) && spendingOf(state, execution) === undefined;

const replaced = (state: BudgetState, next: Spending): BudgetState => ({
  ...state,
  spendings: [
    ...state.spendings.filter(({ execution }) => execution !== next.execution),
    next,
  ],
});

/** As it is when an execution has spent more. */
export const withSpending = (
  state: BudgetState,
  execution: ExecutionId | undefined,
  amounts: Amounts,
): BudgetState => {
  if (execution === undefined) return state;
  const known = spendingOf(state, execution) ?? { execution, amounts: {} };
  const sums = mapValues(amounts, (amount, name) => (own(known.amounts, name) ?? 0) + amount);
  return replaced(state, { ...known, amounts: { ...known.amounts, ...sums } });
};

/** As it is when an execution has given everything back. */
export const withoutSpending = (state: BudgetState, execution: ExecutionId): BudgetState => {
  const known = spendingOf(state, execution);
  return known?.recalled === true ? replaced(state, { ...known, amounts: {} }) : {
    ...state,
    spendings: state.spendings.filter((spending) => spending.execution !== execution),
  };
};

/** Takes in what is beside the record, as far as it still counts. */
export const recalled = (
  state: BudgetState,
  name: { readonly key: BudgetKey } | { readonly execution: ExecutionId },
  record: SpendRecord,
): BudgetState => {
  if (record.kind === "key") {
    if (!("key" in name) || record.life !== state.life || knowsKey(state, name.key)) return state;
    // The oldest, so that it leaves again first.
    return { ...state, keys: [{ key: name.key, at: record.at }, ...state.keys] };
  }
  if (!("execution" in name) || !maySpend(state, name.execution)) return state;
  const counting = Object.entries(record.amounts).filter(([dimension, { since }]) =>
    own(state.dimensions, dimension)?.since === since
  );
  const amounts = Object.fromEntries(
    counting.map(([dimension, { amount }]) => [dimension, amount]),
  );
  if (counting.length === 0) return state;
  const spending: Spending = { execution: name.execution, amounts, recalled: true };
  return { ...state, spendings: [spending, ...state.spendings] };
};

/** What moves out of a record, and under which conditions. */
export interface Moving {
  readonly now: number;
  /** The record that the next one follows. */
  readonly revision: number;
  /** How much may move at once. */
  readonly room: number;
  /** How much of each stays at most. */
  readonly most?: number;
}

/** How many of so many are to move. */
const countOf = (length: number, { room, most = mostInRecord }: Moving): number =>
  length <= most ? 0 : Math.min(length - (most >> 1), room);

const moveKeys = (state: BudgetState, moving: Moving) => {
  const { now } = moving;
  const count = countOf(state.keys.length, moving);
  if (count === 0) return { state, moved: [] };
  const moved = state.keys.slice(0, count).flatMap(({ key, at }): ReadonlyArray<Moved> => {
    const ttlSeconds = Math.ceil((at + keysKeptMs - now) / 1_000);
    const record = { kind: "key", life: state.life, at } as const;
    return ttlSeconds < 1 ? [] : [{ key, record, ttlSeconds }];
  });
  return {
    state: {
      ...state,
      keys: state.keys.slice(count),
      ...(moved.length === 0 ? {} : { keysMovedAt: Timestamp.make(Math.floor(now)) }),
    },
    moved,
  };
};

const moveSpendings = (state: BudgetState, moving: Moving) => {
  const { revision } = moving;
  const count = countOf(state.spendings.length, moving);
  if (count === 0) return { state, moved: [] };
  const moved = state.spendings.slice(0, count).map(({ execution, amounts }): Moved => ({
    execution,
    record: Object.keys(amounts).length === 0 ? undefined : {
      kind: "spending",
      amounts: mapValues(
        amounts,
        (amount, name) => ({ amount, since: own(state.dimensions, name)?.since ?? revision }),
      ),
    },
  }));
  return {
    state: { ...state, spendings: state.spendings.slice(count), spendingsMovedAfter: revision },
    moved,
  };
};

/** What a record holds after the next one, and what moves out of it. */
export const settled = (
  state: BudgetState,
  moving: Moving,
): { readonly state: BudgetState; readonly moved: ReadonlyArray<Moved> } => {
  const keys = moveKeys(state, moving);
  const room = moving.room - keys.moved.length;
  const spendings = moveSpendings(keys.state, { ...moving, room });
  return { state: spendings.state, moved: [...keys.moved, ...spendings.moved] };
};
