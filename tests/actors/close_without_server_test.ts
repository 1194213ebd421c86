import assert from "node:assert/strict";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { layer } from "../../actors/layer.ts";
import { makeWorker } from "../../actors/verbs.ts";
import { actor, connect, type Weir } from "../../mod.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

/** Well below the half minute for which an append, or what is under way, waits for a server. */
const fewSecondsMs = 10_000;

const sleeper = actor("sleeper", (ctx) => ctx.sleep("nap", "1 hour"));

/** It never hears that it is over. */
const busy = actor("busy", async (ctx) => {
  await ctx.run("dig", () => new Promise<void>((resolve) => digs.push(resolve)));
});
const digs: Array<() => void> = [];

const takesMs = async (close: () => Promise<void>): Promise<number> => {
  const begun = performance.now();
  await close();
  return performance.now() - begun;
};

describe("a connection that is closed while its server", () => {
  let server: ScratchServer;
  beforeEach(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  afterEach(() => server.stop());

  /** Connected, with a worker that waits in one execution and works in another. */
  const atWork = async (): Promise<Weir> => {
    digs.length = 0;
    const weir = await connect({ servers: server.url });
    await weir.worker([sleeper, busy]);
    await weir.start(sleeper, undefined, { id: "a" });
    await weir.start(busy, undefined, { id: "a" });
    await eventually("it works", () => digs.length > 0 || undefined);
    return weir;
  };

  it("is away ends in a few seconds", async () => {
    const weir = await atWork();
    await server.kill();
    assert.ok(await takesMs(weir.close) < fewSecondsMs);
    digs.forEach((end) => end());
  });

  it("says nothing any more ends in a few seconds", async () => {
    const weir = await atWork();
    const pid = server.pid!;
    process.kill(pid, "SIGSTOP");
    try {
      assert.ok(await takesMs(weir.close) < fewSecondsMs);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    digs.forEach((end) => end());
  });

  it("is there still finishes what keeps the event loop busy", async () => {
    let begun = 0;
    const heavy = actor("heavy", (ctx) =>
      ctx.run("reckon", async () => {
        const time = ++begun;
        for (let i = 0; i < 3; i++) {
          await turn();
          for (const until = performance.now() + 3_300; performance.now() < until;) continue;
        }
        return time;
      }));
    const weir = await connect({ servers: server.url });
    await weir.worker([heavy]);
    await weir.start(heavy, undefined, { id: "a" });
    while (begun === 0) await turn();
    await weir.close();
    await using other = await connect({ servers: server.url });
    await other.worker([heavy]);
    assert.equal(await other.get(heavy, "a").result(), 1);
  });

  it("is restarted still finishes what is under way", async () => {
    const weir = await atWork();
    const closing = weir.close();
    await server.restart();
    digs.forEach((end) => end());
    await closing;
    await using other = await connect({ servers: server.url });
    await other.worker([busy]);
    await other.get(busy, "a").result();
    assert.equal(digs.length, 1);
  });

  it("is away ends the scope of an Effect program in a few seconds", async () => {
    const runtime = ManagedRuntime.make(layer({ servers: server.url }));
    const use = Effect.gen(function* () {
      yield* makeWorker([sleeper], {});
      yield* Effect.promise(() => server.kill());
    });
    await runtime.runPromise(Effect.void);
    const program = () => runtime.runPromise(Effect.scoped(use)).then(() => runtime.dispose());
    assert.ok(await takesMs(program) < fewSecondsMs);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
