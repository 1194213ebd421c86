/**
 * What the record of a budget says in the words of `work_event.ts`: an event for each dimension that
 * something happened to. That a budget is exhausted follows from its numbers and is never told; what
 * was refused, taken back or deleted has no word there.
 */
import * as Schema from "effect/Schema";
import type { BudgetName, Limits } from "./budget.ts";
import { type BudgetEvent, type BudgetRecord, isBudgetEvent } from "./budget_record.ts";
import { type OtherWorkFact, workEventKinds, type WorkFact } from "./work_event.ts";

const isLater = Schema.is(
  Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [Schema.JsonObject]),
);

const worksOf = (
  taskId: BudgetName,
  event: BudgetEvent,
  limits: { readonly [dimension: string]: Limits },
): ReadonlyArray<WorkFact> => {
  const replenished = (dimension: string, { hard }: Limits): WorkFact => ({
    kind: "budgetReplenished",
    taskId,
    dimension,
    ...(hard === undefined ? {} : { newLimit: hard }),
  });
  switch (event.type) {
    case "allocated":
      return Object.entries(event.limits).map(([dimension, { hard }]) => ({
        kind: "budgetAllocated",
        taskId,
        dimension,
        ...(hard === undefined ? {} : { limit: hard }),
      }));
    case "consumed":
      return Object.entries(event.amounts).map(([dimension, amount]) => ({
        kind: "budgetConsumed",
        taskId,
        dimension,
        amount,
      }));
    case "replenished":
      return Object.entries(event.limits).map(([dimension, each]) => replenished(dimension, each));
    // Usage begins at zero under the limit that was there.
    case "reset":
      return event.dimensions.map((dimension) => replenished(dimension, limits[dimension] ?? {}));
    case "breached":
    case "released":
    case "awaited":
    case "deleted":
      return [];
  }
};

/** What one record of a budget tells, in the order in which it happened. */
export const workOfBudget = (
  budget: BudgetName,
  { events, dimensions }: BudgetRecord,
): ReadonlyArray<WorkFact | OtherWorkFact> =>
  events.flatMap((event): ReadonlyArray<WorkFact | OtherWorkFact> => {
    if (isBudgetEvent(event)) return worksOf(budget, event, dimensions);
    const isOther = isLater(event) &&
      !(workEventKinds as ReadonlyArray<string>).includes(event.type);
    return isOther ? [{ kind: "other", raw: { kind: event.type, event } }] : [];
  });
