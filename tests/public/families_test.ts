import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import {
  actor,
  connect,
  CursorGap,
  InvalidCursor,
  InvalidInput,
  signal,
  StreamDisconnected,
  type Subscription,
  type Weir,
} from "@weir/weir";
import { decodeCursor } from "@weir/weir/schema";
import { inMemory } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const go = signal<string>("go");
const order = actor("order", async (ctx) => {
  await ctx.tag("team.name", "checkout");
  return await ctx.wait(go);
});

/** The first so many, by a loop that is left. */
const take = async <A>(events: AsyncIterable<A>, count: number): Promise<ReadonlyArray<A>> => {
  const taken: Array<A> = [];
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
};

const sequences = (cursor: string) =>
  Effect.runSync(decodeCursor(cursor)).shards.map(({ sequence }) => sequence);

describe("the families through the promise door", () => {
  let store: string;
  let weir: Weir;
  before(async () => {
    store = await scratchStore();
    weir = await connect({ tenant: "acme", embedded: { store }, shards: 2 });
    await weir.worker([order]);
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  it("a loop sees what happens to executions, and goes on behind any event", async () => {
    for (const id of ["o-1", "o-2"]) {
      const run = await weir.start(order, undefined, { id });
      await run.signal(go, "on", { source: "ana" });
      await run.result();
    }
    const ends = await take(weir.completions({ after: "earliest" }), 2);
    assert.deepEqual(ends.map(({ outcome }) => outcome), ["success", "success"]);
    assert.deepEqual(ends.map(({ executionId }) => executionId).sort(), ["order/o-1", "order/o-2"]);
    const [second] = await take(weir.completions({ after: ends[0]!.cursor }), 1);
    assert.equal(second!.executionId, ends[1]!.executionId);

    const of = { after: "earliest", executionId: "order/o-1" } as const;
    const [delivery] = await take(weir.signalDeliveries(of), 1);
    assert.deepEqual([delivery!.sourceIdentity, delivery!.tenant], ["ana", "acme"]);
    const [tagged] = await take(weir.instanceTags(of), 1);
    assert.deepEqual([tagged!.type, tagged!.executionId], ["attached", "order/o-1"]);
    const [acquired] = await take(weir.leaseHistory(of), 1);
    assert.equal(acquired!.type, "acquired");
    const tag = { name: "team.name", value: "checkout" };
    assert.equal((await take(weir.completions({ after: "earliest", tag }), 2)).length, 2);
  });

  it("the tenant is the connection's, another, or every one", async () => {
    const run = await weir.start(order, undefined, { id: "o-1", tenant: "other" });
    await run.signal(go, "on");
    await run.result();
    const tenants = async (options: Parameters<Weir["completions"]>[0]) => {
      const found = new Set<string | undefined>();
      const [now] = await take(weir.completions({ after: "now", ticks: "20 millis" }), 1);
      const ends = sequences(now!.cursor);
      for await (const event of weir.completions({ ...options, ticks: "20 millis" })) {
        if (!("type" in event)) found.add(event.tenant);
        else if (sequences(event.cursor).every((sequence, i) => sequence >= ends[i]!)) break;
      }
      return [...found].sort();
    };
    assert.deepEqual(await tenants({ after: "earliest" }), ["acme"]);
    assert.deepEqual(await tenants({ after: "earliest", tenant: "other" }), ["other"]);
    assert.deepEqual(await tenants({ after: "earliest", allTenants: true }), ["acme", "other"]);
  });

  it("what cannot be read is refused when the loop begins", async () => {
    const refusal = async (events: AsyncIterable<unknown>) => {
      try {
        await take(events, 1);
      } catch (error) {
        return error;
      }
      return assert.fail("it began");
    };
    assert.ok(await refusal(weir.completions({ after: "?" })) instanceof InvalidCursor);
    assert.ok(await refusal(weir.completions({ tenant: "" })) instanceof InvalidInput);
    assert.ok(
      await refusal(weir.completions({ tenant: "a", allTenants: true })) instanceof InvalidInput,
    );
    const all = { allTenants: true, executionId: "order/o-1" };
    assert.ok(await refusal(weir.completions(all)) instanceof InvalidInput);
    assert.equal(typeof CursorGap, "function");
  });

  it("a loop that waits can be left from outside, and ends when the connection does", async () => {
    const other = await connect({ tenant: "idle", embedded: { store } });
    const left = other.completions()[Symbol.asyncIterator]();
    const next = left.next();
    assert.deepEqual(await left.return!(), { done: true, value: undefined });
    assert.equal((await next).done, true);
    // What is left before it has begun does not begin.
    const unopened = other.completions()[Symbol.asyncIterator]();
    await unopened.return!();
    assert.deepEqual(await unopened.next(), { done: true, value: undefined });
    const waits = other.completions({ after: "now", ticks: "10 millis" })[Symbol.asyncIterator]();
    const first = await waits.next();
    const idle = (async () => {
      for (;;) if ((await waits.next()).done === true) return;
    })();
    const ends = assert.rejects(idle, StreamDisconnected);
    await other.close();
    await ends;
    assert.equal(first.value.type, "tick");
  });

  it("who stands still for long reads on as if nothing had been", async () => {
    const count = 1_000;
    const busy = actor("busy", async (ctx) => {
      for (let i = 0; i < count; i++) await ctx.tag("a.b", String(i));
    });
    await using memory = await inMemory();
    await memory.worker([busy]);
    const tags = memory.instanceTags({ after: "earliest" })[Symbol.asyncIterator]();
    const first = tags.next();
    await (await memory.start(busy, undefined)).result();
    const seen = [(await first).value];
    await memory.advance("10 minutes");
    while (seen.length < count) seen.push((await tags.next()).value);
    await tags.return!();
    assert.deepEqual(
      seen.map(({ value }) => value),
      Array.from({ length: count }, (_, i) => `${i}`),
    );
  });

  it("an event stays with the durable loop that works on it, however long that takes", async () => {
    const brief = actor("brief", () => "done");
    await using memory = await inMemory();
    await memory.worker([brief]);
    const options = { durable: "billing", after: "earliest" } as const;
    const slow = memory.completions(options)[Symbol.asyncIterator]();
    const first = slow.next();
    const run = await memory.start(brief, undefined);
    await run.result();
    assert.equal((await first).value.executionId, run.id);
    const other = memory.completions(options)[Symbol.asyncIterator]();
    const seen: Array<string> = [];
    const reading = (async () => {
      for (;;) {
        const { value, done } = await other.next();
        if (done === true) return;
        seen.push(value.executionId);
      }
    })();
    await memory.advance("1 minute");
    assert.deepEqual(seen, []);
    const [{ lag, unacknowledged }] = await memory.subscriptions.list() as [Subscription];
    assert.deepEqual([lag, unacknowledged], [1, 1]);
    // It leaves without asking for the next, so that the other has it now.
    await slow.return!();
    await memory.advance("1 minute");
    assert.deepEqual(seen, [run.id]);
    await other.return!();
    await reading;
  });

  it("reading works in memory as well, and ticks by the test's clock", async () => {
    await using memory = await inMemory({ startsAt: new Date("2026-01-01T00:00:00Z") });
    await memory.worker([order]);
    const ticks = memory.completions({ after: "now", ticks: "5 seconds" })[Symbol.asyncIterator]();
    const first = ticks.next();
    await memory.advance("1 hour");
    assert.equal((await first).value.type, "tick");
    await ticks.return!();
    const run = await memory.start(order, undefined);
    await run.signal(go, "on");
    await run.result();
    const [end] = await take(memory.completions({ after: "earliest" }), 1);
    assert.equal(end!.outcome, "success");
  });
});
