/**
 * What executions cost while they do nothing, ten thousand at a time: asleep and in nobody's memory,
 * or waiting in a worker's. Times of the server's clock tell how late sleeps end: from the deadline
 * to the record that the execution has ended.
 */
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { connect, type Run } from "@weir/weir";
import { journalRecord } from "../../schema/journal_record.ts";
import * as Connection from "../../streams/connection.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as ports from "../../streams/server/port.ts";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { say } from "../report.ts";
import { go, sleeper, waiter } from "./actors.ts";
import { quantile } from "./rates.ts";
import { memory, processorTime, startWorker } from "./worker_process.ts";

/** While nothing happens: shares of one processor, messages of a second, and memory. */
export interface Idle {
  readonly workerProcessor: number;
  readonly serverProcessor: number;
  readonly messagesPerSecond: number;
  readonly workerMiB: number;
  readonly serverMiB: number;
}

/** In milliseconds. */
export interface Lateness {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
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
    return await readLateness(servers, new Set(runs.map(({ id }) => id.split("/")[1]!)));
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

const withLog = <A, E>(servers: string, use: Effect.Effect<A, E, Log>): Promise<A> =>
  Effect.runPromise(
    use.pipe(Effect.provide(
      layerJetStream({ namespace }).pipe(Layer.provide(Connection.layer({ servers }))),
    )),
  );

const nameOf = (subject: string): string => subject.split(".").at(-1)!;

/** Returns when so many executions have left a timer behind. */
const suspended = (servers: string, count: number, withinMs: number): Promise<void> =>
  withLog(
    servers,
    Effect.gen(function* () {
      const log = yield* Log;
      const timers = { shard: 0, subject: `${namespace}.timer.>` };
      const set = new Set<string>();
      yield* Stream.runForEachWhile(log.follow(timers), ({ subject }) =>
        Effect.sync(() => set.add(subject).size < count));
    }).pipe(Effect.timeout(withinMs)),
  );

/** How long after its deadline each sleeper's end was stored. */
const readLateness = (servers: string, names: ReadonlySet<string>): Promise<Lateness> =>
  withLog(
    servers,
    Effect.gen(function* () {
      const log = yield* Log;
      const due = new Map<string, number>();
      const late: Array<number> = [];
      const each = (kind: string, use: (name: string, at: number, due: number) => void) =>
        Stream.runForEach(
          log.read({ shard: 0, subject: `${namespace}.${kind}.*.sleeper.>` }),
          (entry) => {
            const name = nameOf(entry.subject);
            return names.has(name)
              ? Effect.map(journalRecord.decode(entry.body, entry), (record) =>
                use(name, entry.at, record.kind === "sleeping" ? record.due : NaN))
              : Effect.void;
          },
        );
      yield* each("log", (name, _, time) =>
        Number.isNaN(time) || due.set(name, time));
      yield* each("done", (name, at) => late.push(at - due.get(name)!));
      return { p50: quantile(late, 0.5), p99: quantile(late, 0.99), most: Math.max(...late) };
    }),
  );
