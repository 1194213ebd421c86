/**
 * What it takes an execution to come back that was in nobody's memory, by how many steps lie behind it:
 * from a signal until its code goes on, with the snapshot that its owner left and from its log alone.
 * It runs in a worker process of its own, with nothing else going on.
 */
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { connect, type Run, type Weir } from "@weir/weir";
import { snapshotEvery } from "../../actors/engine/snapshot.ts";
import { ExecutionId, type Tenant } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { executionAddress, executionFilter } from "../../streams/subjects.ts";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { wallMs } from "../clock.ts";
import { go, returner } from "../engine/actors.ts";
import { withLog } from "../engine/with_log.ts";
import { startWorker } from "../engine/worker_process.ts";
import { say } from "../report.ts";

const froms = ["its snapshot", "its log alone"] as const;
export type From = typeof froms[number];

/** Milliseconds of each round. */
export interface ComingBack {
  readonly depth: number;
  readonly from: From;
  /** From the signal until the code goes on behind the wait. */
  readonly whole: Array<number>;
  /** Of that, from when the code is begun: all steps are asked for again. */
  readonly replay: Array<number>;
}

const nothingOf = (depth: number) => (from: From): ComingBack => ({
  depth,
  from,
  whole: [],
  replay: [],
});

const place = { durability: "bounded", namespace: "bench" } as const;
const residentGrace = "200 millis";
/** What its owner may have left to do when it has given an execution up. */
const settleMs = 100;

export const measureComingBack = async (
  depths: ReadonlyArray<number>,
  rounds: number,
): Promise<ReadonlyArray<ComingBack>> => {
  const server = await scratchServer(place);
  const where = { servers: server.url, ...place };
  const weir = await connect(where);
  const worker = await startWorker({ url: server.url, ...place, worker: { residentGrace } });
  const all = depths.map((depth) => ({ depth, measured: froms.map(nothingOf(depth)) }));
  for (let round = 0; round <= rounds; round++) {
    const runs = await Promise.all(depths.map((depth) => weir.start(returner, depth)));
    await Promise.all(runs.map((run) => suspended(weir, run, 1)));
    for (const [i, { depth, measured }] of all.entries()) {
      const run = runs[i]!;
      const signalledAt: Array<number> = [];
      for (const [time, { from }] of measured.entries()) {
        await suspended(weir, run, 1 + time);
        await withLog(where, leaveOnly(from, weir.tenant, run, depth));
        await pause(settleMs);
        signalledAt.push(wallMs());
        await run.signal(go, time);
      }
      const returns = await run.result();
      if (round === 0) continue; // Warm-up.
      for (const [time, { whole, replay }] of measured.entries()) {
        const { begunAt, wentOnAt } = returns[time]!;
        if (begunAt < signalledAt[time]!) throw new Error(`${run.id} was still in memory`);
        whole.push(wentOnAt - signalledAt[time]!);
        replay.push(wentOnAt - begunAt);
      }
    }
    say(`coming back: round ${round} of ${rounds}`);
  }
  await weir.close();
  await worker.stop();
  await server.stop();
  return all.flatMap(({ measured }) => measured);
};

/** Returns when an execution was given up so often. */
const suspended = async (weir: Weir, { id }: Run<unknown>, times: number): Promise<void> => {
  let seen = 0;
  for await (const { type } of weir.leaseHistory({ after: "earliest", executionId: id })) {
    if (type === "released" && ++seen === times) return;
  }
};

/** Has an execution come back from what is said, which it could from either. */
const leaveOnly = (from: From, tenant: Tenant, { id }: Run<unknown>, depth: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const address = executionAddress(log.layout, tenant, ExecutionId.make(id));
    const snapshot = yield* log.last(address, "snap");
    if (Option.isSome(snapshot) !== depth >= snapshotEvery) {
      throw new Error(`${id} has ${Option.isSome(snapshot) ? "a" : "no"} snapshot`);
    }
    if (from === "its snapshot") return;
    const { sequence } = yield* log.tail(address.shard);
    yield* log.purge(executionFilter(address, "snap"), { upTo: sequence });
  });
