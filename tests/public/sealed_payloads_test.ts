/** What lies on the disk of who has ciphers, and what becomes of it where they are missing. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  actor,
  aes256gcm,
  type Cipher,
  connect,
  type ConnectOptions,
  ExecutionFailed,
  InvalidInput,
  signal,
} from "@weir/weir";
import { connectOutbox } from "@weir/weir/outbox";
import { removeStore, scratchStore } from "./scratch_store.ts";

const secretOf = (id: string) => `${id}-`.padEnd(40, "0123456789");
const keyOf = (id: string): Cipher => aes256gcm({ id, secret: secretOf(id) });

const canary = "canary-4111-1111";
const much = `${canary} `.repeat(20_000);
const pay = signal<string>("pay");

const child = actor("child", (_, input: string) => input);
const broken = actor("broken", (_, input: string) => {
  throw new Error(`no money on ${input}`);
});
const order = actor("order", async (ctx, input: string) => {
  const card = await ctx.run("step", () => input);
  await ctx.run("large", () => much);
  await ctx.state<string>("card").set(card);
  await ctx.emit("frames", card);
  await ctx.outbox.add("paid", { card });
  await ctx.call(child, card);
  await ctx.sleep("nap", "10 millis");
  return `${card} ${await ctx.wait(pay)}`;
});

/** Has the canary go through whatever takes a payload. */
const useEverything = async (options: ConnectOptions): Promise<void> => {
  await using weir = await connect(options);
  await using _worker = await weir.worker([order, child, broken], {
    residentGrace: "1 millis",
    queues: true,
    triggers: true,
  });
  const late = await weir.start(child, canary, { delay: "1 day" });
  await weir.triggers.create({
    when: { event: "paid" },
    then: { signal: late, name: "told", payload: canary },
    standing: true,
  });
  const run = await weir.start(order, canary, { id: randomUUID() });
  await run.signal(pay, canary);
  assert.equal(await run.result(), `${canary} ${canary}`);
  const frames = [];
  for await (const { frame } of run.output("frames")) frames.push(frame);
  assert.deepEqual(frames, [canary]);
  const told = [];
  for await (const { record } of run.history()) told.push(JSON.stringify(record));
  assert.ok(told.filter((record) => record.includes(canary)).length >= 5, told.join("\n"));

  await weir.emit("paid", canary);
  const failed = await weir.start(broken, canary);
  await assert.rejects(
    failed.result(),
    (error) => error instanceof ExecutionFailed && error.message.includes(canary),
  );
  await weir.ledgers.append("audits", { kind: "audit", payload: canary });
  const [entry] = await weir.ledgers.read("audits");
  assert.equal(entry?.payload, canary);
  const policy = { type: "repeat", count: 2, interval: "1 day" } as const;
  await weir.schedule(child, canary, { policy });

  await using outbox = await connectOutbox({ ...options, strategy: { type: "provided" } });
  await outbox.add("order.paid", { card: canary }, "o-1/paid");
};

/** The files under a folder that have a text in them. */
const filesWith = (folder: string, text: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => {
    const file = join(folder, path);
    return statSync(file).isFile() && readFileSync(file).includes(text);
  });

describe("payloads on the disk", () => {
  for (const isSealed of [false, true]) {
    it(isSealed ? "cannot be read behind a cipher" : "can be read without one", async () => {
      const store = await scratchStore();
      try {
        const ciphers = isSealed ? [keyOf("2026-11")] : [];
        await useEverything({ embedded: { store }, ciphers });
        const found = filesWith(store, canary);
        if (isSealed) assert.deepEqual(found, []);
        else assert.ok(found.length >= 2, "the object store and the log");
        assert.ok(filesWith(store, "order").length > 0, "names are not hidden");
      } finally {
        await removeStore(store);
      }
    });
  }
});

describe("an execution that was sealed", () => {
  let store: string;
  before(async () => {
    store = await scratchStore();
  });
  after(() => removeStore(store));
  const options = (...ids: ReadonlyArray<string>) => ({
    embedded: { store },
    ciphers: ids.map(keyOf),
  });
  const waits = actor("waits", async (ctx, input: string) => `${input} ${await ctx.wait(pay)}`);

  it("waits for a worker that has the key, and loses nothing to one that has not", async () => {
    await using knowing = await connect(options("old"));
    const run = await knowing.start(waits, "in", { id: "w", unserved: true });
    await run.signal(pay, "out");
    {
      await using other = await connect(options("new"));
      await using _worker = await other.worker([waits]);
      await assert.rejects(
        other.get(waits, "w").describe(),
        (error: Error & { readonly code?: string }) =>
          error.code === "WEIR_UNSUPPORTED_RECORD_VERSION" && error.message.includes("key old"),
      );
      await sleep(300);
      assert.equal((await run.describe()).status, "waiting");
    }
    await using _worker = await knowing.worker([waits]);
    assert.equal(await run.result(), "in out");
  });

  it("goes on behind a change of keys, and behind the first one there ever was", async () => {
    for (const ids of [[], ["old"], ["new", "old"]]) {
      await using weir = await connect(options(...ids));
      await weir.start(waits, ids.join(), { unserved: true, id: `${ids.length}` });
    }
    await using weir = await connect(options("new", "old"));
    await using _worker = await weir.worker([waits]);
    const results = await Promise.all(["0", "1", "2"].map(async (id) => {
      const run = weir.get(waits, id);
      await run.signal(pay, "!");
      return await run.result();
    }));
    assert.deepEqual(results, [" !", "old !", "new,old !"]);
  });

  it("is refused a cipher without a name", async () => {
    const ciphers = [{ ...keyOf("a"), id: "" }];
    await assert.rejects(connect({ embedded: { store }, ciphers }), InvalidInput);
  });
});
