import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, InvalidInput } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";
import { countsOf, daily, day, setUp, startsAt } from "./scheduled.ts";

describe("a schedule whose worker is away", () => {
  for (const [misfire, runs] of [["skip", 2], ["fire-once", 3], ["fire-all", 5]] as const) {
    it(`comes back and does what ${misfire} says`, async () => {
      const { weir, report, worker } = await setUp();
      await using _ = weir;
      const schedule = await weir.schedule(report, undefined, {
        policy: { type: "repeat", count: 100, interval: "1 hour" },
        misfire,
      });
      await weir.advance("90 minutes");
      await worker.crash();
      await weir.advance("3 hours");
      await weir.worker([report]);
      await weir.advance("10 minutes");
      const { schedule: now } = await schedule.describe();
      assert.equal(now?.created, runs);
      assert.equal(now?.next, "2026-03-01T05:00:00.000Z");
    });
  }

  it("has missed what came before a worker was there, from its delay on", async () => {
    for (
      const [misfire, delay, runs] of [
        ["skip", 0, 0],
        ["fire-once", 0, 1],
        ["fire-all", 0, 6],
        ["fire-all", "2 hours", 4],
      ] as const
    ) {
      await using weir = await inMemory({ startsAt });
      const quick = actor("quick", () => Promise.resolve());
      const policy = { type: "repeat", count: 6, interval: "1 hour" } as const;
      const options = { policy, misfire, delay, unserved: true } as const;
      const schedule = await weir.schedule(quick, undefined, options);
      await weir.advance("310 minutes");
      await weir.worker([quick]);
      await weir.advance("1 minute");
      assert.equal((await schedule.describe()).schedule?.created, runs, `${misfire} ${delay}`);
    }
  });

  it("does not count as missed what is late within the grace, also if that is changed", async () => {
    for (
      const [given, changed, runs] of [["2 hours", undefined, 4], ["1 day", "2 hours", 4]] as const
    ) {
      const { weir, report, worker } = await setUp();
      await using _ = weir;
      const schedule = await weir.schedule(report, undefined, {
        policy: { type: "repeat", count: 100, interval: "1 hour" },
        misfire: "skip",
        grace: given,
      });
      await weir.advance("90 minutes");
      if (changed !== undefined) await schedule.change({ grace: changed });
      await weir.advance("10 seconds");
      await worker.crash();
      await weir.advance("3 hours");
      await weir.worker([report]);
      await weir.advance("10 minutes");
      const { schedule: now } = await schedule.describe();
      assert.deepEqual([now?.created, now?.skipped], [runs, 1]);
      await assert.rejects(schedule.change({ grace: "1 milli" }), InvalidInput);
    }
  });

  it("has each of its runs once, wherever its worker dies", async () => {
    let died = true;
    // Two runs take some 25 appends; behind them all is the same again. Deaths are no matter of the
    // platform: where it is another, a few will do.
    const near = "Deno" in globalThis ? 30 : 3;
    for (let append = 1; died; append += append < near ? 1 : 11) {
      await using weir = await inMemory({ startsAt });
      let ran = 0;
      const report = actor("report", (ctx) => ctx.run("note", () => void ran++));
      const first = await weir.worker([report]);
      died = false;
      void first.crashAt({ append }, append % 2 === 0 ? "before" : "after").then(async () => {
        died = true;
        await weir.worker([report]);
      });
      const schedule = await weir.schedule(report, undefined, {
        id: "r",
        policy: { type: "repeat", count: 20, interval: "1 minute" },
        misfire: "fire-all",
      });
      const { created, completed } = await schedule.result();
      assert.deepEqual([created, completed], [20, 20], `append ${append}`);
      await weir.advance("5 seconds");
      const { executions } = await schedule.runs({ limit: 100 });
      assert.equal(executions.length, 20, `append ${append}`);
    }
  });

  it("makes up once for each of its times, wherever its worker dies", async () => {
    let died = true;
    const step = "Deno" in globalThis ? 3 : 11;
    for (let append = 1; died; append += step) {
      await using weir = await inMemory({ startsAt });
      const quick = actor("quick", () => Promise.resolve());
      const first = await weir.worker([quick]);
      died = false;
      void first.crashAt({ append }, append % 2 === 0 ? "before" : "after").then(async () => {
        died = true;
        await weir.worker([quick]);
      });
      const schedule = await weir.schedule(quick, undefined, { id: "r", policy: daily });
      await schedule.backfill({ from: day("2026-02-01"), to: day("2026-02-06") });
      await schedule.backfill({ from: day("2026-02-03"), to: day("2026-02-08") });
      await weir.advance("1 hour");
      const counts = { created: 7, completed: 7, skipped: 0 };
      assert.deepEqual(await countsOf(schedule), counts, `append ${append}`);
      assert.equal((await schedule.runs({ limit: 100 })).executions.length, 7, `append ${append}`);
    }
  });

  it("goes on for very long without forgetting a run", async () => {
    await using weir = await inMemory({ startsAt });
    const tick = actor("tick", () => {});
    await weir.worker([tick]);
    const schedule = await weir.schedule(tick, undefined, {
      id: "t",
      policy: { type: "repeat", count: 150, interval: "1 minute" },
      overlap: "skip",
    });
    await weir.advance("100 minutes");
    await schedule.trigger({ id: "between" });
    const { created, completed, skipped } = await schedule.result();
    assert.deepEqual([created, completed, skipped], [151, 151, 0]);
  });
});
