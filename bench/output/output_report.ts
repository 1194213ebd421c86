/** What was measured of outputs, as tables. */
import { cell, keep, table } from "../report.ts";
import { summarise } from "../statistics.ts";
import { type FramesOptions, measureFrames } from "./frames.ts";

export const reportOutput = async (options: FramesOptions): Promise<void> => {
  const measured = [
    await measureFrames("bounded", options),
    await measureFrames("power-safe", options),
  ];
  table(
    ["durability", "what", "per second"],
    measured.flatMap(({ rates }) =>
      rates.map(({ durability, what, perSecond }) => [
        durability,
        what,
        cell(summarise(perSecond)),
      ])
    ),
  );
  table(
    ["durability", "readers", "p50 ms", "p99 ms"],
    measured.flatMap(({ lags }) =>
      lags.map(({ durability, readers, p50, p99 }) => [
        durability,
        String(readers),
        cell(summarise(p50)),
        cell(summarise(p99)),
      ])
    ),
  );
  await keep("output", { options, measured });
};
