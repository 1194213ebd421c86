/**
 * The engines beside each other: in each round each of them does the same in turn, in processes of
 * its own, on a server of its own. What only waits is done by all of them at once.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Child } from "../child_process.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";
import type { Engine } from "./engines.ts";
import { type Operations, startNats, startPostgres, type Storage } from "./storage.ts";
import { type Question, startWorkflowProcess } from "./workflow_process.ts";

export interface ComparisonOptions {
  readonly rounds: number;
  /** Workflows of a round, one after another. */
  readonly oneByOne: number;
  /** Workflows of a round, `inFlight` of them at a time. */
  readonly many: number;
  readonly inFlight: number;
  readonly sleepers: number;
  readonly wakes: number;
  /** For how long a workflow is parked of which somebody awaits the result, in seconds. */
  readonly parkedSeconds: ReadonlyArray<number>;
  /** How long what is parked is left alone, until neither engine has it in memory. */
  readonly forgottenMs: number;
  readonly idleMs: number;
  /**
   * Sleeps begin this much later at most, since the cluster's engine looks for what is due every 10
   * seconds, and a round would begin when it just has.
   */
  readonly spreadMs: number;
}

export const stepsOfOne = 20;
export const stepsOfMany = 5;
export const finishedSteps = [10, 100] as const;
export const parkedWhileIdle = 10;

const engines = {
  "Weir, bounded": () => startNats("bounded"),
  "Weir, power-safe": () => startNats("power-safe"),
  "cluster, fsync": () => startPostgres({}),
  "cluster, async": () => startPostgres({ synchronous_commit: "off" }),
} as const;
export type Name = keyof typeof engines;
export const names = Object.keys(engines) as ReadonlyArray<Name>;

/** What was asked of the storage for one of something; of each round. */
export interface Cost {
  readonly requests: Array<number>;
  readonly records: Array<number>;
}

/** Of each round, in milliseconds. */
export interface Lateness {
  readonly median: Array<number>;
  readonly most: Array<number>;
}

/** Of each round; times in milliseconds. */
export interface Measured {
  readonly engine: Name;
  readonly workflow: { readonly tookMs: Array<number> } & Cost;
  readonly step: { readonly tookMs: Array<number> } & Cost;
  /** Steps. */
  readonly perSecond: Array<number>;
  readonly sleep: Lateness;
  /** With what waits let go of as soon as possible. */
  readonly forgottenSleep: Lateness;
  readonly callerLateMs: ReadonlyArray<{ readonly seconds: number; readonly late: Array<number> }>;
  readonly wakes: ReadonlyArray<
    { readonly finished: number; readonly tookMs: Array<number> } & Cost
  >;
  /** Of a second. */
  readonly idle: Cost;
}

const cost = (): Cost => ({ requests: [], records: [] });

const blank = (engine: Name, parkedSeconds: ReadonlyArray<number>): Measured => ({
  engine,
  workflow: { tookMs: [], ...cost() },
  step: { tookMs: [], ...cost() },
  perSecond: [],
  sleep: { median: [], most: [] },
  forgottenSleep: { median: [], most: [] },
  callerLateMs: parkedSeconds.map((seconds) => ({ seconds, late: [] })),
  wakes: finishedSteps.map((finished) => ({ finished, tookMs: [], ...cost() })),
  idle: cost(),
});

interface Contender {
  readonly storage: Storage;
  readonly measured: Measured;
}

/** Long enough that what follows from a result has been asked of the storage. */
const settleMs = 300;
/** How far apart sleeps begin, so that they are spread over a second. */
const sleepsWithinMs = 1_000;
/** Weir lets go of what waits after this; the cluster's engine after 10 seconds. */
const shortResidentMs = 100;

const add = (to: Cost, operations: Operations, count: number): void => {
  to.requests.push(operations.requests / count);
  to.records.push(operations.records / count);
};

const minus = (a: Operations, b: Operations): Operations => ({
  requests: a.requests - b.requests,
  records: a.records - b.records,
});

const counting = async <A>(
  { operations }: Storage,
  work: () => Promise<A>,
): Promise<readonly [A, Operations]> => {
  const before = await operations();
  const value = await work();
  await pause(settleMs);
  return [value, minus(await operations(), before)];
};

const idsOf = (what: string, round: number, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${what}-${round}-${i}`);

const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5);

/** One workflow alone, with steps and without, so that their difference is what the steps cost. */
const measureSteps = async (
  { storage, measured: { workflow, step } }: Contender,
  runner: Child<Question>,
  round: number,
  oneByOne: number,
): Promise<void> => {
  const run = (count: number) =>
    counting(storage, () =>
      runner.ask<ReadonlyArray<number>>({
        what: "steps",
        names: idsOf(`alone-${count}`, round, oneByOne),
        count,
        atOnce: 1,
      }));
  const [none, noneAsked] = await run(0);
  const [all, allAsked] = await run(stepsOfOne);
  if (round === 0) return;
  workflow.tookMs.push(median(none));
  add(workflow, noneAsked, oneByOne);
  step.tookMs.push((median(all) - median(none)) / stepsOfOne);
  add(step, minus(allAsked, noneAsked), oneByOne * stepsOfOne);
};

const measureRate = async (
  { measured }: Contender,
  runner: Child<Question>,
  round: number,
  { many, inFlight }: ComparisonOptions,
): Promise<void> => {
  const begun = performance.now();
  await runner.ask({
    what: "steps",
    names: idsOf("many", round, many),
    count: stepsOfMany,
    atOnce: inFlight,
  });
  const seconds = (performance.now() - begun) / 1_000;
  if (round > 0) measured.perSecond.push(many * stepsOfMany / seconds);
};

const measureSleep = async (
  lateness: Lateness,
  runner: Child<Question>,
  names: ReadonlyArray<string>,
): Promise<void> => {
  const late = await runner.ask<ReadonlyArray<number>>({
    what: "sleep",
    names,
    everyMs: sleepsWithinMs / names.length,
  });
  lateness.median.push(median(late));
  lateness.most.push(Math.max(...late));
};

const measureCaller = async (
  { measured }: Contender,
  runner: Child<Question>,
  caller: Child<Question>,
  round: number,
): Promise<void> => {
  const ids = idsOf("called", round, measured.callerLateMs.length);
  const told = caller.ask<ReadonlyArray<number>>({ what: "call", names: ids });
  let passed = 0;
  for (const [i, { seconds }] of measured.callerLateMs.entries()) {
    await pause((seconds - passed) * 1_000);
    passed = seconds;
    await runner.ask({ what: "go", name: ids[i]! });
  }
  for (const [i, late] of (await told).entries()) measured.callerLateMs[i]!.late.push(late);
};

const measureWake = async (
  { storage, measured }: Contender,
  runner: Child<Question>,
  round: number,
  count: number,
): Promise<void> => {
  for (const wakes of measured.wakes) {
    const { finished } = wakes;
    const [tookMs, asked] = await counting(storage, () =>
      runner.ask<ReadonlyArray<number>>({
        what: "wake",
        names: idsOf(`wake-${finished}`, round, count),
        count: finished,
      }));
    if (round === 0) continue;
    wakes.tookMs.push(median(tookMs));
    add(wakes, asked, count);
  }
};

const measureIdle = async ({ storage, measured }: Contender, idleMs: number): Promise<void> => {
  const before = await storage.operations();
  await pause(idleMs);
  add(measured.idle, minus(await storage.operations(), before), idleMs / 1_000);
};

const ofAll = <A, B>(items: ReadonlyArray<A>, each: (item: A) => Promise<B>) =>
  Promise.all(items.map(each));

const measureAtWork = async (
  contenders: ReadonlyArray<Contender>,
  options: ComparisonOptions,
): Promise<void> => {
  const working = await ofAll(contenders, async (contender) => {
    const { engine } = contender.storage;
    return {
      contender,
      runner: await startWorkflowProcess({ engine, role: "runs workflows" }),
      caller: await startWorkflowProcess({ engine, role: "calls them" }),
    };
  });
  for (let round = 0; round <= options.rounds; round++) { // The first is a warm-up.
    for (const { contender, runner } of working) {
      await measureSteps(contender, runner, round, options.oneByOne);
    }
    for (const { contender, runner } of working) {
      await measureRate(contender, runner, round, options);
    }
    say(`workflow, at work: round ${round} of ${options.rounds}`);
    if (round === 0) continue;
    await pause(Math.random() * options.spreadMs);
    await ofAll(
      working,
      ({ contender, runner }) =>
        measureSleep(contender.measured.sleep, runner, idsOf("sleeper", round, options.sleepers)),
    );
    await ofAll(
      working,
      ({ contender, runner, caller }) => measureCaller(contender, runner, caller, round),
    );
    say(`workflow, waiting: round ${round} of ${options.rounds}`);
  }
  await ofAll(working, ({ runner, caller }) => Promise.all([runner.close(), caller.close()]));
};

const forgetful = (engine: Engine): Engine =>
  engine.kind === "weir" ? { ...engine, residentMs: shortResidentMs } : engine;

const measureParked = async (
  contenders: ReadonlyArray<Contender>,
  { rounds, wakes, forgottenMs, idleMs, sleepers, spreadMs }: ComparisonOptions,
): Promise<void> => {
  const holding = await ofAll(contenders, async (contender) => ({
    contender,
    runner: await startWorkflowProcess({
      engine: forgetful(contender.storage.engine),
      role: "runs workflows",
    }),
  }));
  const all = Array.from({ length: rounds + 1 }, (_, round) => round);
  for (const { runner } of holding) {
    for (const count of finishedSteps) {
      await runner.ask({
        what: "park",
        names: all.flatMap((round) => idsOf(`wake-${count}`, round, wakes)),
        count,
      });
    }
  }
  await pause(forgottenMs);
  for (const round of all) {
    for (const { contender, runner } of holding) {
      await measureWake(contender, runner, round, wakes);
    }
  }
  say("workflow, woken");
  await ofAll(
    holding,
    ({ runner }) =>
      runner.ask({ what: "park", names: idsOf("idle", 0, parkedWhileIdle), count: 1 }),
  );
  await pause(forgottenMs);
  for (let round = 1; round <= rounds; round++) {
    await ofAll(contenders, (contender) => measureIdle(contender, idleMs));
    say(`workflow, idle: round ${round} of ${rounds}`);
  }
  for (let round = 1; round <= rounds; round++) {
    await pause(Math.random() * spreadMs);
    await ofAll(holding, ({ contender, runner }) =>
      measureSleep(
        contender.measured.forgottenSleep,
        runner,
        idsOf("forgotten-sleeper", round, sleepers),
      ));
    say(`workflow, asleep: round ${round} of ${rounds}`);
  }
  await ofAll(holding, ({ runner }) => runner.close());
};

export const compareEngines = async (
  options: ComparisonOptions,
): Promise<ReadonlyArray<Measured>> => {
  const contenders: Array<Contender> = [];
  for (const name of names) {
    contenders.push({
      storage: await engines[name](),
      measured: blank(name, options.parkedSeconds),
    });
  }
  await measureAtWork(contenders, options);
  await measureParked(contenders, options);
  await ofAll(contenders, ({ storage }) => storage.stop());
  return contenders.map(({ measured }) => measured);
};
