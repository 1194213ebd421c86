/** Measures the runs of one execution's code in this process, one after another. */
import type * as Metric from "effect/Metric";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import { timedOut } from "../work/task_code.ts";
import { attempts, attemptSeconds } from "./metrics.ts";

export interface AttemptMeterOptions {
  readonly count: <Input, State>(metric: Metric.Metric<Input, State>, input: Input) => void;
  /** A clock for intervals. */
  readonly monotonicMs: () => number;
}

export class AttemptMeter {
  readonly #options: AttemptMeterOptions;
  readonly #actor: string;
  #since: number | undefined;

  constructor(options: AttemptMeterOptions, actor: string) {
    this.#options = options;
    this.#actor = actor;
  }

  begin(): void {
    this.#since = this.#options.monotonicMs();
  }

  /** Counts the run that is under way, if one is. */
  end(result: "suspended" | "released" | "ended" | "continued" | "lost" | OutcomeRecord): void {
    if (this.#since === undefined) return;
    const { count, monotonicMs } = this.#options;
    count(attempts(this.#actor, typeof result === "string" ? result : nameOf(result)), 1);
    count(attemptSeconds(this.#actor), (monotonicMs() - this.#since) / 1_000);
    this.#since = undefined;
  }
}

const nameOf = (outcome: OutcomeRecord): string =>
  outcome.type === "failure" && outcome.failure.name === timedOut().name ? "timeout" : outcome.type;
