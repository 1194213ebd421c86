/**
 * Frames per second that executions emit, beside the same bytes appended to the log by themselves;
 * and how late readers see what is emitted at an even pace, by how many they are.
 */
import { setTimeout as pause } from "node:timers/promises";
import { actor, connect, type Run } from "@weir/weir";
import { executionAddress, layerLog, Log } from "@weir/weir/effect";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { ExecutionId, Namespace, Tenant } from "../../schema/ids.ts";
import { layer as layerConnection } from "../../streams/connection.ts";
import type { Durability } from "../../streams/server.ts";
import { scratchServer } from "../../tests/fixtures/server.ts";
import { quantile } from "../engine/rates.ts";
import { say } from "../report.ts";

export interface FramesOptions {
  readonly rounds: number;
  /** How many frames an execution emits as fast as it can. */
  readonly frames: number;
  readonly pacedMs: number;
}

/** Of each round. */
export interface Rate {
  readonly what: string;
  readonly durability: Durability;
  readonly perSecond: Array<number>;
}

/** Of each round: milliseconds from `emit` to the reader. */
export interface Lag {
  readonly readers: number;
  readonly durability: Durability;
  readonly p50: Array<number>;
  readonly p99: Array<number>;
}

/** About what a token takes. */
const token = "token of ten";
const readerCounts = [1, 10, 50];
const pacedEveryMs = 5;

const fast = actor("fast", (ctx, frames: number) =>
  ctx.run("emit", async ({ emit }) => {
    for (let i = 0; i < frames; i++) await emit("tokens", token);
  }));

const paced = actor("paced", (ctx, forMs: number) =>
  ctx.run("emit", async ({ emit }) => {
    for (const end = performance.now() + forMs; performance.now() < end;) {
      await emit("times", performance.now());
      await pause(pacedEveryMs);
    }
  }));

const rateOf = async (count: number, work: () => Promise<unknown>): Promise<number> => {
  const begun = performance.now();
  await work();
  return count / (performance.now() - begun) * 1_000;
};

const lagsOf = async (run: Run): Promise<ReadonlyArray<number>> => {
  const lags: Array<number> = [];
  for await (const { frame } of run.output("times")) lags.push(performance.now() - Number(frame));
  return lags;
};

/** The log alone, in a namespace of its own. */
const openLog = async (servers: string, durability: Durability) => {
  const namespace = Namespace.make("plain");
  const runtime = ManagedRuntime.make(
    layerLog({ namespace }).pipe(Layer.provide(layerConnection({ servers, durability }))),
  );
  const log = await runtime.runPromise(Log);
  const body = new TextEncoder().encode(JSON.stringify({ v: 1, kind: "frame", frame: token }));
  let made = 0;
  const address = () =>
    executionAddress(log.layout, Tenant.make("default"), ExecutionId.make(`plain/${made++}`));
  const message = { kind: "out", key: "tokens", body } as const;
  return {
    oneByOne: (count: number) => {
      const to = address();
      return runtime.runPromise(
        Effect.forEach(Array.from({ length: count }), () => log.append(to, message), {
          discard: true,
        }),
      );
    },
    manyAtOnce: (count: number) =>
      runtime.runPromise(
        Effect.forEach(Array.from({ length: count }), () => log.append(address(), message), {
          concurrency: 256,
          discard: true,
        }),
      ),
    close: () => runtime.dispose(),
  };
};

export const measureFrames = async (
  durability: Durability,
  { rounds, frames, pacedMs }: FramesOptions,
): Promise<{ readonly rates: ReadonlyArray<Rate>; readonly lags: ReadonlyArray<Lag> }> => {
  const server = await scratchServer({ durability });
  const plain = await openLog(server.url, durability);
  const weir = await connect({ servers: server.url, durability, namespace: "frames" });
  const worker = await weir.worker([fast, paced]);
  const emitting = async (executions: number) => {
    const runs = Array.from({ length: executions }, () => weir.start(fast, frames));
    for (const run of await Promise.all(runs)) await run.result();
  };
  const works: Readonly<Record<string, () => Promise<number>>> = {
    "plain appends, one after another": () => rateOf(frames, () => plain.oneByOne(frames)),
    "plain appends, 256 executions at once": () => rateOf(frames, () => plain.manyAtOnce(frames)),
    "frames of one execution": () => rateOf(frames, () => emitting(1)),
    "frames of 16 executions": () => rateOf(16 * frames, () => emitting(16)),
  };
  const rates = Object.keys(works).map((what): Rate => ({ what, durability, perSecond: [] }));
  const lags = readerCounts.map((readers): Lag => ({ readers, durability, p50: [], p99: [] }));
  for (let round = 0; round <= rounds; round++) {
    for (const { what, perSecond } of rates) {
      const seen = await works[what]!();
      if (round > 0) perSecond.push(seen); // The first is a warm-up.
    }
    for (const { readers, p50, p99 } of lags) {
      const run = await weir.start(paced, pacedMs);
      const seen = await Promise.all(Array.from({ length: readers }, () => lagsOf(run)));
      if (round === 0) continue;
      p50.push(quantile(seen.flat(), 0.5));
      p99.push(quantile(seen.flat(), 0.99));
    }
    say(`${durability}: round ${round} of ${rounds}`);
  }
  await worker.close();
  await weir.close();
  await plain.close();
  await server.stop();
  return { rates, lags };
};
