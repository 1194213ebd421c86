import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  actor,
  Cancelled,
  connect,
  ExecutionCancelled,
  ExecutionEnded,
  ExecutionFailed,
  InvalidInput,
  type Run,
  signal,
  type StandardSchema,
  type Weir,
  type Worker,
} from "@weir/weir";
import { removeStore, scratchStore } from "./scratch_store.ts";

const approval = signal<{ by: string }>("approval");

/** Nobody's schema library, but a Standard Schema all the same. */
const cents: StandardSchema<unknown, { readonly cents: number }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof value === "object" && value !== null && "cents" in value &&
        typeof value.cents === "number"
        ? { value: { cents: value.cents } }
        : { issues: [{ message: "expected a number", path: ["cents"] }] },
  },
};

const charged: Array<string> = [];

const ship = actor("ship", (ctx, order: string) => ctx.run("label", () => `label of ${order}`));

const order = actor("order", { input: cents }, async (ctx, input: { readonly cents: number }) => {
  const phase = ctx.state<string>("phase");
  await phase.set("charging");
  const receipt = await ctx.run("charge", (step) => {
    charged.push(step.idempotencyKey);
    return `receipt over ${input.cents}`;
  }, { retry: { attempts: 5 } });
  await phase.set("waiting");
  const ok = await ctx.wait(approval, { timeout: "7 days" });
  await ctx.sleep("cool off", "200 millis");
  const label = await ctx.call(ship, ctx.executionId);
  await phase.set(undefined);
  return { receipt, by: ok?.by, label };
});

const refunds: Array<string> = [];
const trip = actor("trip", async (ctx) => {
  await ctx.run("book flight", () => "booked");
  try {
    return await ctx.wait(approval);
  } catch (error) {
    if (error instanceof Cancelled) await ctx.run("refund", () => refunds.push("flight"));
    throw error;
  }
});

let isBroken = true;
const fragile = actor("fragile", (ctx) =>
  ctx.run("call", () => {
    if (isBroken) throw new RangeError("out of order");
    return "mended";
  }, { retry: { attempts: 2, delay: "10 millis" } }));

/** Looks until it finds; fails at the deadline. */
const until = async <A>(what: string, look: () => Promise<A | undefined>): Promise<A> => {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(10);
  }
};

const untilItWaits = <A>(run: Run<A>) =>
  until(`${run.id} waits for a signal`, async () => {
    const found = await run.describe();
    return found.reason === "signal" ? found : undefined;
  });

describe("executions on the embedded server", () => {
  let store: string;
  let weir: Weir;
  let worker: Worker;
  before(async () => {
    store = await scratchStore();
    weir = await connect({ tenant: "acme", embedded: { store } });
    worker = await weir.worker([order, ship, trip, fragile], { residentGrace: "50 millis" });
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  it("an order is charged once, waits for its approval, and is shipped", async () => {
    const id = randomUUID();
    const run = await weir.start(order, { cents: 4200 }, {
      id,
      tags: { "team.name": "checkout" },
    });
    assert.deepEqual([run.created, run.id, run.tenant], [true, `order/${id}`, "acme"]);
    assert.equal((await weir.start(order, { cents: 1 }, { id })).created, false);
    const waiting = await untilItWaits(run);
    assert.deepEqual(waiting.cells, { phase: "waiting" });
    assert.deepEqual(waiting.tags, { "team.name": "checkout" });
    assert.deepEqual(waiting.steps["charge"], { type: "value", value: "receipt over 4200" });
    const sent = await run.signal(approval, { by: "ana" });
    assert.equal(await sent.effect(), "satisfied");
    assert.deepEqual(await run.result(), {
      receipt: "receipt over 4200",
      by: "ana",
      label: `label of ${run.id}`,
    });
    assert.equal(new Set(charged).size, charged.length);
    assert.equal((await weir.get(order, id).describe()).status, "completed");
  });

  it("a step takes what a thenable comes to in the end", async () => {
    const thenable = (then: PromiseLike<unknown>["then"]) => ({ then }) as PromiseLike<number>;
    const inner = thenable((give) => give?.(7) as never);
    const taker = actor(
      "taker",
      async (ctx) => await ctx.run("nested", () => thenable((give) => give?.(inner) as never)),
    );
    const worker = await weir.worker([taker]);
    assert.equal(await (await weir.start(taker, undefined)).result(), 7);
    await worker.close();
  });

  it("a result that nobody waits for any more rejects with the reason that its signal gives", async () => {
    const run = await weir.start(trip, undefined);
    const reason = new Error("the tab was closed");
    const leaving = new AbortController();
    const left = assert.rejects(run.result({ signal: leaving.signal }), reason);
    await assert.rejects(run.result({ signal: AbortSignal.abort(reason) }), reason);
    leaving.abort(reason);
    await left;
    await assert.rejects(run.result({ signal: AbortSignal.timeout(1) }), { name: "TimeoutError" });
    await run.cancel({ force: true });
  });

  it("another connection, or none, makes no difference to an execution", async () => {
    const id = randomUUID();
    await weir.start(order, { cents: 1 }, { id });
    await using other = await connect({ tenant: "acme", embedded: { store } });
    const run = other.get(order, id);
    await untilItWaits(run);
    await worker.close();
    assert.equal((await run.describe()).status, "suspended");
    await run.signal(approval, { by: "bo" });
    const result = run.result();
    worker = await weir.worker([order, ship, trip, fragile], { residentGrace: "50 millis" });
    assert.equal((await result).by, "bo");
  });

  it("its history and its events tell one story", async () => {
    const run = await weir.start(ship, "o-1");
    await run.result();
    const kinds: Array<string> = [];
    for await (const { record } of run.history()) kinds.push(record.kind);
    assert.deepEqual(kinds, ["start", "step", "done"]);
    const events = await weir.events.loadEvents(run.id);
    assert.deepEqual(events.map(({ event }) => event.type), [
      "executionStarted",
      "stepStarted",
      "stepCompleted",
      "executionCompleted",
    ]);
  });

  it("a cancelled trip is refunded before it ends", async () => {
    const run = await weir.start(trip, undefined);
    await untilItWaits(run);
    await run.cancel({ reason: "rain" });
    await assert.rejects(run.result(), (error: unknown) => {
      assert.ok(error instanceof ExecutionCancelled);
      assert.equal(error.reason, "rain");
      return true;
    });
    assert.deepEqual(refunds, ["flight"]);
    await assert.rejects(run.signal(approval, { by: "late" }), ExecutionEnded);
  });

  it("what failed is run again when its cause is gone", async () => {
    const run = await weir.start(fragile, undefined);
    await assert.rejects(run.result(), (error: unknown) => {
      assert.ok(error instanceof ExecutionFailed);
      assert.deepEqual([error.failure.name, error.failure.step], ["RangeError", "call"]);
      return true;
    });
    isBroken = false;
    await run.retry();
    assert.equal(await run.result(), "mended");
  });

  it("what is paused goes on when it is resumed", async () => {
    const run = await weir.start(order, { cents: 2 });
    await untilItWaits(run);
    await run.pause({ reason: "stocktaking" });
    await until("it is paused", async () => {
      const { status, why } = await run.describe();
      return status === "paused" && why.includes("stocktaking") ? true : undefined;
    });
    await run.signal(approval, { by: "cy" });
    await run.resume();
    assert.equal((await run.result()).by, "cy");
  });

  it("refuses an input that the actor's schema refuses, before anything is started", async () => {
    const id = randomUUID();
    const wrong = { cents: "many" } as unknown as { cents: number };
    await assert.rejects(weir.start(order, wrong, { id }), (error: unknown) => {
      assert.ok(error instanceof InvalidInput);
      assert.match(error.message, /input of order.*cents: expected a number/);
      return true;
    });
    await assert.rejects(weir.get(order, id).describe(), { code: "WEIR_EXECUTION_NOT_FOUND" });
  });

  it("shows a tenant nothing of another", async () => {
    const run = await weir.start(ship, "theirs", { id: "shared", tenant: "rival" });
    await run.result();
    await assert.rejects(weir.get(ship, "shared").result(), { code: "WEIR_EXECUTION_NOT_FOUND" });
    assert.equal(await weir.get(ship, "shared", { tenant: "rival" }).result(), "label of theirs");
  });

  it("its workers are known to everybody", async () => {
    const sessions = await weir.workers();
    const own = sessions.find((session) => session.worker === worker.identity);
    assert.deepEqual(own?.actors, ["order", "ship", "trip", "fragile"]);
  });
});
