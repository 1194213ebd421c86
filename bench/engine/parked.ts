/**
 * What executions cost while they do nothing, ten thousand at a time: asleep and in nobody's memory,
 * or waiting in a worker's, and how late they wake up.
 */
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { connect, type Run } from "@weir/weir";
import { Log } from "../../streams/log.ts";
import * as ports from "../../streams/server/port.ts";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";
import { go, sleeper, waiter } from "./actors.ts";
import { type Lateness, readLateness } from "./lateness.ts";
import { withLog } from "./with_log.ts";
import { memory, processorTime, startWorker } from "./worker_process.ts";

/** While nothing happens: shares of one processor, messages of a second, and memory. */
export interface Idle {
  readonly workerProcessor: number;
  readonly serverProcessor: number;
  readonly messagesPerSecond: number;
  readonly workerMiB: number;
  readonly serverMiB: number;
}

export interface Parked {
  /** With no execution at all. */
  readonly nothing: Idle;
  readonly asleep: Idle;
  readonly resident: Idle;
  readonly residentSleeps: Lateness;
  readonly suspendedSleeps: Lateness;
  readonly manySuspendedSleeps: Lateness;
}

const namespace = "bench";
const few = 200;
/** Nothing is started faster, so that the deadlines of what sleeps lie as far apart. */
const together = 256;
/** How long what is left to do may take when the last execution has been suspended. */
const settleMs = 10_000;
/** Fewer messages of a second belong to no execution. */
const restingRate = 200;

const measureOnce = async (count: number, watchMs: number): Promise<Parked> => {
  const monitor = await Effect.runPromise(ports.free());
  const server = await scratchServer({
    durability: "bounded",
    settings: { http: `127.0.0.1:${monitor}` },
  });
  const servers = server.url;
  const weir = await connect({ servers, durability: "bounded", namespace });
  const work = (residentGrace: string) =>
    startWorker({
      url: servers,
      durability: "bounded",
      namespace,
      worker: { concurrency: 2 * count, residentGrace: residentGrace as "5 seconds" },
    });
  const messages = async () => {
    const answer = await fetch(`http://127.0.0.1:${monitor}/varz`);
    const { in_msgs, out_msgs } = await answer.json() as { in_msgs: number; out_msgs: number };
    return in_msgs + out_msgs;
  };
  const atRest = () =>
    eventually("messages are few", async () => {
      const before = await messages();
      await pause(1_000);
      return (await messages()) - before < restingRate || undefined;
    }, settleMs);
  const startAll = async <A>(howMany: number, start: () => Promise<A>) => {
    const started: Array<A> = [];
    let next = 0;
    await Promise.all(Array.from({ length: Math.min(together, howMany) }, async () => {
      while (next++ < howMany) started.push(await start());
    }));
    return started;
  };
  const idle = async (
    worker: { readonly pid: number; readonly settledMemory: () => Promise<number> },
  ) => {
    const workerMiB = await worker.settledMemory();
    const before = [
      processorTime(worker.pid),
      processorTime(server.pid!),
      await messages(),
    ] as const;
    const begun = performance.now();
    await pause(watchMs);
    const seconds = (performance.now() - begun) / 1_000;
    return {
      workerProcessor: (processorTime(worker.pid) - before[0]) / seconds,
      serverProcessor: (processorTime(server.pid!) - before[1]) / seconds,
      messagesPerSecond: ((await messages()) - before[2]) / seconds,
      workerMiB,
      serverMiB: memory(server.pid!),
    };
  };
  const ended = (runs: ReadonlyArray<Run<unknown>>) => Promise.all(runs.map((run) => run.result()));
  const latenessOf = async (runs: ReadonlyArray<Run<unknown>>) => {
    await ended(runs);
    return await readLateness({ servers, namespace }, runs);
  };

  let worker = await work("5 seconds");
  const warmUp = async () => ended(await startAll(few, () => weir.start(sleeper, 0)));
  await warmUp();
  const warmedUpAt = performance.now();
  await warmUp();
  const eachMs = (performance.now() - warmedUpAt) / few;
  const nothing = await idle(worker);
  const residentSleeps = await latenessOf(
    await startAll(few, () => weir.start(sleeper, 1_000 + Math.random() * 2_000)),
  );
  const suspendedSleeps = await latenessOf(
    await startAll(few, () => weir.start(sleeper, 6_000 + Math.random() * 4_000)),
  );
  // Long enough that all have been suspended, and watched, before the first wakes up.
  const untilSuspendedMs = 20_000 + 5 * eachMs * count;
  const sleeping = await startAll(
    count,
    () => weir.start(sleeper, untilSuspendedMs + settleMs + watchMs),
  );
  await suspended(servers, count, untilSuspendedMs);
  await atRest();
  const asleep = await idle(worker);
  const manySuspendedSleeps = await latenessOf(sleeping);
  await worker.stop();

  worker = await work("1 hour");
  const waiting = await startAll(count, () => weir.start(waiter, undefined));
  await eventually("all wait", async () => {
    const load = (await weir.workers())[0]?.load;
    return load?.resident === count && load.running === 0 ? true : pause(500);
  }, 120_000);
  const resident = await idle(worker);
  await Promise.all(waiting.map((run) => run.signal(go, 1)));
  await ended(waiting);
  await worker.stop();
  await weir.close();
  await server.stop();
  return { nothing, asleep, resident, residentSleeps, suspendedSleeps, manySuspendedSleeps };
};

export const measureParked = async (
  { count, rounds, watchMs }: {
    readonly count: number;
    readonly rounds: number;
    /** How long the idle are watched. */
    readonly watchMs: number;
  },
): Promise<ReadonlyArray<Parked>> => {
  const seen: Array<Parked> = [];
  for (let round = 1; round <= rounds; round++) {
    seen.push(await measureOnce(count, watchMs));
    say(`parked: round ${round} of ${rounds}`);
  }
  return seen;
};

/** Returns when so many executions have left a timer behind. */
const suspended = (servers: string, count: number, withinMs: number): Promise<void> =>
  withLog(
    { servers, namespace },
    Effect.gen(function* () {
      const log = yield* Log;
      const timers = { shard: 0, subject: `${namespace}.timer.>` };
      const set = new Set<string>();
      yield* Stream.runForEachWhile(log.follow(timers), ({ subject }) =>
        Effect.sync(() => set.add(subject).size < count));
    }).pipe(Effect.timeout(withinMs)),
  );
