/**
 * Random programs on real workers and a real server while both are killed, frozen and started again by
 * chance, and what must have come of it when that is over: every execution has ended as its program
 * says, each of its steps is recorded once, and none is stuck.
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import { layer } from "../../actors/layer.ts";
import { neverStuck } from "../../actors/never_stuck.ts";
import { Log } from "../../streams/log.ts";
import { spawnProcess, type WorkerProcess } from "../fixtures/engine_process.ts";
import type { PlayWorkerOptions } from "../fixtures/play_worker.ts";
import type { ScratchServer } from "../fixtures/server.ts";
import { anyPlay, send } from "../sim/plays.ts";
import { expected, programOf } from "../sim/programs.ts";
import { remains, untilOver } from "../sim/remains.ts";
import type { Chance } from "./seed.ts";

export interface RoundOptions {
  readonly server: ScratchServer;
  readonly namespace: string;
  readonly seed: number;
  readonly chance: Chance;
  readonly executions: number;
  readonly misfortunes: number;
  readonly say?: (what: string) => void;
}

const workersAtOnce = 3;
/** Nothing need go on after a misfortune, so that the next one comes in any case. */
const mostBetweenMs = 4_000;

/** Plays one round, and returns how many executions it took. */
export const playRound = async (
  { server, namespace, seed, chance, executions, misfortunes, say = () => {} }: RoundOptions,
): Promise<number> => {
  const play: PlayWorkerOptions["play"] = [seed, executions, {
    longestSleepMs: 2_000,
    isHardy: true,
  }];
  const { url } = server;
  const runtime = ManagedRuntime.make(layer({ servers: url, namespace, durability: "bounded" }));
  let hired = 0;
  const hire = (): WorkerProcess => {
    const residentGrace = [1, 300, 5_000][chance(3)]!;
    const worker = `worker-${hired++}`;
    return spawnProcess("play_worker", { worker, url, namespace, play, residentGrace });
  };
  const workers = Array.from({ length: workersAtOnce }, hire);
  const frozen = new Set<WorkerProcess>();

  /** Who comes while there is no server ends at once, as it should. */
  const allServe = () => Promise.all(workers.map(({ serves }) => serves));

  const strike = async (): Promise<string> => {
    const at = chance(workers.length);
    const worker = workers[at]!;
    switch (chance(8)) {
      case 0:
        await allServe();
        await server.kill();
        await server.restart();
        return "the server is killed, and starts again";
      case 1:
        await allServe();
        await server.restart();
        return "the server starts anew";
      case 2:
      case 3:
        await worker.serves;
        frozen.add(worker);
        worker.freeze();
        return `${worker.identity} freezes`;
      case 4:
        for (const each of frozen) each.thaw();
        frozen.clear();
        return "whoever is frozen thaws";
      case 5:
        if (frozen.has(worker)) return `${worker.identity} stays frozen`;
        worker.terminate();
        workers[at] = hire();
        return `${worker.identity} is drained`;
      default:
        frozen.delete(worker);
        worker.kill();
        workers[at] = hire();
        return `${worker.identity} is killed`;
    }
  };

  try {
    const sequence = () =>
      runtime.runPromise(Effect.flatMap(Log, (log) => log.tail(0))).then(({ sequence }) =>
        sequence
      );
    const sent = runtime.runPromise(send(anyPlay(...play)));
    for (let n = 0; n < misfortunes; n++) {
      const from = await sequence();
      const records = chance(150);
      const since = performance.now();
      while (await sequence() < from + records && performance.now() - since < mostBetweenMs) {
        await sleep(20);
      }
      say(await strike());
    }
    for (const each of frozen) each.thaw();
    await sent;
    await runtime.runPromise(untilOver);
    const left = await runtime.runPromise(remains);
    judge(left, play);
    await allServe();
    await Promise.all(workers.map((worker) => worker.drain()));
    const stuck = await runtime.runPromise(Stream.runCollect(neverStuck()));
    assert.deepEqual(stuck, []);
    return Object.keys(left).filter((name) => name.endsWith(" done")).length;
  } finally {
    for (const worker of workers) worker.kill();
    await runtime.dispose();
  }
};

/** Whether each has ended as its program says, and each step is there once. */
const judge = (
  left: Readonly<Record<string, ReadonlyArray<string>>>,
  play: PlayWorkerOptions["play"],
): void => {
  const programs = new Map(Object.entries(anyPlay(...play).programs));
  for (const [name, texts] of Object.entries(left)) {
    const [execution, kind] = name.split(" ") as [string, string];
    const records = texts.map((text) => JSON.parse(text));
    if (kind === "done") {
      assert.deepEqual(
        records.map(({ outcome }) => outcome),
        [expected(programOf(execution, programs))],
        execution,
      );
    }
    if (kind === "log") {
      const steps = records.flatMap(({ kind, key }) => kind === "step" ? [key] : []);
      assert.equal(new Set(steps).size, steps.length, `${execution} has a step twice`);
    }
  }
};
