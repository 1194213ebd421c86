import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  actor,
  DependencyCycle,
  ExecutionExpired,
  ExecutionFailed,
  ExecutionNotFound,
  InvalidInput,
  signal,
  type SubmitOptions,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const go = signal<number>("go");

const extract = actor("extract", (ctx, rows: number) => ctx.run("read", () => rows * 2));
const load = actor(
  "load",
  (ctx, table: string) =>
    `${table}: ${Object.entries(ctx.results).map(([id, rows]) => `${id}=${rows}`).join(", ")}`,
);
const waits = actor("waits", (ctx) => ctx.wait(go));
const fails = actor("fails", () => Promise.reject(new RangeError("no rows")));
const everything = [extract, load, waits, fails];

describe("a task that comes after others", () => {
  it("begins when all have succeeded, and sees what they gave", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const first = await weir.submit(waits, undefined, { id: "w-1" });
    await weir.submit(extract, 21, { id: "e-1" });
    const last = await weir.submit(load, "sales", { after: [first, "extract/e-1"] });
    await weir.advance("1 hour");
    const { status, why } = await last.describe();
    assert.equal(status, "suspended");
    assert.match(why, /it waits for waits\/w-1/);
    await first.signal(go, 7);
    assert.equal(await last.result(), "sales: waits/w-1=7, extract/e-1=42");
  });

  it("begins at once behind those that have ended already", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const first = await weir.submit(extract, 1, { id: "e-1" });
    await first.result();
    const last = await weir.submit(load, "late", { after: [first] });
    assert.equal(await last.result(), "late: extract/e-1=2");
  });

  it("is skipped when one has failed, and so is what comes after it, however far", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const [bad, good, ...rest] = await weir.submitAll([
      { actor: fails, input: undefined, id: "f-1" },
      { actor: extract, input: 1, id: "e-1" },
      { actor: load, input: "a", id: "l-1", after: ["fails/f-1", "extract/e-1"] },
      { actor: load, input: "b", id: "l-2", after: ["load/l-1"] },
      { actor: load, input: "c", id: "l-3", after: ["load/l-2"] },
    ]);
    await assert.rejects(bad!.result(), ExecutionFailed);
    assert.equal(await good!.result(), 2);
    for (const run of rest) {
      await assert.rejects(run.result(), (error: unknown) => {
        assert.ok(error instanceof ExecutionExpired);
        assert.equal(error.outcome, "skipped");
        return true;
      });
      assert.equal((await run.describe()).status, "skipped");
    }
    const { outcome } = await rest[0]!.describe();
    assert.ok(outcome?.type === "skipped");
    assert.match(outcome.reason ?? "", /fails\/f-1 ended as failure: no rows/);
  });

  it("is skipped when one was cancelled", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const first = await weir.submit(waits, undefined);
    const last = await weir.submit(load, "a", { after: [first] });
    await first.cancel();
    await assert.rejects(last.result(), ExecutionExpired);
  });

  it("goes on from a snapshot when it waits for more than fit into a short log", async () => {
    await using weir = await inMemory();
    const first = await weir.worker(everything, { residentGrace: "0 millis" });
    const ids = Array.from({ length: 150 }, (_, i) => `e-${i}`);
    const last = await weir.submit(waits, undefined, { id: "last" });
    await weir.submitAll(ids.map((id, i) => ({ actor: extract, input: i, id })));
    const sum = actor(
      "sum",
      async (ctx) =>
        await ctx.wait(go) +
        Object.values(ctx.results).reduce<number>((all, one) => all + Number(one), 0),
    );
    const second = await weir.worker([sum], { residentGrace: "0 millis" });
    const run = await weir.submit(sum, undefined, {
      after: ["waits/last", ...ids.map((id) => `extract/${id}`)],
    });
    await weir.advance("1 minute");
    assert.equal((await run.describe()).reason, "child");
    await second.crash();
    await weir.worker([sum], { residentGrace: "0 millis" });
    await last.signal(go, 1);
    await weir.advance("1 minute");
    assert.equal((await run.describe()).reason, "signal");
    await first.crash();
    await run.signal(go, 100);
    assert.equal(await run.result(), 100 + 1 + 150 * 149);
  });

  it("can be cancelled while it waits, and leaves the others alone", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const first = await weir.submit(waits, undefined);
    const last = await weir.submit(load, "a", { after: [first] });
    await weir.advance("1 minute");
    await last.cancel();
    assert.equal((await last.outcome()).type, "cancelled");
    await first.signal(go, 1);
    assert.equal(await first.result(), 1);
  });
});

describe("tasks that are submitted together", () => {
  it("come in any order, and a circle is refused before anything is stored", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const tasks = [
      { actor: load, input: "c", id: "c", after: ["load/b"] },
      { actor: load, input: "b", id: "b", after: ["load/a"] },
      { actor: load, input: "a", id: "a", after: ["load/c"] },
    ];
    await assert.rejects(weir.submitAll(tasks), (error: unknown) => {
      assert.ok(error instanceof DependencyCycle);
      assert.deepEqual([...error.executions].sort(), ["load/a", "load/b", "load/c"]);
      assert.match(error.message, /load\/c waits for load\/b waits for load\/a waits for load\/c/);
      return true;
    });
    for (const id of ["a", "b", "c"]) {
      await assert.rejects(weir.get(load, id).describe(), ExecutionNotFound);
    }
    const { after: _, ...first } = tasks[2]!;
    const [c] = await weir.submitAll([tasks[0]!, tasks[1]!, first]);
    assert.equal(await c!.result(), "c: load/b=b: load/a=a: ");
  });

  it("are there once, however often they are submitted", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const tasks = Array.from({ length: 40 }, (_, i) => ({
      actor: extract,
      input: i,
      id: `e-${i}`,
      ...(i === 0 ? {} : { after: [`extract/e-${i >> 1 === i ? 0 : i >> 1}`] }),
    }));
    const created = async (some: typeof tasks) =>
      (await weir.submitAll(some)).filter(({ created }) => created).length;
    assert.equal(await created(tasks.slice(0, 10)), 10);
    assert.equal(await created(tasks), 30);
    assert.equal(await created(tasks), 0);
    assert.equal(await weir.get(extract, "e-39").result(), 78);
  });

  it("are refused with an id that occurs twice, or behind one that is not there", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const task = { actor: extract, input: 1, id: "e-1" };
    await assert.rejects(weir.submitAll([task, task]), InvalidInput);
    await assert.rejects(
      weir.submitAll([{ ...task, after: ["load/nobody"] }]),
      ExecutionNotFound,
    );
    await assert.rejects(weir.submit(extract, 1, { after: ["load/nobody"] }), ExecutionNotFound);
    await assert.rejects(
      weir.submit(extract, 1, { id: "e-1", after: ["extract/e-1"] }),
      InvalidInput,
    );
    await assert.rejects(weir.get(extract, "e-1").describe(), ExecutionNotFound);
  });
});

describe("the attempts of a task", () => {
  it("are as many as it says, whatever its actor says", async () => {
    await using weir = await inMemory({ runsTwice: false });
    let tries = 0;
    const flaky = actor("flaky", { retry: { attempts: 2 } }, () => {
      tries++;
      throw new Error("not yet");
    });
    await weir.worker([flaky]);
    const run = await weir.submit(flaky, undefined, {
      retry: { attempts: 5, backoff: "fixed", delay: "1 hour", jitter: false },
    });
    const before = weir.now.getTime();
    await assert.rejects(run.result(), ExecutionFailed);
    assert.equal(tries, 5);
    assert.equal((await run.describe()).attempt, 4);
    const hours = (weir.now.getTime() - before) / 3_600_000;
    assert.ok(hours >= 4 && hours < 4.1, `${hours} hours`);
  });

  for (const residentGrace of ["0 millis", "1 day"] as const) {
    it(`have their time each, kept ${residentGrace} in memory`, async () => {
      await using weir = await inMemory();
      const slow = actor("slow", async (ctx) => {
        if (ctx.attempt < 2) await ctx.sleep(`nap ${ctx.attempt}`, "3 hours");
        return ctx.attempt;
      });
      await weir.worker([slow], { residentGrace });
      const before = weir.now.getTime();
      const run = await weir.submit(slow, undefined, {
        timeout: "1 hour",
        retry: { attempts: 3, backoff: "fixed", delay: "10 minutes", jitter: false },
      });
      assert.equal(await run.result(), 2);
      const minutes = (weir.now.getTime() - before) / 60_000;
      assert.ok(minutes >= 140 && minutes < 142, `${minutes} minutes`);
    });
  }

  it("that run out of time fail the task when there are no more", async () => {
    await using weir = await inMemory();
    let aborted = 0;
    const hangs = actor(
      "hangs",
      (ctx) =>
        ctx.run(
          "hang",
          ({ signal }) =>
            new Promise<never>((_, reject) =>
              signal.addEventListener("abort", () => {
                aborted++;
                reject(signal.reason);
              })
            ),
        ),
    );
    await weir.worker([hangs]);
    const run = await weir.submit(hangs, undefined, { timeout: "5 minutes" });
    await assert.rejects(run.result(), (error: unknown) => {
      assert.ok(error instanceof ExecutionFailed);
      assert.equal(error.failure.name, "AttemptTimedOut");
      assert.match(error.message, /longer than 5m/);
      return true;
    });
    assert.equal(aborted, 1);
  });

  it("that give something when their time is over have given nothing", async () => {
    await using weir = await inMemory({ runsTwice: false });
    let gave = 0;
    /** It does not care that it is told to stop. */
    const deaf = actor(
      "deaf",
      (ctx) =>
        ctx.run(
          "go on",
          ({ signal }) =>
            new Promise<string>((resolve) =>
              signal.addEventListener("abort", () => {
                gave++;
                resolve("late");
              })
            ),
        ),
    );
    await weir.worker([deaf]);
    const run = await weir.submit(deaf, undefined, {
      timeout: "5 minutes",
      retry: { attempts: 2, delay: "1 second", jitter: false },
    });
    await assert.rejects(run.result(), (error: unknown) => {
      assert.ok(error instanceof ExecutionFailed);
      assert.equal(error.failure.name, "AttemptTimedOut");
      return true;
    });
    assert.equal(gave, 2);
    const { attempt, steps } = await run.describe();
    assert.deepEqual([attempt, steps], [1, {}]);
  });

  for (const residentGrace of ["0 millis", "1 day"] as const) {
    it(`give what undoes a cancelled one all the time it needs, kept ${residentGrace}`, async () => {
      await using weir = await inMemory();
      const trip = actor("trip", async (ctx) => {
        try {
          await ctx.wait(go);
        } catch (error) {
          await ctx.sleep("ask for the money back", "3 hours");
          await ctx.run("give back", () => {});
          throw error;
        }
      });
      await weir.worker([trip], { residentGrace });
      const run = await weir.submit(trip, undefined, { timeout: "1 hour" });
      await weir.advance("30 minutes");
      await run.cancel();
      assert.equal((await run.outcome()).type, "cancelled");
      assert.deepEqual(Object.keys((await run.describe()).steps), ["give back"]);
    });
  }

  it("do not begin before what comes before has ended", async () => {
    await using weir = await inMemory();
    await weir.worker(everything);
    const first = await weir.submit(waits, undefined);
    const last = await weir.submit(load, "a", { after: [first], timeout: "1 minute" });
    await weir.advance("1 day");
    await first.signal(go, 1);
    assert.match(await last.result(), /^a: /);
  });
});

describe("what is no task", () => {
  for (
    const [what, options] of Object.entries<SubmitOptions>({
      "no attempts": { retry: { attempts: 0 } },
      "a factor that is none": { retry: { factor: NaN } },
      "a time of nothing": { timeout: "0 millis" },
      "a time that is none": { timeout: "soon" as never },
      "an unknown safety": { safety: "careless" as never },
      "a description of a book": { description: "x".repeat(2_001) },
      "an id of nothing before": { after: [""] },
    })
  ) {
    it(`is refused: ${what}`, async () => {
      await using weir = await inMemory();
      await weir.worker(everything);
      await assert.rejects(weir.submit(extract, 1, { id: "e-1", ...options }), InvalidInput);
      await assert.rejects(weir.get(extract, "e-1").describe(), ExecutionNotFound);
    });
  }
});
