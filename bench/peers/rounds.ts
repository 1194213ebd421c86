/**
 * Rounds in which each contestant runs each workload in turn, beginning with another one each time, so
 * that what the machine does meanwhile falls on all. The first round is to warm up and does not count.
 */
import type { Durability } from "../../streams/server.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";
import type { Contestant } from "./contestants.ts";
import type { Installation } from "./installation.ts";
import type { Window } from "./load.ts";
import { takeTurn, type Taking, type Turn } from "./turn.ts";
import { nameOf, type Workload } from "./workloads.ts";

interface Of {
  readonly peer: string;
  readonly durability: Durability;
  readonly workload: string;
}

const figures = [
  "perSecond",
  "p50",
  "p99",
  /** Milliseconds of a processor for one execution, in the peer's process and in its servers. */
  "ours",
  "servers",
  /** How many processors all others took meanwhile. */
  "others",
  /** How many executions ended, in the window and around it. */
  "ended",
  "repeated",
] as const;

/** The figures of each round. */
export type Measured = Of & Readonly<Record<typeof figures[number], Array<number>>>;

export interface Failure extends Of {
  readonly error: string;
}

export interface Rounds {
  readonly measured: ReadonlyArray<Measured>;
  /** Who failed takes no further part. */
  readonly failures: ReadonlyArray<Failure>;
}

const figuresOf = (
  { tookMs, seconds, ended, elapsedSeconds, processor, repeated }: Turn,
): Record<typeof figures[number], number> => ({
  perSecond: tookMs.length / seconds,
  p50: quantile(tookMs, 0.5),
  p99: quantile(tookMs, 0.99),
  ours: processor.process * 1_000 / ended,
  servers: processor.servers * 1_000 / ended,
  others: processor.others / elapsedSeconds,
  ended,
  repeated,
});

const nothing = (of: Of): Measured => ({
  ...of,
  perSecond: [],
  p50: [],
  p99: [],
  ours: [],
  servers: [],
  others: [],
  ended: [],
  repeated: [],
});

export const runRounds = async (
  contestants: ReadonlyArray<Contestant>,
  workloads: ReadonlyArray<Workload>,
  installation: Installation,
  { rounds, ...window }: { readonly rounds: number } & Window,
): Promise<Rounds> => {
  const measured = new Map<string, Measured>();
  const failures: Array<Failure> = [];
  let all: ReadonlyArray<Taking> = [];

  const take = async (taking: Taking, workload: Workload, counts: boolean): Promise<void> => {
    const { peer, durability } = taking.contestant;
    const of = { peer, durability, workload: nameOf(workload) };
    try {
      const found = figuresOf(await takeTurn(taking, all, workload, window));
      if (!counts) return;
      const key = JSON.stringify(of);
      const known = measured.get(key) ?? nothing(of);
      for (const figure of figures) known[figure].push(found[figure]);
      measured.set(key, known);
    } catch (error) {
      say(`${peer}, ${durability}, ${of.workload}: ${error}`);
      failures.push({ ...of, error: String(error) });
      all = all.filter((each) => each !== taking);
      await taking.running.abandon();
    }
  };

  try {
    for (const contestant of contestants) {
      const running = await contestant.start(installation);
      all = [...all, { contestant, running, completed: 0 }];
      say(`${contestant.peer}, ${contestant.durability}: ready`);
    }
    for (let round = 0; round <= rounds; round++) {
      for (const workload of workloads) {
        const turn = round % contestants.length;
        for (const taking of [...all.slice(turn), ...all.slice(0, turn)]) {
          if (taking.contestant.runs(workload.work)) await take(taking, workload, round > 0);
        }
        say(`round ${round} of ${rounds}: ${nameOf(workload)}`);
      }
    }
  } finally {
    for (const { running } of all) await running.stop();
  }
  return { measured: [...measured.values()], failures };
};
