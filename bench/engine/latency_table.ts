/** What a step takes behind so many others, as a table. */
import { cell, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import type { StepLatency } from "./step_latency.ts";

export const tellLatencies = (latencies: ReadonlyArray<StepLatency>): void => {
  const [first] = latencies;
  table(
    ["bounded, one execution: a step, ms", "p50", "the worst of 19", "÷ step 10 (at most 1.1)"],
    latencies.map(({ depth, p50, most }) => [
      `step ${depth.toLocaleString("en")}`,
      cell(summarise(p50)),
      cell(summarise(most)),
      cell(ratio(p50, first!.p50)),
    ]),
  );
};
