/** Effect's workflows on Weir and on Effect's own engine, as tables: `deno task bench workflow`. */
import { cell, keep, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import {
  compareEngines,
  type ComparisonOptions,
  finishedSteps,
  type Measured,
  type Name,
  names,
  parkedWhileIdle,
  stepsOfMany,
} from "./comparison.ts";

type Pick = (of: Measured) => ReadonlyArray<number>;

export const reportWorkflow = async (options: ComparisonOptions): Promise<void> => {
  const measured = await compareEngines(options);
  const of = (name: Name) => measured.find(({ engine }) => engine === name)!;
  const rows = (picks: ReadonlyArray<readonly [string, Pick]>) =>
    picks.map(([what, pick]) => [
      what,
      ...names.map((name) => cell(summarise(pick(of(name))))),
    ]);
  const wakeOf = (finished: number, { wakes }: Measured) =>
    wakes.find((wake) => wake.finished === finished)!;

  table(["at work", ...names], [
    ...rows([
      ["a workflow without steps, ms", ({ workflow }) => workflow.tookMs],
      ["requests", ({ workflow }) => workflow.requests],
      ["records", ({ workflow }) => workflow.records],
      ["a step, ms", ({ step }) => step.tookMs],
      ["requests", ({ step }) => step.requests],
      ["records", ({ step }) => step.records],
      [
        `steps/s, ${options.many} workflows of ${stepsOfMany} steps, ${options.inFlight} at once`,
        ({ perSecond }) => perSecond,
      ],
    ]),
  ]);
  table(
    ["waiting", ...names],
    rows([
      ["a sleep of 1 s ends late by, ms (at most 30)", ({ sleep }) => sleep.median],
      [`the latest of ${options.sleepers}`, ({ sleep }) => sleep.most],
      ["the same, out of memory", ({ forgottenSleep }) => forgottenSleep.median],
      [`the latest of ${options.sleepers}`, ({ forgottenSleep }) => forgottenSleep.most],
      ...options.parkedSeconds.map((seconds, i): readonly [string, Pick] => [
        `a caller elsewhere knows late by, ms, after ${seconds} s`,
        ({ callerLateMs }) => callerLateMs[i]!.late,
      ]),
      ...finishedSteps.flatMap((finished): ReadonlyArray<readonly [string, Pick]> => [
        [
          `from the word to the result, behind ${finished} steps, ms`,
          (each) => wakeOf(finished, each).tookMs,
        ],
        ["requests", (each) => wakeOf(finished, each).requests],
        ["records", (each) => wakeOf(finished, each).records],
      ]),
      [`requests/s while ${parkedWhileIdle} are parked`, ({ idle }) => idle.requests],
      ["records/s", ({ idle }) => idle.records],
    ]),
  );

  const compared = (what: string, pick: Pick, a: Name, b: Name, least?: number) => [
    `${what}: ${a} ÷ ${b}${least === undefined ? "" : ` (at least ${least})`}`,
    cell(ratio(pick(of(a)), pick(of(b)))),
  ];
  const step: Pick = ({ step }) => step.tookMs;
  const rate: Pick = ({ perSecond }) => perSecond;
  const [few, many] = finishedSteps;
  table(["ratio", "median (lowest-highest)"], [
    compared("a step", step, "cluster, async", "Weir, bounded", 15),
    compared("a step", step, "cluster, fsync", "Weir, bounded"),
    compared("a step", step, "cluster, fsync", "Weir, power-safe", 5),
    compared("steps/s", rate, "Weir, bounded", "cluster, async"),
    compared("steps/s", rate, "Weir, power-safe", "cluster, fsync"),
    ...names.map((name) => [
      `wake behind ${many} steps ÷ behind ${few}: ${name}`,
      cell(ratio(wakeOf(many, of(name)).tookMs, wakeOf(few, of(name)).tookMs)),
    ]),
  ]);
  await keep("workflow", { options, measured });
};
