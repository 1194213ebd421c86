import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { actor, connect, SubscriptionConflict, type Weir } from "../../mod.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import type { SubscriptionReaderOptions } from "../fixtures/subscription_reader.ts";

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(
  new URL(`../fixtures/subscription_reader${extension}`, import.meta.url),
);

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((reader) => reader.kill("SIGKILL")));

const deadlineMs = 60_000;
const order = actor("order", (_, n: number) => n);

interface Reader {
  /** What it began to work on, in its order. */
  readonly seen: ReadonlyArray<string>;
  /** Kill -9; returns when it is gone. */
  readonly kill: () => Promise<void>;
}

const startReader = async (options: SubscriptionReaderOptions): Promise<Reader> => {
  const args = [...runtimeArguments, script, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  living.add(child);
  const ended = new Promise<void>((resolve) =>
    child.once("exit", () => {
      living.delete(child);
      resolve();
    })
  );
  let isReading = false;
  const seen: Array<string> = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (isReading) seen.push(JSON.parse(line));
    isReading = true;
  });
  await eventually("a reader reads", () => isReading || undefined, deadlineMs);
  return {
    seen,
    kill: () => {
      process.kill(child.pid!, "SIGKILL");
      return ended;
    },
  };
};

describe("a durable subscription", () => {
  let server: ScratchServer;
  let weir: Weir;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    weir = await connect({ servers: server.url });
    await weir.worker([order]);
  });
  after(async () => {
    await weir.close();
    await server.stop();
  });

  const lag = async () =>
    (await weir.subscriptions.list()).find(({ name }) => name === "billing")?.lag;
  const untilLag = (expected: number) =>
    eventually(
      `the lag is ${expected}`,
      async () => (await lag()) === expected || undefined,
      deadlineMs,
    );

  it("is shared, survives kill -9 in the loop's body, and is moved and refused as promised", async () => {
    const durable = "billing";
    const ids: Array<string> = [];
    const complete = async (count: number) => {
      for (let i = 0; i < count; i++) {
        const run = await weir.start(order, ids.length);
        await run.result();
        ids.push(run.id);
      }
    };
    await complete(1);
    const victim = await startReader({ url: server.url, durable, hangs: true });
    await eventually("it has one", () => victim.seen.length === 1 || undefined, deadlineMs);
    const witness = await startReader({ url: server.url, durable, hangs: false });
    await complete(19);
    await untilLag(1);
    assert.deepEqual(victim.seen, ids.slice(0, 1));
    assert.deepEqual([...witness.seen].sort(), ids.slice(1).sort());

    await victim.kill();
    await untilLag(0);
    assert.deepEqual(witness.seen.slice(19), victim.seen);

    await weir.subscriptions.reset("completions", durable, "earliest");
    await eventually("all come again", () => witness.seen.length >= 40 || undefined, deadlineMs);
    assert.deepEqual([...witness.seen.slice(20)].sort(), [...ids].sort());
    await untilLag(0);

    await witness.kill();
    await complete(3);
    await untilLag(3);
    const next = weir.completions({ durable, tenant: "rival" })[Symbol.asyncIterator]().next();
    await assert.rejects(next, SubscriptionConflict);
    assert.equal(await lag(), 3);

    // What was handled stays handled over a restart of the server, and the rest comes.
    await server.restart();
    const successor = await startReader({ url: server.url, durable, hangs: false });
    await untilLag(0);
    assert.deepEqual([...successor.seen].sort(), ids.slice(-3).sort());
    await successor.kill();
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
