/**
 * What is counted, as Prometheus reads it: everything in this process's registry, and under
 * ActionQueue's names what can be told truly. A number that nobody knows is left out rather than
 * guessed.
 */
import * as Context from "effect/Context";
import * as Metric from "effect/Metric";
import type { RunState } from "../../schema/run_state.ts";
import { endStates } from "../core/run_state.ts";
import { countedTo, countRuns } from "./counts.ts";
import { prompt } from "./prompt.ts";
import type { ServedWeir } from "./route.ts";

export const mediaType = "text/plain; version=0.0.4; charset=utf-8";

interface Sample {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

const quoted = (text: string): string =>
  `"${text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"')}"`;

const lineOf = ({ name, labels = {}, value }: Sample): string => {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}=${quoted(text)}`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`;
};

const textOf = (samples: ReadonlyArray<Sample>): string =>
  samples.map((sample, at) =>
    samples[at - 1]?.name === sample.name
      ? `${lineOf(sample)}\n`
      : `# HELP ${sample.name} ${sample.help}\n# TYPE ${sample.name} ${sample.type}\n` +
        `${lineOf(sample)}\n`
  ).join("");

/** What ActionQueue calls what is counted here under names of Weir's. */
const namesThere = {
  weir_attempts: "actionqueue_attempts_total",
  weir_attempt_seconds: "actionqueue_executor_duration_seconds",
  weir_start_lag_seconds: "actionqueue_scheduling_lag_seconds",
  weir_recovery_seconds: "actionqueue_recovery_time_seconds",
  weir_recovered_records: "actionqueue_recovery_events_applied_total",
};

/** The lines of some metrics once more, under their other names. */
const renamed = (text: string): string =>
  Object.entries(namesThere).flatMap(([name, there]) => {
    const line = new RegExp(`^((?:# (?:HELP|TYPE) )?)${name}(?=[ {]|_(?:bucket|sum|count)\\b)`);
    return text.split("\n").flatMap((each) =>
      line.test(each) ? [`${each.replace(line, `$1${there}`)}\n`] : []
    );
  }).join("");

/** Executions that this process has ended, by what ActionQueue calls that. */
const ended = (context: Context.Context<never>): ReadonlyArray<Sample> => {
  const byState = new Map<RunState, number>();
  for (const metric of Metric.snapshotUnsafe(context)) {
    if (metric.id !== "weir_executions_ended" || metric.type !== "Counter") continue;
    const outcome = metric.attributes?.["outcome"];
    if (!isOutcome(outcome)) continue;
    const state = endStates[outcome];
    byState.set(state, (byState.get(state) ?? 0) + Number(metric.state.count));
  }
  return Array.from(byState, ([state, value]): Sample => ({
    name: "actionqueue_runs_total",
    type: "counter",
    help: "Executions that this process has ended",
    value,
    labels: { state },
  }));
};

const isOutcome = (outcome: string | undefined): outcome is keyof typeof endStates =>
  outcome !== undefined && outcome in endStates;

/** Appends of this process, by whether the log has taken them. */
const appended = (context: Context.Context<never>): ReadonlyArray<Sample> => {
  let taken = 0;
  let failed = 0;
  for (const metric of Metric.snapshotUnsafe(context)) {
    if (metric.id !== "weir_appends" || metric.type !== "Counter") continue;
    const outcome = metric.attributes?.["outcome"];
    if (outcome === "stored") taken += Number(metric.state.count);
    else if (outcome !== "duplicate") failed += Number(metric.state.count);
  }
  return [
    {
      name: "actionqueue_wal_append_total",
      type: "counter",
      help: "Records that the log has taken from this process",
      value: taken,
    },
    {
      name: "actionqueue_wal_append_failures_total",
      type: "counter",
      help: "Appends of this process that were refused or got no answer",
      value: failed,
    },
  ];
};

/** What the log and the workers know. */
const asked = async (weir: ServedWeir, tenant: string): Promise<ReadonlyArray<Sample>> => {
  const [workers, { runs }] = await Promise.all([
    weir.workers(),
    countRuns(weir, tenant, ["waiting"]),
  ]);
  return [
    {
      name: "actionqueue_runs_ready",
      type: "gauge",
      help: `Executions of the tenant that wait for a worker; ${countedTo} is ${countedTo} or more`,
      value: runs.waiting ?? 0,
      labels: { tenant },
    },
    {
      name: "actionqueue_runs_running",
      type: "gauge",
      help: "Executions that the workers of the namespace run, as they last said",
      value: workers.reduce((sum, { load }) => sum + (load?.running ?? 0), 0),
    },
    {
      name: "weir_workers",
      type: "gauge",
      help: "Workers of the namespace that are alive",
      value: workers.length,
    },
  ];
};

/** All that is known now; without the log, what this process knows of itself. */
export const metricsText = async (weir: ServedWeir, tenant: string): Promise<string> => {
  // It brings a server of Effect's with it, which nobody else needs.
  const { formatUnsafe } = await import("effect/observability/PrometheusMetrics");
  const samples = await prompt(asked(weir, tenant)) ?? [];
  // The registry that everything shares that was not given one of its own.
  const context = Context.empty();
  const text = formatUnsafe(context);
  return text + renamed(text) + textOf([...samples, ...appended(context), ...ended(context)]);
};
