/** What lies on the disk of who has ciphers, and what becomes of it where they are missing. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type KV, Kvm } from "@nats-io/kv";
import { connect as natsConnect } from "@nats-io/transport-node";
import {
  actor,
  aes256gcm,
  type Cipher,
  CipherMissing,
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

const keysOf = async (bucket: KV): Promise<ReadonlyArray<string>> => {
  const keys = [];
  for await (const key of await bucket.keys("cipher.>")) keys.push(key);
  return keys;
};

/** The files under a folder that have a text in them; looked for anew while a server removes some. */
const filesWith = async (folder: string, text: string): Promise<ReadonlyArray<string>> => {
  for (;;) {
    try {
      return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => {
        const file = join(folder, path);
        return statSync(file).isFile() && readFileSync(file).includes(text);
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      await sleep(100);
    }
  }
};

describe("payloads on the disk", () => {
  for (const isSealed of [false, true]) {
    it(isSealed ? "cannot be read behind a cipher" : "can be read without one", async () => {
      const store = await scratchStore();
      try {
        const ciphers = isSealed ? [keyOf("2026-11")] : [];
        await useEverything({ embedded: { store }, ciphers });
        const found = await filesWith(store, canary);
        if (isSealed) assert.deepEqual(found, []);
        else assert.ok(found.length >= 2, "the object store and the log");
        assert.ok((await filesWith(store, "order")).length > 0, "names are not hidden");
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
  let namespace = "weir";
  const options = (...ids: ReadonlyArray<string>) => ({
    embedded: { store },
    namespace,
    ciphers: ids.map(keyOf),
  });
  let goesOn = (): void => undefined;
  const again = new Promise<void>((resolve) => goesOn = resolve);
  let runs = 0;
  const once = actor("once", (_, input: string) => {
    if (++runs === 2) goesOn();
    return input;
  });
  const lacks = (error: Error & { readonly code?: string }) =>
    error.code === "WEIR_UNSUPPORTED_RECORD_VERSION" && error.message.includes("key old");
  const waits = actor("waits", async (ctx, input: string) => `${input} ${await ctx.wait(pay)}`);

  it("loses nothing to a worker that was there before the key, and waits for one that has it", async () => {
    await using other = await connect(options());
    await using knowing = await connect(options("old"));
    const ended = await knowing.start(once, "in", { id: "ended", unserved: true });
    {
      await using _worker = await knowing.worker([once]);
      assert.equal(await ended.result(), "in");
    }
    const run = await knowing.start(waits, "in", { id: "w", unserved: true });
    await run.signal(pay, "out");
    {
      await using _worker = await other.worker([waits, once]);
      await assert.rejects(other.get(waits, "w").describe(), lacks);
      await ended.retry({ from: "start" });
      await sleep(500);
      assert.equal((await run.describe()).status, "waiting");
    }
    await using _worker = await knowing.worker([waits, once]);
    assert.equal(await run.result(), "in out");
    await again;
    assert.equal(await ended.result(), "in");
    assert.equal((await ended.describe()).attempt, 1);
  });

  it("goes on behind a change of keys, and behind the first one there ever was", async () => {
    namespace = "change";
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

  it("keeps out who lacks a key, or has another secret by its name, until its mark is removed", async () => {
    const refused = (error: unknown) =>
      error instanceof CipherMissing && error.message.includes("nats kv del change cipher.old");
    const other = { ...keyOf("new"), id: "old" };
    for (const ciphers of [[], [keyOf("new")], [keyOf("new"), other]]) {
      await assert.rejects(connect({ ...options(), ciphers }), refused);
    }
    await using weir = await connect(options("new", "old"));
    const { host, username: user, password: pass } = new URL(weir.server!.url);
    const nats = await natsConnect({ servers: host, user, pass });
    try {
      const bucket = await new Kvm(nats).open(namespace);
      assert.deepEqual([...await keysOf(bucket)].sort(), ["cipher.new", "cipher.old"]);
      await bucket.delete("cipher.old");
      await (await connect(options("new"))).close();
    } finally {
      await nats.close();
    }
  });

  it("is refused a cipher without a name", async () => {
    const ciphers = [{ ...keyOf("a"), id: "" }];
    await assert.rejects(connect({ embedded: { store }, ciphers }), InvalidInput);
  });
});
