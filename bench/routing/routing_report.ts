/**
 * FlowFabric's workloads S4, S5 and S6, beside what it has published of itself on 16 cores with
 * Valkey: `deno task bench routing`.
 */
import type { Measures } from "../parts.ts";
import { cell, table } from "../report.ts";
import { summarise } from "../statistics.ts";
import { measureCapabilities, type Mode } from "./capabilities.ts";
import { measureChains } from "./chains.ts";
import { measureQuorum } from "./quorum.ts";

export interface RoutingOptions {
  readonly rounds: number;
  readonly capabilities: { readonly workers: number; readonly tasks: number };
  readonly chains: { readonly flows: number; readonly nodes: number; readonly workers: number };
  readonly counts: ReadonlyArray<number>;
}

const median = (rounds: ReadonlyArray<number>): string => cell(summarise(rounds));

/** Tasks a second, p50 and p99 in milliseconds, and the share of right routes. */
const published: Readonly<Record<Mode, string>> = {
  happy: "1,796/s, p50 417, p99 550, right 1.000",
  partial: "p50 12,500, p99 292,000, right 0.953",
  scarce: "p99 235,000, right 0.927",
};

/** Its parts. */
export const routing = {
  capabilities: async ({ capabilities, rounds }) => {
    const routed = await measureCapabilities({ ...capabilities, rounds });
    const { workers, tasks } = capabilities;
    table(
      [
        `${tasks} tasks, ${workers} workers`,
        "tasks/s",
        "p50, ms",
        "p99, ms",
        "p99 of the scarce, ms",
        "right",
        "FlowFabric's own",
      ],
      routed.map(({ mode, perSecond, p50, p99, scarceP99, right }) => [
        mode,
        median(perSecond),
        median(p50),
        median(p99),
        median(scarceP99),
        Math.min(...right).toFixed(3),
        published[mode],
      ]),
    );
    return { routed };
  },
  chains: async ({ chains, rounds }) => {
    const seen = await measureChains({ ...chains, rounds });
    table(
      [
        `${chains.flows} flows of ${chains.nodes}, ${chains.workers} workers`,
        "flows/s",
        "p50, ms",
        "p95, ms",
        "p99, ms",
      ],
      [
        [
          "Weir",
          median(seen.flowsPerSecond),
          median(seen.p50),
          median(seen.p95),
          median(seen.p99),
        ],
        ["FlowFabric's own", "7.93-17.46", "357-413", "5,288", "5,447-12,430"],
      ],
    );
    return { chains: seen };
  },
  quorum: async ({ counts, rounds }) => {
    const quorum = await measureQuorum({ counts, rounds });
    const own = new Map([[10, "p50 12.1"], [100, "p50 268, p99 313"], [
      1_000,
      "p50 4,245, p99 7,952",
    ]]);
    table(
      ["1 of so many", "until the last is cancelled, ms", "the longest", "FlowFabric's own, ms"],
      quorum.map(({ count, cancelledMs }) => [
        count.toLocaleString("en"),
        median(cancelledMs),
        Math.max(...cancelledMs).toFixed(0),
        own.get(count) ?? "",
      ]),
    );
    return { quorum };
  },
} satisfies Measures<RoutingOptions>;
