/**
 * What may be asked of budgets, as it is decided upon: everything in it has been checked. A command
 * happens as a whole or not at all, whatever number of budgets it is about.
 */
import type { Amounts, BudgetKey, BudgetName, LimitInput } from "../../schema/budget.ts";
import type { WaiterRecord } from "../../schema/budget_record.ts";
import type { ExecutionId, Timestamp } from "../../schema/ids.ts";

export type LimitInputs = { readonly [dimension: string]: LimitInput };

export interface Allocate {
  readonly type: "allocate";
  readonly budgets: readonly [BudgetName];
  readonly limits: LimitInputs;
  /** Left out, it stays as it is; `"never"` ends it. */
  readonly resetEveryMs?: number | "never";
  readonly key?: BudgetKey;
}

export interface Consume {
  readonly type: "consume";
  readonly budgets: ReadonlyArray<BudgetName>;
  readonly amounts: Amounts;
  readonly overage: "refuse" | "allow";
  readonly unallocated: "refuse" | "ignore";
  readonly leave?: Amounts;
  readonly execution?: ExecutionId;
  readonly key?: BudgetKey;
}

export interface Replenish {
  readonly type: "replenish";
  readonly budgets: readonly [BudgetName];
  readonly limits: LimitInputs;
  readonly key?: BudgetKey;
}

export interface Reset {
  readonly type: "reset";
  readonly budgets: readonly [BudgetName];
  /** All, if left out. */
  readonly dimensions?: ReadonlyArray<string>;
  readonly key?: BudgetKey;
}

export interface Release {
  readonly type: "release";
  readonly budgets: ReadonlyArray<BudgetName>;
  readonly execution: ExecutionId;
  readonly key?: BudgetKey;
}

export interface Delete {
  readonly type: "delete";
  readonly budgets: readonly [BudgetName];
}

/** To wait, if there is not enough left; whoever gives more tells it. */
export interface Await {
  readonly type: "await";
  readonly budgets: ReadonlyArray<BudgetName>;
  /** How much must be left below the hard limits; something of every dimension, if left out. */
  readonly needs?: Amounts;
  readonly waiter: Waiter;
}

/** Who waits. */
export type Waiter = Omit<WaiterRecord, "kind" | "dimension">;

/** An interval of a budget is over, for which somebody has waited. */
export interface Elapse {
  readonly type: "elapse";
  readonly budgets: readonly [BudgetName];
  readonly due: Timestamp;
}

export type Command = Allocate | Consume | Replenish | Reset | Release | Delete | Await | Elapse;

/** A limit that a consumption met. */
export interface Breach {
  readonly budget: BudgetName;
  readonly dimension: string;
  readonly limit: number;
  /** After the consumption where it was applied, before it where not. */
  readonly used: number;
}

/** What has become of a consumption. */
export type Consumed =
  /** It is counted, and `exhausted` names what nothing is left of now. */
  | { readonly outcome: "ok"; readonly exhausted: ReadonlyArray<ExhaustedDimension> }
  /** The same, and it went above soft limits. */
  | {
    readonly outcome: "softBreach";
    readonly breaches: ReadonlyArray<Breach>;
    readonly exhausted: ReadonlyArray<ExhaustedDimension>;
  }
  /** Nothing of it is counted anywhere. The breach with the least left comes first. */
  | { readonly outcome: "hardBreach"; readonly breaches: ReadonlyArray<Breach> }
  /** The key was used before, and nothing changed. */
  | { readonly outcome: "alreadyApplied" };

export interface ExhaustedDimension {
  readonly budget: BudgetName;
  readonly dimension: string;
}

/** What has become of a release: what was taken back, budget by budget. */
export interface Released {
  /** Whether anything was. */
  readonly outcome: "released" | "nothingSpent";
  readonly amounts: { readonly [budget: string]: Amounts };
}

/** Whether a change was made, or had been made under its key before. */
export interface Changed {
  readonly outcome: "ok" | "alreadyApplied";
}

export interface Deleted {
  /** Whether there was a budget. */
  readonly outcome: "deleted" | "notFound";
}

/** Whether it has to wait, and for what. */
export type Awaited =
  | { readonly outcome: "open" }
  | ({ readonly outcome: "waits" } & ExhaustedDimension);

export interface Elapsed {
  /** `early`, if it is not over yet by this clock. */
  readonly outcome: "ok" | "early";
}

/** The outcome of each command. */
export type Outcome<C extends Command> = C extends Consume ? Consumed
  : C extends Release ? Released
  : C extends Delete ? Deleted
  : C extends Await ? Awaited
  : C extends Elapse ? Elapsed
  : Changed;
