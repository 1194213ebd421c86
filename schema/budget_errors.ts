/**
 * Failures of budgets: what cannot be done to one. The same form as in `errors.ts`. That a limit
 * forbids a consumption is no failure but an outcome.
 */
import * as Schema from "effect/Schema";

/** The tenant has no budget of this name. */
export class BudgetNotFound extends Schema.TaggedError<BudgetNotFound>("@weir/weir/BudgetNotFound")(
  "BudgetNotFound",
  { budget: Schema.String },
) {
  readonly code = "WEIR_BUDGET_NOT_FOUND";
  readonly retryable = false;
  override get message(): string {
    return `There is no budget ${JSON.stringify(this.budget)}, and nothing was changed. ` +
      `Check name and tenant, or allocate it.`;
  }
}

/** None of the budgets limits this dimension. */
export class DimensionNotAllocated
  extends Schema.TaggedError<DimensionNotAllocated>("@weir/weir/DimensionNotAllocated")(
    "DimensionNotAllocated",
    { budgets: Schema.Array(Schema.String), dimension: Schema.String },
  ) {
  readonly code = "WEIR_DIMENSION_NOT_ALLOCATED";
  readonly retryable = false;
  override get message(): string {
    return `${this.budgets.map((name) => JSON.stringify(name)).join(", ")} has no dimension ` +
      `${this.dimension}, and nothing was changed. Check its name, or allocate it.`;
  }
}

/** A limit of zero, with which nothing could ever be consumed. */
export class ZeroLimit extends Schema.TaggedError<ZeroLimit>("@weir/weir/ZeroLimit")(
  "ZeroLimit",
  { budget: Schema.String, dimension: Schema.String },
) {
  readonly code = "WEIR_ZERO_LIMIT";
  readonly retryable = false;
  override get message(): string {
    return `A limit of 0 for ${this.dimension} of the budget ${JSON.stringify(this.budget)} is ` +
      `refused. Choose at least 1; to close a dimension, replenish it with 0.`;
  }
}

/** The budget would have more dimensions than one may have. */
export class TooManyDimensions
  extends Schema.TaggedError<TooManyDimensions>("@weir/weir/TooManyDimensions")(
    "TooManyDimensions",
    { budget: Schema.String, limit: Schema.Number },
  ) {
  readonly code = "WEIR_TOO_MANY_DIMENSIONS";
  readonly retryable = false;
  override get message(): string {
    return `The budget ${JSON.stringify(this.budget)} has at most ${this.limit} dimensions. ` +
      `Choose another budget for the rest, and consume from both.`;
  }
}

/** Every error of budgets. */
export type BudgetProblem = BudgetNotFound | DimensionNotAllocated | ZeroLimit | TooManyDimensions;
