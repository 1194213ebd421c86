import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  actor,
  Cancelled,
  InvalidInput,
  NobodyKeepsQueues,
  type QueueOptions,
  type Run,
  signal,
  SignalLimitExceeded,
} from "@weir/weir";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";

const go = signal("go");
const kept = { queues: true } as const;

/** Runs until it is told to go on, and says in what order runs began. */
const holding = () => {
  const begun: Array<string> = [];
  const hold = actor("hold", async (ctx) => {
    await ctx.run("begin", () => void begun.push(ctx.executionId.slice("hold/".length)));
    await ctx.wait(go);
  });
  return { begun, hold };
};

const reasonOf = async (run: Pick<Run, "describe">) => (await run.describe()).reason;

const submitMany = async (
  weir: MemoryWeir,
  hold: ReturnType<typeof holding>["hold"],
  ids: ReadonlyArray<string>,
  options: (id: string) => Parameters<typeof weir.submit>[2],
) => {
  const runs = new Map<string, Run<void>>();
  for (const id of ids) {
    runs.set(id, await weir.submit(hold, undefined, { id, ...options(id) }));
    await weir.advance("10 millis");
  }
  return runs;
};

describe("a queue", () => {
  it("lets in one of a key at a time, and the next when that one ends", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    const runs = await submitMany(weir, hold, ["a1", "a2", "a3", "b1"], (id) => ({
      queue: { name: "cards", key: id.slice(0, 1) },
    }));
    await weir.advance("1 minute");
    assert.deepEqual(begun, ["a1", "b1"]);
    assert.equal(await reasonOf(runs.get("a2")!), "queue");
    assert.equal((await runs.get("a2")!.describe()).queue, "cards");
    assert.match(
      (await weir.queues.why(runs.get("a2")!))!,
      /the key a is held by default hold\/a1/,
    );
    assert.equal(await weir.queues.why(runs.get("a1")!), undefined);
    const { waiting, running, tenants } = await weir.queues.describe("cards");
    assert.deepEqual([waiting, running, tenants], [2, 2, { default: { waiting: 2, running: 2 } }]);
    for (const [i, id] of ["a1", "a2", "a3", "b1"].entries()) {
      await runs.get(id)!.signal(go, undefined);
      await runs.get(id)!.result();
      await weir.advance("1 second");
      assert.equal(begun.length, Math.min(i + 3, 4));
    }
    const after = await weir.queues.describe("cards");
    assert.deepEqual([after.waiting, after.running], [0, 0]);
  });

  it("prefers the urgent, and changes its limits while people wait", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    await weir.queues.configure("one", { concurrency: 1, ageing: "1 hour" });
    await weir.advance("1 second");
    await submitMany(weir, hold, ["first", "low", "high", "mid"], (id) => ({
      queue: "one",
      priority: { first: 0, low: 0, high: 9, mid: 5 }[id]!,
    }));
    assert.deepEqual(begun, ["first"]);
    const limits = await weir.queues.configure("one", { concurrency: 3 });
    assert.deepEqual([limits.concurrency, limits.ageingMs], [3, 3_600_000]);
    await weir.advance("1 second");
    assert.deepEqual(begun, ["first", "high", "mid"]);
    await weir.queues.configure("one", { paused: true });
    await weir.advance("1 second");
    await weir.get(hold, "first").signal(go, undefined);
    await weir.advance("1 minute");
    assert.equal(begun.length, 3);
    assert.match((await weir.queues.why(weir.get(hold, "low")))!, /paused/);
    await weir.queues.configure("one", { paused: false });
    await weir.advance("1 second");
    assert.deepEqual(begun, ["first", "high", "mid", "low"]);
  });

  it("keeps to its rate", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    await weir.queues.configure("slow", { rate: { count: 1, per: "1 minute" } });
    await weir.advance("1 second");
    await submitMany(weir, hold, ["1", "2", "3", "4"], () => ({ queue: "slow" }));
    await weir.advance("1 second");
    assert.equal(begun.length, 1);
    await weir.advance("2 minutes");
    assert.equal(begun.length, 3);
    await weir.queues.configure("slow", { rate: null });
    await weir.advance("1 second");
    assert.equal(begun.length, 4);
  });

  it("gives tenants their weights", async () => {
    await using weir = await inMemory();
    const order: Array<string> = [];
    const brief = actor("brief", (ctx) => ctx.run("note", () => void order.push(ctx.tenant)));
    await weir.worker([brief], kept);
    await weir.queues.configure("fair", { concurrency: 1, paused: true, weights: { big: 10 } });
    await weir.advance("1 second");
    const runs: Array<Run> = [];
    for (const tenant of ["big", "small", "tiny"]) {
      for (let i = 0; i < 24; i++) {
        runs.push(await weir.submit(brief, undefined, { tenant, queue: "fair" }));
      }
    }
    await weir.advance("1 minute");
    await weir.queues.configure("fair", { paused: false });
    await Promise.all(runs.map((run) => run.result()));
    const first = order.slice(0, 24);
    const count = (tenant: string) => first.filter((each) => each === tenant).length;
    assert.deepEqual([count("big"), count("small"), count("tiny")], [20, 2, 2]);
    assert.equal(order.length, 72);
  });

  it("keeps a key between two attempts, or gives it up", async () => {
    for (const hold of ["through-retries", "per-attempt"] as const) {
      await using weir = await inMemory({ runsTwice: false });
      const begun: Array<string> = [];
      const flaky = actor("flaky", (ctx) => {
        begun.push(ctx.executionId);
        if (ctx.attempt === 0 && ctx.executionId === "flaky/a") throw new Error("again");
      });
      await weir.worker([flaky], kept);
      const options = {
        queue: { name: "q", key: "k", hold },
        retry: { attempts: 2, delay: "1 hour", jitter: false },
      } as const;
      const a = await weir.submit(flaky, undefined, { id: "a", ...options });
      await weir.advance("1 second");
      const b = await weir.submit(flaky, undefined, { id: "b", ...options });
      await Promise.all([a.result(), b.result()]);
      assert.deepEqual(
        begun,
        hold === "through-retries"
          ? ["flaky/a", "flaky/a", "flaky/b"]
          : ["flaky/a", "flaky/b", "flaky/a"],
      );
      await weir.advance("1 second");
      const { waiting, running } = await weir.queues.describe("q");
      assert.deepEqual([waiting, running], [0, 0]);
    }
  });

  it("keeps the key of one that is suspended", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], { ...kept, residentGrace: "0 millis" });
    const runs = await submitMany(
      weir,
      hold,
      ["1", "2"],
      () => ({ queue: { name: "q", key: "k" } }),
    );
    await weir.advance("1 hour");
    const { status, reason } = await runs.get("1")!.describe();
    assert.deepEqual([status, reason, begun], ["suspended", "signal", ["1"]]);
    await runs.get("1")!.signal(go, undefined);
    await weir.advance("1 minute");
    assert.deepEqual(begun, ["1", "2"]);
  });

  it("frees the place of one that is cancelled, waiting or running", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    const runs = await submitMany(weir, hold, ["1", "2", "3"], () => ({
      queue: { name: "q", key: "k" },
    }));
    await weir.advance("1 minute");
    await runs.get("2")!.cancel();
    await runs.get("1")!.cancel();
    await weir.advance("1 second");
    assert.deepEqual(begun, ["1", "3"]);
    const { waiting, running } = await weir.queues.describe("q");
    assert.deepEqual([waiting, running], [0, 1]);
  });

  it("lets one that is cancelled between two attempts undo what the first has done", async () => {
    await using weir = await inMemory();
    const undone: Array<string> = [];
    const pays = actor("pays", async (ctx) => {
      try {
        await ctx.run("charge", () => {});
        if (ctx.attempt === 0) throw new Error("again");
        await ctx.wait(go);
      } catch (error) {
        if (error instanceof Cancelled) {
          await ctx.run("refund", () => void undone.push(ctx.executionId));
        }
        throw error;
      }
    });
    const { hold } = holding();
    await weir.worker([pays, hold], kept);
    const queue = { name: "q", key: "k", hold: "per-attempt" } as const;
    const run = await weir.submit(pays, undefined, {
      id: "p",
      queue,
      retry: { attempts: 2, delay: "1 minute", jitter: false },
      timeout: "1 hour",
    });
    await weir.advance("1 second");
    await weir.submit(hold, undefined, { id: "h", queue });
    await weir.advance("2 minutes");
    assert.equal(await reasonOf(run), "queue");
    await run.cancel();
    assert.equal((await run.outcome()).type, "cancelled");
    assert.deepEqual(undone, ["pays/p"]);
  });

  it("is kept for good: nobody ends its keeper", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    await weir.submit(hold, undefined, { id: "1", queue: "q" });
    const keeper = weir.get(actor("weir-queue", () => {}), "q", { tenant: "weir" });
    await assert.rejects(keeper.cancel({ force: true }), InvalidInput);
    await weir.submit(hold, undefined, { id: "2", queue: "q" });
    await weir.advance("1 second");
    assert.deepEqual(begun, ["1", "2"]);
  });

  it("is kept by another when its keeper dies, and lets in nobody twice", async () => {
    let isOver = false;
    for (let append = 1; !isOver; append += append < 12 ? 1 : 5) {
      await using weir = await inMemory();
      let running = 0;
      let most = 0;
      const begun: Array<string> = [];
      const brief = actor("brief", async (ctx) => {
        await ctx.run("begin", () => {
          begun.push(ctx.executionId);
          most = Math.max(most, ++running);
        });
        await ctx.sleep("work", "1 minute");
        await ctx.run("end", () => void running--);
      });
      const keeper = await weir.worker([], kept);
      await weir.worker([brief]);
      isOver = true;
      void keeper.crashAt({ append }, append % 2 === 0 ? "before" : "after").then(async () => {
        isOver = false;
        await weir.worker([], kept);
      });
      const runs = [];
      for (let i = 0; i < 6; i++) {
        runs.push(
          await weir.submit(brief, undefined, { id: `${i}`, queue: { name: "q", key: "k" } }),
        );
      }
      await Promise.all(runs.map((run) => run.result()));
      assert.equal(new Set(begun).size, 6, `append ${append}`);
      assert.equal(most, 1, `append ${append}`);
      await weir.advance("1 minute");
      const { waiting, running: left } = await weir.queues.describe("q");
      assert.deepEqual([waiting, left], [0, 0], `append ${append}`);
    }
  });

  it("holds a key for whom it let in, wherever that one's worker dies", async () => {
    let isOver = false;
    for (let append = 1; !isOver; append += append < 16 ? 1 : 6) {
      await using weir = await inMemory({ runsTwice: false });
      const inside: Array<string> = [];
      const brief = actor("brief", async (ctx) => {
        await ctx.run("begin", () => void inside.push(`+${ctx.executionId}`));
        await ctx.sleep("work", "1 minute");
        await ctx.run("end", () => void inside.push(`-${ctx.executionId}`));
      });
      await weir.worker([], kept);
      const worker = await weir.worker([brief]);
      isOver = true;
      void worker.crashAt({ append }, append % 2 === 0 ? "before" : "after").then(async () => {
        isOver = false;
        await weir.worker([brief]);
      });
      const runs = [];
      for (let i = 0; i < 4; i++) {
        runs.push(
          await weir.submit(brief, undefined, { id: `${i}`, queue: { name: "q", key: "k" } }),
        );
      }
      await Promise.all(runs.map((run) => run.result()));
      // A step may run twice; but between the first and the last of one nobody else's does.
      const order = inside.map((each) => each.slice(1)).filter((id, i, all) => id !== all[i - 1]);
      assert.equal(order.length, 4, `append ${append}: ${inside.join(" ")}`);
      await weir.advance("1 minute");
      const { waiting, running } = await weir.queues.describe("q");
      assert.deepEqual([waiting, running], [0, 0], `append ${append}`);
    }
  });

  it("gives the turn of each attempt up, wherever the worker of it dies", async () => {
    let isOver = false;
    for (let append = 1; !isOver; append += append < 16 ? 1 : 6) {
      await using weir = await inMemory({ runsTwice: false });
      const begun: Array<string> = [];
      const flaky = actor("flaky", async (ctx) => {
        await ctx.sleep("work", "1 minute");
        begun.push(ctx.executionId);
        if (begun.filter((id) => id === ctx.executionId).length === 1) throw new Error("again");
      });
      await weir.worker([], kept);
      const worker = await weir.worker([flaky]);
      isOver = true;
      void worker.crashAt({ append }, append % 2 === 0 ? "before" : "after").then(async () => {
        isOver = false;
        await weir.worker([flaky]);
      });
      const runs = [];
      for (const id of ["a", "b"]) {
        runs.push(
          await weir.submit(flaky, undefined, {
            id,
            queue: { name: "q", key: "k", hold: "per-attempt" },
            retry: { attempts: 3, delay: "10 seconds" },
          }),
        );
      }
      await Promise.all(runs.map((run) => run.result()));
      await weir.advance("5 minutes");
      const { waiting, running } = await weir.queues.describe("q");
      assert.deepEqual([waiting, running], [0, 0], `append ${append}`);
    }
  });

  it("has the runs of a schedule wait for their turns", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    const schedule = await weir.schedule(hold, undefined, {
      id: "s",
      queue: { name: "q", key: "k" },
      policy: { type: "repeat", count: 3, interval: "1 minute" },
    });
    await weir.advance("10 minutes");
    assert.deepEqual(begun, ["s~1"]);
    assert.equal((await weir.queues.describe("q")).waiting, 2);
    for (const run of ["s~1", "s~2", "s~3"]) await weir.get(hold, run).signal(go, undefined);
    assert.equal((await schedule.result()).completed, 3);
    assert.deepEqual(begun, ["s~1", "s~2", "s~3"]);
  });

  it("loses no change of two that are made at once", async () => {
    await using weir = await inMemory();
    await weir.worker([], kept);
    await Promise.all([
      weir.queues.configure("q", { concurrency: 5 }),
      weir.queues.configure("q", { paused: true }),
      weir.queues.configure("q", { perTenant: 3, rate: { count: 1, per: "1 second" } }),
    ]);
    await weir.advance("1 second");
    await weir.queues.configure("q", { rate: null });
    await weir.advance("1 second");
    const { concurrency, paused, perTenant, rate } = (await weir.queues.describe("q")).limits;
    assert.deepEqual([concurrency, paused, perTenant, rate], [5, true, 3, undefined]);
  });

  it("tells whose turn it is however many signals have come before", async () => {
    await using weir = await inMemory();
    const { begun, hold } = holding();
    await weir.worker([hold], kept);
    await weir.queues.configure("q", { paused: true });
    const run = await weir.submit(hold, undefined, { id: "1", queue: "q" });
    const other = signal("other");
    await assert.rejects(async () => {
      for (let i = 0; i < 20_000; i++) {
        await run.signal(other, undefined);
        if (i % 1_000 === 0) await weir.advance("1 second");
      }
    }, SignalLimitExceeded);
    await weir.queues.configure("q", { paused: false });
    await weir.advance("1 minute");
    assert.deepEqual(begun, ["1"]);
  });

  it("refuses actors whose names are the runtime's", async () => {
    await using weir = await inMemory();
    const own = actor("weir-queue", () => "kept");
    await assert.rejects(weir.worker([own]), InvalidInput);
    await assert.rejects(weir.start(own, undefined, { unserved: true }), InvalidInput);
  });

  it("is refused when nobody keeps queues, or what it is told makes no sense", async () => {
    await using weir = await inMemory();
    const { hold } = holding();
    await weir.worker([hold]);
    await assert.rejects(weir.submit(hold, undefined, { queue: "q" }), NobodyKeepsQueues);
    await assert.rejects(
      weir.triggers.create({
        id: "t",
        when: { event: "paid" },
        then: { submit: hold, options: { queue: "q" } },
      }),
      (error) => {
        assert.ok(error instanceof NobodyKeepsQueues);
        const { queue, of } = error;
        assert.deepEqual({ queue, of }, { queue: "q", of: "task" });
        assert.doesNotMatch(JSON.stringify(error), /xxx/);
        return true;
      },
    );
    await assert.rejects(weir.queues.configure("q", { paused: true }), NobodyKeepsQueues);
    await weir.worker([], kept);
    for (
      const bad of [
        { concurrency: 0 },
        { perKey: 1.5 },
        { weights: { a: 0 } },
        { rate: { count: 0, per: "1 second" } },
        { rate: { count: 1, per: "soon" as never } },
        { ageing: "0 millis" },
      ] as ReadonlyArray<QueueOptions>
    ) {
      await assert.rejects(weir.queues.configure("q", bad), InvalidInput);
    }
    await assert.rejects(weir.queues.configure("no such.name", {}), InvalidInput);
    await assert.rejects(
      weir.submit(hold, undefined, { queue: { name: "q", key: "" } }),
      InvalidInput,
    );
  });
});
