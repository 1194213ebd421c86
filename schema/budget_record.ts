/**
 * A budget as it is stored: what has happened, and what follows from all that ever did. One record is
 * one write, which may hold the events of several callers, in order. What an exhausted budget is
 * follows from the numbers and is stored nowhere.
 */
import * as Schema from "effect/Schema";
import { Breaches, BudgetKey, Limits } from "./budget.ts";
import { ExecutionId, Timestamp } from "./ids.ts";
import { record } from "./record.ts";
import { Route } from "./route.ts";

const caused = {
  /** Under which it was asked for. */
  key: Schema.optionalKey(BudgetKey),
};
const spent = { ...caused, execution: Schema.optionalKey(ExecutionId) };
const dimensions = Schema.Array(Schema.String);
const byDimension = <Value extends Schema.Constraint>(value: Value) =>
  Schema.Record(Schema.String, value);

/** Something that happened to a budget. */
export const BudgetEvent = Schema.Union([
  Schema.Struct({
    type: Schema.tag("allocated"),
    limits: byDimension(Limits),
    /** Nothing, if usage never returns to zero by itself. */
    resetEveryMs: Schema.optionalKey(Schema.Natural),
    ...caused,
  }),
  Schema.Struct({
    type: Schema.tag("consumed"),
    amounts: byDimension(Schema.Natural),
    /** Whether no hard limit was to stand in its way. */
    overage: Schema.optionalKey(Schema.Literal(true)),
    /** The dimensions whose soft limit it went above. */
    above: Schema.optionalKey(dimensions),
    ...spent,
  }),
  /** Nothing was consumed, since a hard limit forbade it. */
  Schema.Struct({
    type: Schema.tag("breached"),
    amounts: byDimension(Schema.Natural),
    dimensions,
    ...spent,
  }),
  /** Limits are new and the usage of their dimensions is zero. */
  Schema.Struct({ type: Schema.tag("replenished"), limits: byDimension(Limits), ...caused }),
  /** Usage is zero, by somebody's wish or since an interval is over. */
  Schema.Struct({
    type: Schema.tag("reset"),
    dimensions,
    by: Schema.Literals(["caller", "interval"]),
    ...caused,
  }),
  /** What an execution has consumed is taken back. */
  Schema.Struct({
    type: Schema.tag("released"),
    amounts: byDimension(Schema.Natural),
    execution: ExecutionId,
  }),
  /** An execution waits until there is enough of a dimension again. */
  Schema.Struct({
    type: Schema.tag("awaited"),
    execution: ExecutionId,
    dimension: Schema.String,
  }),
  Schema.Struct({ type: Schema.tag("deleted") }),
]).pipe(Schema.toTaggedUnion("type"));
export type BudgetEvent = typeof BudgetEvent.Type;

/** Tells what this release knows from what a later one adds. */
export const isBudgetEvent = Schema.is(BudgetEvent);

/** What an execution has consumed and not given back, since usage was zero last. */
export const Spending = Schema.Struct({
  execution: ExecutionId,
  amounts: byDimension(Schema.Natural),
  /** Whether there is an older record of it beside the budget, which says nothing while this is here. */
  recalled: Schema.optionalKey(Schema.Literal(true)),
});
export type Spending = typeof Spending.Type;

/** The body of the bucket key `budget.<tenant>.<name>`. */
export const BudgetRecord = Schema.Struct({
  kind: Schema.tag("budget"),
  /** What was written at once; those of a later release are kept as they are. */
  events: Schema.Array(Schema.Json),
  dimensions: byDimension(Schema.Struct({
    hard: Schema.optionalKey(Schema.Natural),
    soft: Schema.optionalKey(Schema.Natural),
    used: Schema.Natural,
    /** Behind which record usage began at zero: spendings of before count no more. */
    since: Schema.Natural,
  })),
  resetEveryMs: Schema.optionalKey(Schema.Natural),
  /** When the present interval began. */
  intervalStartedAt: Timestamp,
  hardBreaches: Schema.optionalKey(Breaches),
  softBreaches: Schema.optionalKey(Breaches),
  /** The latest spendings and keys, oldest first; others have records of their own. */
  spendings: Schema.Array(Spending),
  keys: Schema.Array(Schema.Struct({ key: BudgetKey, at: Timestamp })),
  /** Behind which record spendings were moved out of here last, and when keys were. */
  spendingsMovedAfter: Schema.optionalKey(Schema.Natural),
  keysMovedAt: Schema.optionalKey(Timestamp),
  /** If anybody waits: the least of each dimension that one of them needs. */
  awaited: Schema.optionalKey(byDimension(Schema.Natural)),
  /** Behind which record the budget began; what is beside it from before is of another. */
  life: Schema.Natural,
  /** How many records it has had. */
  records: Schema.Natural,
});
export type BudgetRecord = typeof BudgetRecord.Type;

export const budgetRecord = record(1, BudgetRecord);

/** The bodies beside a budget, on subjects `spend`: what has no room in its record any more. */
export const SpendRecord = Schema.Union([
  Schema.Struct({
    kind: Schema.tag("spending"),
    /** With the `since` of the dimension at that time. */
    amounts: byDimension(Schema.Struct({ amount: Schema.Natural, since: Schema.Natural })),
  }),
  Schema.Struct({ kind: Schema.tag("key"), life: Schema.Natural, at: Timestamp }),
]).pipe(Schema.toTaggedUnion("kind"));
export type SpendRecord = typeof SpendRecord.Type;

export const spendRecord = record(1, SpendRecord);

/** An execution that is told when a budget has room again, on subjects `spend` as well. */
export const WaiterRecord = Schema.Struct({
  kind: Schema.tag("waiter"),
  execution: ExecutionId,
  /** The sequence of its start, and which of its waits it is. */
  life: Schema.Natural,
  turn: Schema.String,
  dimension: Schema.String,
  route: Schema.optionalKey(Route),
});
export type WaiterRecord = typeof WaiterRecord.Type;

export const waiterRecord = record(1, Schema.Union([WaiterRecord]));

/**
 * The body of the message that has those who wait for a budget told: it has room again, or, if there
 * is a time, an interval of it is over then.
 */
export const BudgetBell = Schema.Struct({
  kind: Schema.tag("bell"),
  due: Schema.optionalKey(Timestamp),
});
export type BudgetBell = typeof BudgetBell.Type;

export const budgetBell = record(1, Schema.Union([BudgetBell]));
