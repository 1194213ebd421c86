/** Appends: `deno task bench append`. */
import { concurrencies, measureAppends, type Measured } from "./append.ts";
import { cell, keep, say, table } from "./report.ts";
import { ratio, summarise } from "./statistics.ts";

const durabilities = ["bounded", "power-safe"] as const;
const workloads = ["raw", "js.publish", "request", "append"] as const;

export const reportAppends = async (
  { rounds, milliseconds }: { readonly rounds: number; readonly milliseconds: number },
): Promise<void> => {
  const appends: Array<Measured> = [];
  for (const durability of durabilities) {
    appends.push(...await measureAppends(durability, { rounds, milliseconds, say }));
  }
  const perSecond = (
    durability: Measured["durability"],
    workload: Measured["workload"],
    inFlight: number,
  ) =>
    appends.find((each) =>
      each.durability === durability && each.workload === workload && each.inFlight === inFlight
    )!.perSecond;

  for (const durability of durabilities) {
    table(
      [`${durability}, per second`, ...concurrencies.map((count) => `${count} in flight`)],
      workloads.map((workload) => [
        workload,
        ...concurrencies.map((count) => cell(summarise(perSecond(durability, workload, count)))),
      ]),
    );
  }

  const ratios = {
    "bounded, 1,024 in flight: append ÷ raw (at least 0.4)": ratio(
      perSecond("bounded", "append", 1024),
      perSecond("bounded", "raw", 1024),
    ),
    "power-safe, 1,024 in flight: append ÷ raw singles (at least 10)": ratio(
      perSecond("power-safe", "append", 1024),
      perSecond("power-safe", "raw", 1024),
    ),
    "power-safe: append at 1,024 in flight ÷ raw one at a time": ratio(
      perSecond("power-safe", "append", 1024),
      perSecond("power-safe", "raw", 1),
    ),
    "bounded, one at a time: append ÷ bare request (at least 1)": ratio(
      perSecond("bounded", "append", 1),
      perSecond("bounded", "request", 1),
    ),
    "power-safe, one at a time: append ÷ bare request (at least 1)": ratio(
      perSecond("power-safe", "append", 1),
      perSecond("power-safe", "request", 1),
    ),
  };
  table(
    ["ratio", "median (lowest-highest)"],
    Object.entries(ratios).map(([name, each]) => [name, cell(each)]),
  );

  await keep("append", { rounds, milliseconds, appends, ratios });
};
