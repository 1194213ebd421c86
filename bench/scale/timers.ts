/**
 * The same beside so many timers that are pending, each on a server of its own, what these timers cost
 * while nothing happens, and how late the sleeps of others end beside them.
 */
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { Log } from "../../streams/log.ts";
import { sleeper, unserved } from "../engine/actors.ts";
import { type Lateness, readLateness } from "../engine/lateness.ts";
import { withLog } from "../engine/with_log.ts";
import { say } from "../report.ts";
import { type Seen, takeTurns, type Window } from "./contest.ts";
import { type Filled, openFilled } from "./filled.ts";
import { nameOf, storeTimers, tenant } from "./pending_timers.ts";

export interface TimersOptions {
  readonly counts: ReadonlyArray<number>;
  /** How long the servers are left alone until they are watched, which is to outlast message ids. */
  readonly settleMs: number;
  /** How long they are watched while nothing happens. */
  readonly watchMs: number;
}

export interface Pending {
  readonly count: number;
  readonly diskBytes: number;
  /** Of the server while nothing happens: its memory, and its share of one processor. */
  readonly serverMiB: number;
  readonly serverProcessor: number;
}

/** Milliseconds of each round. */
export interface Sleeps {
  readonly name: string;
  readonly sleep: "resident" | "suspended";
  readonly p50: Array<number>;
  readonly most: Array<number>;
}

interface Contestant extends Filled {
  readonly count: number;
}

const residentGrace = "1 second";
/** Shorter than that, and longer: the least, and over how long the ends are spread. */
const sleepsMs = { resident: [200, 700], suspended: [2_000, 1_000] } as const;
export const sleepsAtOnce = 32;

export const measureTimers = async (
  { counts, settleMs, watchMs }: TimersOptions,
  window: Window,
): Promise<{
  readonly seen: ReadonlyArray<Seen>;
  readonly pending: ReadonlyArray<Pending>;
  readonly sleeps: ReadonlyArray<Sleeps>;
}> => {
  const contestants: Array<Contestant> = [];
  for (const count of counts) {
    const filled = await openFilled({
      name: `beside ${count.toLocaleString("en")}`,
      fill: storeTimers(count),
      last: { tenant, status: "suspended", name: nameOf(count - 1) },
      worker: { residentGrace },
    });
    contestants.push({ ...filled, count });
    say(`${count} timers are pending`);
  }
  await pause(settleMs);
  const pending = await watch(contestants, watchMs);
  const seen = await takeTurns(contestants, [1, 64], window);
  const sleeps = await takeSleeps(contestants, window.rounds);
  for (const { count, stop, ...where } of contestants) {
    const left = await withLog(where, countTimers(where.namespace));
    if (left !== count) throw new Error(`${left} of ${count} timers are left`);
    await stop();
  }
  return { seen, pending, sleeps };
};

/** All at once, since nothing happens. */
const watch = async (
  contestants: ReadonlyArray<Contestant>,
  milliseconds: number,
): Promise<ReadonlyArray<Pending>> => {
  const before = contestants.map(({ serverTime }) => serverTime());
  const begun = performance.now();
  await pause(milliseconds);
  const seconds = (performance.now() - begun) / 1_000;
  return contestants.map(({ count, diskBytes, serverMiB, serverTime }, i) => ({
    count,
    diskBytes,
    serverMiB: serverMiB(),
    serverProcessor: (serverTime() - before[i]!) / seconds,
  }));
};

/** Sleeps of either sort, together, for one contestant after another. */
const takeSleeps = async (
  contestants: ReadonlyArray<Contestant>,
  rounds: number,
): Promise<ReadonlyArray<Sleeps>> => {
  const all = contestants.map((contestant) => ({
    contestant,
    sleeps: (["resident", "suspended"] as const).map((sleep): Sleeps => ({
      name: contestant.name,
      sleep,
      p50: [],
      most: [],
    })),
  }));
  for (let round = 0; round <= rounds; round++) {
    for (const { contestant, sleeps } of all) {
      const found = await Promise.all(sleeps.map(({ sleep }) => latenessOf(contestant, sleep)));
      if (round === 0) continue; // Warm-up.
      for (const [i, { p50, most }] of sleeps.entries()) {
        p50.push(found[i]!.p50);
        most.push(found[i]!.most);
      }
    }
    say(`sleeps: round ${round} of ${rounds}`);
  }
  return all.flatMap(({ sleeps }) => sleeps);
};

const latenessOf = async (
  { weir, servers, namespace }: Contestant,
  sleep: Sleeps["sleep"],
): Promise<Lateness> => {
  const [least, apart] = sleepsMs[sleep];
  const runs = await Promise.all(
    Array.from(
      { length: sleepsAtOnce },
      (_, i) => weir.start(sleeper, least + apart * i / sleepsAtOnce),
    ),
  );
  await Promise.all(runs.map((run) => run.result()));
  return await readLateness({ servers, namespace }, runs);
};

const countTimers = (namespace: string) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const subject = `${namespace}.timer.*.${unserved.name}.>`;
    return yield* Stream.runCount(log.read({ shard: 0, subject }));
  });
