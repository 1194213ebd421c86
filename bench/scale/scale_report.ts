/**
 * How the cost of an execution changes with workers, shards and replicas, with what is stored, pending
 * and followed beside it, and with its own history.
 */
import { tellLatencies } from "../engine/latency_table.ts";
import { measureStepLatency } from "../engine/step_latency.ts";
import type { Measures } from "../parts.ts";
import { cell, figure, table } from "../report.ts";
import { ratio, summarise } from "../statistics.ts";
import { type ComingBack, measureComingBack } from "./coming_back.ts";
import type { Seen, Window } from "./contest.ts";
import { measurePlacements } from "./placements.ts";
import { measureReplicas } from "./replicas.ts";
import { measureStored, type Stored } from "./stored.ts";
import { measureSubscribers } from "./subscribers.ts";
import {
  measureTimers,
  type Pending,
  type Sleeps,
  sleepsAtOnce,
  type TimersOptions,
} from "./timers.ts";

export interface ScaleOptions extends Window {
  /** How many executions there are already. */
  readonly stored: ReadonlyArray<number>;
  readonly timers: TimersOptions;
  /** How many follow. */
  readonly subscribers: ReadonlyArray<number>;
  /** How many steps an execution has behind it. */
  readonly depths: ReadonlyArray<number>;
}

/** Its parts. */
export const scale = {
  placements: async (options) => {
    const placements = await measurePlacements(options);
    tellTurns("workers and shards", placements);
    return { placements };
  },
  replicas: async (options) => {
    const replicas = await measureReplicas(options);
    tellTurns("copies of each record, on three servers", replicas);
    return { replicas };
  },
  stored: async ({ stored: counts, ...window }) => {
    const { seen, stored } = await measureStored(counts, window);
    tellTurns("beside executions that are stored", seen);
    tellStored(stored);
    return { stored, besideStored: seen };
  },
  timers: async ({ timers, ...window }) => {
    const { seen, pending, sleeps } = await measureTimers(timers, window);
    tellTurns("beside timers that are pending", seen);
    tellPending(pending);
    tellSleeps(sleeps);
    return { timers: pending, besideTimers: seen, sleepsBesideTimers: sleeps };
  },
  subscribers: async ({ subscribers: counts, ...window }) => {
    const subscribers = await measureSubscribers(counts, window);
    tellTurns("while completions are followed", subscribers);
    return { subscribers };
  },
  history: async ({ depths, rounds }) => {
    const latencies = await measureStepLatency(depths, rounds);
    tellLatencies(latencies);
    const comingBack = await measureComingBack(depths, rounds);
    tellComingBack(comingBack);
    return { latencies, comingBack };
  },
} satisfies Measures<ScaleOptions>;

/** Each against the first of its load. */
export const tellTurns = (what: string, all: ReadonlyArray<Seen>): void => {
  const asides = [...new Set(all.flatMap(({ aside }) => Object.keys(aside)))];
  for (const inFlight of new Set(all.map((seen) => seen.inFlight))) {
    const of = all.filter((seen) => seen.inFlight === inFlight);
    const load = inFlight === 1 ? "one at a time" : `${inFlight} in flight`;
    table(
      [
        `${what}, ${load}`,
        "executions/s",
        "÷ the first",
        "p50, ms",
        "CPU, ms: ours",
        "servers'",
        ...asides,
      ],
      of.map((seen) => [
        seen.name,
        cell(summarise(seen.perSecond)),
        cell(ratio(seen.perSecond, of[0]!.perSecond)),
        cell(summarise(seen.p50)),
        cell(summarise(seen.ours)),
        cell(summarise(seen.servers)),
        ...asides.map((name) => {
          const rounds = seen.aside[name];
          return rounds === undefined ? "" : cell(summarise(rounds));
        }),
      ]),
    );
  }
};

const tellStored = (stored: ReadonlyArray<Stored>): void =>
  table(
    ["stored", "server, MiB", "on disk, bytes an execution"],
    stored.map(({ count, serverMiB, diskBytes }) => [
      count.toLocaleString("en"),
      figure(serverMiB),
      figure(diskBytes / count),
    ]),
  );

const tellPending = (pending: ReadonlyArray<Pending>): void =>
  table(
    ["pending", "server, MiB", "on disk, bytes a timer", "server's CPU while nothing happens, %"],
    pending.map(({ count, serverMiB, diskBytes, serverProcessor }) => [
      count.toLocaleString("en"),
      figure(serverMiB),
      figure(diskBytes / count),
      figure(serverProcessor * 100),
    ]),
  );

const tellSleeps = (sleeps: ReadonlyArray<Sleeps>): void =>
  table(
    ["how late sleeps end beside pending timers, ms", "p50", `most of ${sleepsAtOnce}`],
    sleeps.map(({ name, sleep, p50, most }) => [
      `${sleep}, ${name}`,
      cell(summarise(p50)),
      cell(summarise(most)),
    ]),
  );

const tellComingBack = (found: ReadonlyArray<ComingBack>): void =>
  table(
    ["from a signal until suspended code goes on, ms", "from", "in all", "of that, replay"],
    found.map(({ depth, from, whole, replay }) => [
      `behind ${depth.toLocaleString("en")} steps`,
      from,
      cell(summarise(whole)),
      cell(summarise(replay)),
    ]),
  );
