/**
 * What a worker counts of the executions that it runs. Names begin with `weir_`; somebody who sees
 * nothing else can tell from them whether workers die, freeze, lose their leases or cannot read.
 */
import * as Metric from "effect/Metric";
import { labelled } from "../../streams/metrics.ts";

const counter = (name: string, description: string) =>
  Metric.counter(name, { description, incremental: true });

const seconds = (name: string, description: string) =>
  Metric.histogram(name, {
    description,
    boundaries: Metric.exponentialBoundaries({ start: 0.001, factor: 2.5, count: 15 }),
  });

/** Ends of executions: `success`, `failure`, `cancelled`, `expired` or `skipped`. */
export const executionsEnded = labelled(
  counter("weir_executions_ended", "Executions that this process has ended, by outcome"),
  "actor",
  "outcome",
);

/**
 * Runs of an actor's code in this process: `success`, `failure`, `timeout`, `cancelled`, `expired`,
 * `skipped` and `continued` by how they end, `suspended` if they waited too long to stay in memory,
 * `released` to another worker, and `lost` if the execution was somebody else's by then.
 */
export const attempts = labelled(
  counter("weir_attempts", "Runs of an actor's code in this process, by how they ended"),
  "actor",
  "result",
);

export const attemptSeconds = labelled(
  seconds("weir_attempt_seconds", "How long a run of an actor's code was in this process"),
  "actor",
);

export const startLagSeconds = seconds(
  "weir_start_lag_seconds",
  "How long after it was due an execution was first taken up",
);

/** What kept an execution from being taken up, by the tag of the error. */
export const takeUpsFailed = labelled(
  counter("weir_take_ups_failed", "Executions that could not be taken up, by the error"),
  "error",
);

export const recoverySeconds = seconds(
  "weir_recovery_seconds",
  "How long it took to claim and read an execution that somebody had before",
);

export const recoveredRecords = counter(
  "weir_recovered_records",
  "Records that were read to take up what somebody had before",
);
