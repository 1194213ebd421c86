import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  actor,
  ExecutionCancelled,
  ExecutionEnded,
  ExecutionNotFound,
  InvalidInput,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";
import { countsOf, daily, day, go, hourly, minute, setUp, startsAt } from "./scheduled.ts";

describe("what people ask of a schedule", () => {
  it("trigger runs it once more, whatever the calendar says, and once per id", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: hourly });
    const [one, same, other] = [
      await schedule.trigger({ id: "x" }),
      await schedule.trigger({ id: "x" }),
      await schedule.trigger(),
    ];
    assert.equal(one.id, "report/r~now-x");
    assert.equal(same.id, one.id);
    await Promise.all([one.result(), other.result()]);
    assert.equal((await schedule.result()).created, 7);
    await assert.rejects(schedule.trigger({ id: "a.b" }), InvalidInput);
  });

  it("trigger counts an id once that is asked for again while it waits behind others", async () => {
    await using weir = await inMemory({ startsAt });
    let isHalfway = () => {};
    const halfway = new Promise<void>((resolve) => isHalfway = resolve);
    let runs = 0;
    const quick = actor("quick", () => {
      if (++runs === 200) isHalfway();
      return Promise.resolve();
    });
    const policy = { type: "repeat", count: 1, interval: "1 minute" } as const;
    const options = { id: "r", policy, unserved: true } as const;
    const schedule = await weir.schedule(quick, undefined, options);
    await schedule.pause();
    const ask = async (prefix: string) => {
      for (let i = 0; i < 200; i++) await schedule.trigger({ id: `${prefix}${i}` });
    };
    await ask("before-");
    await schedule.trigger({ id: "x" });
    await ask("behind-");
    const worker = await weir.worker([quick]);
    await halfway;
    await worker[Symbol.asyncDispose]();
    await weir.advance("1 hour"); // so long that the log has forgotten who asked
    await schedule.trigger({ id: "x" });
    await weir.worker([quick]);
    await schedule.resume();
    assert.equal((await schedule.result()).created, 402);
  });

  it("trigger counts an id once for as long as its run is kept, however long ago it ran", async () => {
    await using weir = await inMemory({ startsAt });
    const quick = actor("quick", () => Promise.resolve());
    await weir.worker([quick]);
    const policy = { type: "repeat", count: 100, interval: "1 minute" } as const;
    const schedule = await weir.schedule(quick, undefined, { id: "r", policy });
    await (await schedule.trigger({ id: "x" })).result();
    await weir.advance("90 minutes"); // so many runs that its code begins anew, and again
    await (await schedule.trigger({ id: "x" })).result();
    const { created, completed } = await schedule.result();
    assert.deepEqual([created, completed], [101, 101]);
    assert.equal((await schedule.trigger({ id: "x" })).id, "quick/r~now-x");
    await assert.rejects(schedule.trigger({ id: "y" }), ExecutionEnded);
  });

  it("backfill runs the times that are over, and counts each once", async () => {
    const { weir, at, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: daily });
    const time = { from: new Date("2026-02-01T00:00:00Z"), to: new Date("2026-02-04T06:00:00Z") };
    await schedule.backfill(time);
    await schedule.backfill(time);
    await weir.advance("1 minute");
    assert.equal(at.length, 4);
    assert.deepEqual(await countsOf(schedule), { created: 4, completed: 4, skipped: 0 });
    await schedule.backfill(time);
    await schedule.backfill({ from: day("2026-01-30"), to: day("2026-02-06") });
    await weir.advance("1 minute");
    const { executions } = await schedule.runs();
    assert.deepEqual(
      executions.map(({ execution }) => execution).sort(),
      ["01-30", "01-31", "02-01", "02-02", "02-03", "02-04", "02-05"].map((day) =>
        `report/r~2026-${day}T06:00:00.000Z`
      ),
    );
    assert.deepEqual(await countsOf(schedule), { created: 7, completed: 7, skipped: 0 });
  });

  it("backfill counts each once, whatever comes between", async () => {
    const { weir, report, worker } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: daily });
    const january = { from: day("2026-01-01"), to: day("2026-02-01") };
    await schedule.backfill({ from: day("2026-01-10"), to: day("2026-01-20") });
    await schedule.backfill({ from: day("2025-12-01"), to: day("2025-12-02") });
    await schedule.backfill(january); // so many that its code begins anew
    await schedule.backfill(january);
    await weir.advance("1 minute");
    assert.deepEqual(await countsOf(schedule), { created: 32, completed: 32, skipped: 0 });
    await worker.crash();
    await weir.worker([report]);
    await schedule.change({ policy: { type: "cron", expression: "0 6,18 * * *" } });
    await schedule.backfill(january); // half of which were run by the policy before
    await schedule.change({ policy: daily });
    await schedule.backfill(january);
    await weir.advance("1 minute");
    assert.deepEqual(await countsOf(schedule), { created: 63, completed: 63, skipped: 0 });
  });

  it("backfill is refused for what is not over, and for more than a thousand runs", async () => {
    const { weir, at, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: daily });
    await weir.advance("1 day"); // it is 2 March
    const refused: ReadonlyArray<readonly [from: Date, to: Date, RegExp]> = [
      [new Date(NaN), day("2026-02-02"), /^from /],
      [day("2026-02-02"), day("2026-02-01"), /^from "2026-02-02T.*: .*2026-02-01T/],
      [day("2026-03-03"), day("2026-03-05"), /^to "2026-03-05T.*: .*over.*2026-03-02T/],
      [day("2026-02-03"), day("2026-03-03"), /^to /],
      [day("2020-01-01"), day("2026-03-01"), /^backfill "2020-01-01T.* 1000 runs.*parts/],
    ];
    for (const [from, to, says] of refused) {
      await assert.rejects(schedule.backfill({ from, to }), (error) => {
        assert.ok(error instanceof InvalidInput, String(error));
        assert.match(error.message, says);
        return true;
      });
    }
    await schedule.backfill({ from: weir.now, to: weir.now });
    await weir.advance("3 days"); // each day has one run
    assert.deepEqual(at.map(minute), ["01", "02", "03", "04"].map((day) => `2026-03-${day}T06:00`));
    assert.deepEqual(await countsOf(schedule), { created: 4, completed: 4, skipped: 0 });
  });

  it("backfill of more than a thousand, as the policy has changed meanwhile, shows what it left out", async () => {
    const weir = await inMemory({ startsAt });
    await using _ = weir;
    const quick = actor("quick", () => Promise.resolve());
    await (await weir.worker([quick])).close();
    const schedule = await weir.schedule(quick, undefined, { id: "r", policy: daily });
    await schedule.change({ policy: { type: "cron", expression: "* * * * * *" } });
    await schedule.pause();
    const from = day("2026-02-01");
    await schedule.backfill({ from, to: new Date(from.getTime() + 1_002_000) });
    await weir.worker([quick]);
    await weir.advance("1 minute");
    assert.deepEqual(await countsOf(schedule), { created: 1_000, completed: 1_000, skipped: 3 });
  });

  it("is refused where nothing is by a schedule", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const run = await weir.start(report, undefined, { id: "once" });
    const schedule = weir.getSchedule(report, "once");
    for (const asked of [schedule.pause(), schedule.trigger(), schedule.describe()]) {
      await assert.rejects(asked, InvalidInput);
    }
    await assert.rejects(weir.getSchedule(report, "nobody").finish(), ExecutionNotFound);
    await run.result();
    assert.deepEqual((await run.describe()).buffered, []);
  });

  it("pause stops it, resume goes on, and what was missed goes by the policy", async () => {
    for (const [misfire, runs] of [["skip", 3], ["fire-once", 4], ["fire-all", 8]] as const) {
      const { weir, report } = await setUp();
      await using _ = weir;
      const schedule = await weir.schedule(report, undefined, {
        policy: { type: "repeat", count: 100, interval: "1 hour" },
        misfire,
      });
      await weir.advance("90 minutes");
      await schedule.pause();
      await weir.advance("310 minutes");
      const { schedule: paused } = await schedule.describe();
      assert.deepEqual([paused?.created, paused?.paused, paused?.next], [2, true, undefined]);
      await schedule.resume();
      await weir.advance("30 minutes");
      assert.equal((await schedule.describe()).schedule?.created, runs);
    }
  });

  it("change has it follow another policy, with names of its own for the runs", async () => {
    const { weir, at, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: hourly });
    await weir.advance("90 minutes");
    await schedule.change({
      policy: { type: "cron", expression: "15 * * * *", maxOccurrences: 2 },
    });
    await weir.advance("1 second");
    assert.deepEqual((await schedule.describe()).schedule?.policy, {
      type: "cron",
      expression: "15 * * * *",
      timeZone: "UTC",
      maxOccurrences: 2,
    });
    assert.equal((await schedule.result()).created, 4);
    assert.deepEqual(
      at.map((text) => text.slice(11, 16)),
      ["00:00", "01:00", "02:15", "03:15"],
    );
    await weir.advance("5 seconds");
    const { executions } = await schedule.runs();
    assert.equal(new Set(executions.map(({ execution }) => execution)).size, 4);
  });

  it("change may put the next run off by more than a hundred years", async () => {
    const { weir, at, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: hourly });
    await weir.advance("90 minutes");
    await schedule.change({ policy: { type: "repeat", count: 2, interval: "73000 days" } });
    await weir.advance("1 day");
    const { status } = await schedule.describe();
    assert.equal(status, "suspended");
    await schedule.trigger({ id: "now" });
    await weir.advance("1 second");
    assert.equal(at.length, 3);
  });

  it("finish lets the last run end; cancel takes the runs along", async () => {
    await using weir = await inMemory({ startsAt });
    const long = actor("long", (ctx) => ctx.wait(go));
    await weir.worker([long]);
    const ends = await weir.schedule(long, undefined, { id: "e", policy: hourly });
    const off = await weir.schedule(long, undefined, { id: "o", policy: hourly });
    await weir.advance("90 minutes");
    await ends.finish();
    await off.cancel({ reason: "enough" });
    await assert.rejects(off.result(), ExecutionCancelled);
    for (const n of [1, 2]) {
      assert.equal((await weir.get(long, `o~${n}`).outcome()).type, "cancelled");
      await weir.get(long, `e~${n}`).signal(go, n);
    }
    assert.equal((await ends.result()).completed, 2);
  });
});
