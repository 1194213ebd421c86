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

/** The metrics of one name, by the values of their labels, which must be few. */
export const labelled = <Input, State>(
  metric: Metric.Metric<Input, State>,
  ...labels: ReadonlyArray<string>
) => {
  const known = new Map<string, Metric.Metric<Input, State>>();
  return (...values: ReadonlyArray<string>): Metric.Metric<Input, State> => {
    const key = values.join(" ");
    let found = known.get(key);
    if (found === undefined) {
      const attributes = Object.fromEntries(labels.map((label, at) => [label, values[at] ?? ""]));
      known.set(key, found = Metric.withAttributes(metric, attributes));
    }
    return found;
  };
};

const outcome = labelled(appends, "outcome");

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

/** Records of leases that this process has written: a claim after a death is `reclaimed`. */
export const leaseRecords = labelled(
  Metric.counter("weir_lease_records", {
    description: "Records of leases, by kind",
    incremental: true,
  }),
  "kind",
);

/** What a worker that owns an execution said when another wanted to hand it a message. */
export const handOvers = labelled(
  Metric.counter("weir_hand_overs", {
    description: "Messages for the owner of an execution, by what became of them",
    incremental: true,
  }),
  "verdict",
);

/** How often this process has lost its connection, and has it again. */
export const connectionChanges = labelled(
  Metric.counter("weir_connection_changes", {
    description: "Changes of the connection to NATS, by what it is afterwards",
    incremental: true,
  }),
  "to",
);

/** Records that a reader passed over: they cannot be what their subject says, or lost their payload. */
export const skippedRecords = Metric.counter("weir_skipped_records", {
  description: "Records that a reader passed over: malformed, or without their payload",
  incremental: true,
});
