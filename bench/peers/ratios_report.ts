/**
 * How Weir compares with the best of its peers and with the ground truth; a ratio is the median of the
 * rounds' own ratios. Which peer is the best is settled by the medians of all rounds.
 */
import type { Durability } from "../../streams/server.ts";
import { cell, table } from "../report.ts";
import { ratio, summarise, type Summary } from "../statistics.ts";
import { type Contestant, durabilities, raw, weir } from "./contestants.ts";
import type { Measured } from "./rounds.ts";

/** The targets that name other systems: the workload, and the figure that is compared. */
const targets: ReadonlyArray<readonly [workload: string, figure: "perSecond" | "p50"]> = [
  ["3 steps, one at a time", "p50"],
  ["3 steps, 64 in flight", "perSecond"],
  ["3 steps, 512 in flight", "perSecond"],
  ["9 steps, 64 in flight", "perSecond"],
  ["0 steps, 100 in flight", "perSecond"],
  ["signal to resumed, one at a time", "p50"],
];

const timesBetter = (ours: Measured, theirs: Measured, figure: "perSecond" | "p50"): Summary =>
  figure === "p50" ? ratio(theirs.p50, ours.p50) : ratio(ours.perSecond, theirs.perSecond);

const bestOf = (
  measured: ReadonlyArray<Measured>,
  figure: "perSecond" | "p50",
): Measured | undefined =>
  measured.filter(({ peer }) => peer !== weir && peer !== raw).sort((a, b) => {
    const difference = summarise(a[figure]).median - summarise(b[figure]).median;
    return figure === "p50" ? difference : -difference;
  })[0];

export const tellRatios = (
  measured: ReadonlyArray<Measured>,
  recommended: ReadonlyArray<Contestant>,
): void => {
  const isRecommended = (each: Measured) =>
    recommended.some(({ peer, durability }) =>
      peer === each.peer && durability === each.durability
    );
  const rows = targets.flatMap(([workload, figure]) => {
    const found = measured.filter((each) => each.workload === workload);
    return durabilities.flatMap((durability) => {
      const alike = found.filter((each) => each.durability === durability);
      const ours = alike.find(({ peer }) => peer === weir);
      if (ours === undefined) return [];
      const against = (theirs: Measured | undefined) =>
        theirs === undefined ? "" : `${cell(timesBetter(ours, theirs, figure))} ${theirs.peer}`;
      return [[
        `${workload}: ${figure === "p50" ? "p50" : "a second"}; Weir ${durability}`,
        against(bestOf(alike, figure)),
        against(bestOf(found.filter(isRecommended), figure)),
        against(alike.find(({ peer }) => peer === raw)),
      ]];
    });
  });
  if (rows.length === 0) return;
  table(
    [
      "how many times better Weir is than",
      "the best peer with the same durability",
      "the best peer as recommended",
      "the ground truth",
    ],
    rows,
  );
};

/** Latencies of Weir in those of a publish to its consumer. */
export const tellRoundTrips = (measured: ReadonlyArray<Measured>): void => {
  const signal = "signal to resumed, one at a time";
  const p50Of = (peer: string, durability: Durability, workload: string) =>
    measured.find((each) =>
      each.peer === peer && each.durability === durability && each.workload === workload
    )?.p50;
  const rows = durabilities.flatMap((durability) =>
    [
      ["signal to resumed (at most 3)", signal],
      ["start to result without steps (at most 5)", "0 steps, one at a time"],
    ].flatMap(([name, workload]) => {
      const ours = p50Of(weir, durability, workload!);
      const bare = p50Of(raw, durability, signal);
      return ours === undefined || bare === undefined
        ? []
        : [[`${durability}: ${name}`, cell(ratio(ours, bare))]];
    })
  );
  if (rows.length > 0) table(["Weir's p50 ÷ that of a publish to its consumer", "times"], rows);
};
