/**
 * The same executions with and without a queue in front of them, and in one for which many others wait
 * already, because somebody holds their key. Each in a namespace and with a worker of its own, in turns.
 */
import process from "node:process";
import { connect } from "@weir/weir";
import * as Effect from "effect/Effect";
import { ExecutionId, Tenant, Timestamp } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import * as Seats from "../../streams/seats.ts";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { steps, waiter } from "../engine/actors.ts";
import { withLog } from "../engine/with_log.ts";
import { startWorker } from "../engine/worker_process.ts";
import { say } from "../report.ts";
import { type Contestant, type Seen, takeTurns, type Window } from "../scale/contest.ts";

export interface TurnsOptions extends Window {
  /** How many wait already. */
  readonly waiting: ReadonlyArray<number>;
}

const durability = "bounded";
const queue = "bench";
const keys = 500;
const concurrency = 64;
const loads = [1, 64, 512];

/** Seats of executions that nobody has started, behind a key that somebody holds. */
const fill = (count: number) =>
  Effect.gen(function* () {
    const { enter } = Seats.make(yield* Log);
    yield* Effect.forEach(
      Array.from({ length: count }, (_, i) => i),
      (i) =>
        enter(queue, {
          kind: "seat",
          state: "waiting",
          tenant: Tenant.make("default"),
          execution: ExecutionId.make(`steps/idle-${i}`),
          life: 1,
          turn: "run 0",
          key: "held",
          priority: 0,
          since: Timestamp.make(i),
        }),
      { concurrency: 512, discard: true },
    );
  });

const open = async (
  server: { readonly url: string; readonly pid: number },
  name: string,
  waiting: number | undefined,
): Promise<Contestant> => {
  const namespace = name.replaceAll(/[^a-z0-9]+/g, "_");
  const weir = await connect({ servers: server.url, durability, namespace });
  const worker = await startWorker({
    url: server.url,
    durability,
    namespace,
    worker: { queues: true },
  });
  if (waiting !== undefined) {
    // The one that holds the key has a place of its own.
    await weir.queues.configure(queue, { concurrency: concurrency + 1 });
    await weir.submit(waiter, undefined, { queue: { name: queue, key: "held" } });
    await eventually(
      "the key is held",
      async () => (await weir.queues.describe(queue)).running === 1 || undefined,
    );
    await withLog({ servers: server.url, namespace }, fill(waiting));
    say(`${waiting} wait`);
  }
  let started = 0;
  const options = () => ({ queue: { name: queue, key: `key-${started++ % keys}` } });
  return {
    name,
    weir,
    processes: { ours: [process.pid, worker.pid], servers: [server.pid] },
    execute: async () => {
      const run = waiting === undefined
        ? await weir.start(steps, 1)
        : await weir.submit(steps, 1, options());
      await run.result();
    },
    stop: async () => {
      await worker.stop();
      await weir.close();
    },
  };
};

export const measureTurns = async (
  { waiting, ...window }: TurnsOptions,
): Promise<ReadonlyArray<Seen>> => {
  const server = await scratchServer({ durability });
  const at = { url: server.url, pid: server.pid! };
  const contestants = [await open(at, "no queue", undefined), await open(at, "a queue", 0)];
  for (const count of waiting) contestants.push(await open(at, `behind ${count}`, count));
  const seen = await takeTurns(contestants, loads, window);
  for (const { stop } of contestants) await stop();
  await server.stop();
  return seen;
};
