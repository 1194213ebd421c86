/** What follows from one thing to many, wherever the worker dies: no orphan, none twice. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { actor, signal } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
/** Deaths are no matter of the platform: where it is another, a few will do. */
const near = isFull ? 30 : "Deno" in globalThis ? 12 : 2;
const everywhere = isFull || "Deno" in globalThis ? 1 : 9;
const startsAt = new Date("2026-03-01T00:00:00Z");
const go = signal<number>("go");
const tag = (value: string) => ({ tag: { name: "weir.schedule", value }, limit: 1_000 });

/** A play with a worker that dies and another that goes on. */
const open = async () => {
  const weir = await inMemory({ startsAt });
  const effects = new Map<string, number>();
  const note = actor("note", (ctx, value: number) =>
    ctx.run("note", () => {
      effects.set(ctx.executionId, (effects.get(ctx.executionId) ?? 0) + 1);
      return value;
    }));
  const waits = actor("waits", (ctx) => ctx.wait(go));
  const actors = [note, waits];
  const first = await weir.worker(actors);
  let died = false;
  return {
    weir,
    note,
    waits,
    effects,
    hasDied: () => died,
    crashAt: (append: number, moment: "before" | "after") => {
      void first.crashAt({ append }, moment).then(async () => {
        died = true;
        await weir.worker(actors);
      });
    },
    statuses: async (of: string) =>
      (await weir.list(tag(of))).executions.map(({ execution, status }) => [execution, status]),
  };
};

type Stage = Awaited<ReturnType<typeof open>>;

/**
 * Plays it with a death at every append in turn, until there are no more; where that takes long,
 * only some of those behind the first.
 */
const sweep = async (
  play: (stage: Stage) => Promise<void>,
  stride: { readonly sampled: number; readonly full: number } = { sampled: 1, full: 1 },
): Promise<void> => {
  const far = Math.max(isFull ? stride.full : stride.sampled, everywhere);
  let deaths = 0;
  for (let append = 1, died = true; died; append += append < near ? 1 : far) {
    const both = ["before", "after"] as const;
    for (const moment of isFull ? both : [both[append % 2]!]) {
      const stage = await open();
      await using _ = stage.weir;
      stage.crashAt(append, moment);
      try {
        await play(stage);
      } catch (cause) {
        throw new Error(`the worker died ${moment} append ${append}`, { cause });
      }
      died = stage.hasDied();
      if (died) deaths++;
    }
  }
  assert.ok(deaths > 2, `only ${deaths} deaths`);
};

describe("wherever the worker dies", () => {
  it("a schedule that is cancelled leaves no run behind", async () => {
    await sweep(async ({ weir, waits, statuses }) => {
      const schedule = await weir.schedule(waits, undefined, {
        id: "s",
        policy: { type: "repeat", count: 50, interval: "1 hour" },
        misfire: "fire-all",
      });
      await weir.advance("130 minutes");
      await schedule.trigger({ id: "x" });
      await schedule.cancel({ reason: "enough" });
      await weir.advance("5 minutes");
      assert.equal((await schedule.describe()).status, "cancelled");
      await weir.advance("1 day");
      const runs = await statuses("waits/s");
      const names = runs.map(([execution]) => execution).sort();
      const byTime = ["waits/s~1", "waits/s~2", "waits/s~3"];
      // Whether it was cancelled before it had heard of the trigger is for the order of its mail.
      assert.deepEqual(names.filter((name) => name !== "waits/s~now-x"), byTime);
      for (const [execution, status] of runs) assert.equal(status, "cancelled", execution);
    });
  });

  it("a task that is cancelled among others skips what comes after it, and nothing else", async () => {
    await sweep(async ({ weir, note, waits, effects }) => {
      const runs = await weir.submitAll([
        { actor: note, input: 1, id: "root" },
        { actor: waits, input: undefined, id: "left", after: ["note/root"] },
        { actor: waits, input: undefined, id: "right", after: ["note/root"] },
        { actor: note, input: 2, id: "left-end", after: ["waits/left"] },
        { actor: note, input: 3, id: "right-end", after: ["waits/right"] },
        { actor: note, input: 4, id: "both", after: ["note/left-end", "note/right-end"] },
        { actor: note, input: 5, id: "last", after: ["note/both"] },
      ]);
      await weir.advance("1 minute");
      await runs[1]!.cancel();
      await runs[2]!.signal(go, 7);
      await Promise.all(runs.map((run) => run.outcome()));
      await weir.advance("1 minute");
      assert.deepEqual(
        await Promise.all(runs.map(async (run) => (await run.describe()).status)),
        ["completed", "cancelled", "completed", "skipped", "completed", "skipped", "skipped"],
      );
      assert.deepEqual([...effects.keys()].sort(), ["note/right-end", "note/root"]);
    });
  });

  it("tasks that are submitted together are all done, each with what those before it gave", async () => {
    await sweep(async ({ weir, note, effects }) => {
      const tasks = Array.from({ length: 15 }, (_, i) => ({
        actor: note,
        input: i,
        id: `n-${i}`,
        after: i === 0 ? [] : [`note/n-${(i - 1) >> 1}`],
      }));
      const runs = await weir.submitAll(tasks);
      assert.ok(runs.every(({ created }) => created));
      assert.deepEqual(
        await Promise.all(runs.map((run) => run.result())),
        tasks.map(({ input }) => input),
      );
      assert.equal(effects.size, 15);
      assert.ok((await weir.submitAll(tasks)).every(({ created }) => !created));
    }, { sampled: 5, full: 1 });
  });

  it("a schedule by a calendar has each of its occurrences, once", async () => {
    await sweep(async ({ weir, note, effects, statuses }) => {
      const schedule = await weir.schedule(note, 1, {
        id: "c",
        policy: {
          type: "cron",
          expression: "30 */10 * * * *",
          timeZone: "Europe/Berlin",
          maxOccurrences: 5,
        },
        misfire: "fire-all",
      });
      const { created, completed } = await schedule.result();
      assert.deepEqual([created, completed], [5, 5]);
      await weir.advance("5 seconds"); // until it is listed
      const expected = Array.from({ length: 5 }, (_, i) => `note/c~${i + 1}`);
      const runs = await statuses("note/c");
      assert.deepEqual(runs.map(([execution]) => execution).sort(), expected);
      assert.deepEqual([...effects.keys()].sort(), expected);
    }, { sampled: 3, full: 1 });
  });

  it("a schedule of 50 runs has 50, each of them once", async () => {
    await sweep(async ({ weir, note, effects, statuses }) => {
      const schedule = await weir.schedule(note, 1, {
        id: "s",
        policy: { type: "repeat", count: 50, interval: "10 minutes" },
        misfire: "fire-all",
      });
      assert.deepEqual(await schedule.result(), {
        created: 50,
        completed: 50,
        failed: 0,
        cancelled: 0,
        skipped: 0,
      });
      await weir.advance("5 seconds"); // until it is listed
      const expected = Array.from({ length: 50 }, (_, i) => `note/s~${i + 1}`).sort();
      const runs = await statuses("note/s");
      assert.deepEqual(runs.map(([execution]) => execution).sort(), expected);
      assert.ok(runs.every(([, status]) => status === "completed"));
      assert.deepEqual([...effects.keys()].sort(), expected);
    }, { sampled: 97, full: 1 });
  });
});
