/**
 * What Weir counts. Names begin with `weir_`; an application exports them with the Effect metrics
 * exporter of its choice. Counting happens beside the work and never fails it.
 */
import type * as Context from "effect/Context";
import type * as Exit from "effect/Exit";
import * as Metric from "effect/Metric";

const appends = Metric.counter("weir_appends", {
  description: "Appends by outcome: stored, duplicate, or the tag of the error",
  incremental: true,
});

const outcomes = new Map<string, Metric.Counter<number>>();

const outcome = (name: string): Metric.Counter<number> => {
  let metric = outcomes.get(name);
  if (metric === undefined) {
    outcomes.set(name, metric = Metric.withAttributes(appends, { outcome: name }));
  }
  return metric;
};

/** Counts one append by how it ended. */
export const countAppend = (
  exit: Exit.Exit<{ readonly duplicate: boolean }, { readonly _tag: string }>,
  context: Context.Context<never>,
): void => {
  const name = exit._tag === "Success"
    ? exit.value.duplicate ? "duplicate" : "stored"
    : exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error._tag ?? "defect";
  outcome(name).updateUnsafe(1, context);
};

/** Records that a reader met and passed over, because they cannot be what their subject says. */
export const skippedRecords = Metric.counter("weir_skipped_records", {
  description: "Malformed records that a reader passed over",
  incremental: true,
});
