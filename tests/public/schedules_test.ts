import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  actor,
  ExecutionCancelled,
  ExecutionEnded,
  ExecutionFailed,
  ExecutionNotFound,
  InvalidInput,
  type Schedule,
  type ScheduleListQuery,
  signal,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const go = signal<number>("go");

const hourly = { type: "repeat", count: 5, interval: "1 hour" } as const;
const startsAt = new Date("2026-03-01T00:00:00Z");

/** Says when each of its runs ran, by the clock of the engine. */
const clocked = () => {
  const at: Array<string> = [];
  const report = actor("report", (ctx) =>
    ctx.run("note", async () => {
      at.push(weirNow().toISOString());
      await Promise.resolve();
    }));
  let weirNow = () => new Date(0);
  return { at, report, by: (now: () => Date) => weirNow = now };
};

const setUp = async () => {
  const weir = await inMemory({ startsAt });
  const { at, report, by } = clocked();
  by(() => weir.now);
  const worker = await weir.worker([report]);
  return { weir, at, report, worker };
};

const minute = (text: string) => text.slice(0, 16);
const day = (text: string) => new Date(`${text}T00:00:00Z`);
const daily = { type: "cron", expression: "0 6 * * *" } as const;

const countsOf = async (schedule: Schedule) => {
  const { created, completed, skipped } = (await schedule.describe()).schedule!;
  return { created, completed, skipped };
};

describe("a schedule", () => {
  it("by a count runs so often, at the interval, and then ends", async () => {
    const { weir, at, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: hourly });
    assert.ok(schedule.created);
    assert.deepEqual(await schedule.result(), {
      created: 5,
      completed: 5,
      failed: 0,
      cancelled: 0,
      skipped: 0,
    });
    assert.deepEqual(
      at.map(minute),
      ["00:00", "01:00", "02:00", "03:00", "04:00"].map((time) => `2026-03-01T${time}`),
    );
    await weir.advance("5 seconds"); // until it is listed
    const { executions } = await schedule.runs();
    assert.deepEqual(
      executions.map(({ execution, status }) => [execution, status]),
      [5, 4, 3, 2, 1].map((n) => [`report/r~${n}`, "completed"]),
    );
  });

  it("is there once, however often it is asked for", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const first = await weir.schedule(report, undefined, { id: "r", policy: hourly });
    const second = await weir.schedule(report, undefined, {
      id: "r",
      policy: { ...hourly, count: 50 },
    });
    assert.deepEqual([first.created, second.created], [true, false]);
    assert.equal((await second.result()).created, 5);
  });

  it("finds its runs however many tags they have, and has an id that leaves room for theirs", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const id = "é".repeat(60) + "r";
    const tags = Object.fromEntries(
      Array.from({ length: 100 }, (_, n) => [`a.t${n}`, "x".repeat(99)]),
    );
    await weir.submit(report, undefined, { id: "above", delay: "1 day" });
    const parent = "report/above";
    const schedule = await weir.schedule(report, undefined, { id, policy: hourly, tags, parent });
    const { result } = await schedule.trigger({ id: "x".repeat(64) });
    await result();
    await weir.advance("5 seconds");
    assert.equal((await schedule.runs()).executions.length, 2);
    tags["a.more"] = "one more";
    await assert.rejects(weir.start(report, undefined, { tags }), InvalidInput);
    await assert.rejects(
      weir.schedule(report, undefined, { id: `${id}s`, policy: hourly }),
      InvalidInput,
    );
  });

  it("is in a list of its own, in which nothing else is, also when it has ended", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const tags = Object.fromEntries(
      Array.from({ length: 40 }, (_, n) => [`a.t${n}`, "x".repeat(99)]),
    );
    await weir.start(report, undefined, { id: "once" });
    await weir.submit(report, undefined, { id: "above", delay: "1 day" });
    const parent = "report/above";
    await weir.schedule(report, undefined, { id: "c", policy: daily, tags, parent });
    const ends = await weir.schedule(report, undefined, { id: "r", policy: hourly });
    await weir.schedule(report, undefined, { id: "o", policy: daily, tenant: "acme" });
    await ends.result();
    await weir.advance("5 seconds");
    const first = await weir.schedules.list({ limit: 1 });
    const second = await weir.schedules.list({ limit: 1, from: first.next! });
    assert.deepEqual(
      [...first.executions, ...second.executions].map(({ execution, status }) => [
        execution,
        status,
      ]),
      [["report/r", "completed"], ["report/c", "suspended"]],
    );
    assert.equal(second.next, undefined);
    const idsOf = async (query: ScheduleListQuery) =>
      (await weir.schedules.list(query)).executions.map(({ execution }) => execution);
    assert.deepEqual(await idsOf({ status: "suspended", actor: report }), ["report/c"]);
    assert.deepEqual(await idsOf({ tenant: "acme" }), ["report/o"]);
  });

  it("alone says that it is one: no tag of anybody else does", async () => {
    await using weir = await inMemory({ startsAt });
    const tags = { "weir.kind": "schedule" };
    const says = actor("says", async (ctx) => {
      await assert.rejects(async () => await ctx.tag("weir.kind", "schedule"), InvalidInput);
      await assert.rejects(async () => await ctx.call(says, undefined, { tags }), InvalidInput);
    });
    await weir.worker([says]);
    await (await weir.start(says, undefined)).result();
    await assert.rejects(weir.start(says, undefined, { tags }), InvalidInput);
    await weir.advance("5 seconds");
    assert.deepEqual((await weir.schedules.list()).executions, []);
  });

  it("by a calendar keeps to the wall clock of its zone, in spring and in autumn", async () => {
    for (
      const [from, expected] of [
        ["2026-03-28T00:00:00Z", ["28T01:30", "29T01:00", "30T00:30"]],
        ["2026-10-24T00:00:00Z", ["24T00:30", "25T00:30", "26T01:30"]],
      ] as const
    ) {
      await using weir = await inMemory({ startsAt: new Date(from) });
      const { at, report, by } = clocked();
      by(() => weir.now);
      await weir.worker([report]);
      const schedule = await weir.schedule(report, undefined, {
        policy: {
          type: "cron",
          expression: "30 2 * * *",
          timeZone: "Europe/Berlin",
          maxOccurrences: 3,
        },
      });
      await schedule.result();
      assert.deepEqual(at.map((text) => text.slice(8, 16)), expected);
    }
  });

  it("says when it runs next, and how its runs went", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { policy: hourly });
    await weir.advance("90 minutes");
    assert.deepEqual((await schedule.describe()).schedule, {
      policy: { type: "repeat", count: 5, intervalMs: 3_600_000 },
      misfire: { type: "fire-once" },
      overlap: "allow",
      next: "2026-03-01T02:00:00.000Z",
      created: 2,
      running: 0,
      completed: 2,
      failed: 0,
      cancelled: 0,
      skipped: 0,
    });
  });

  it("fails when none of its runs succeeded, and not when one did", async () => {
    await using weir = await inMemory({ startsAt });
    const fails = actor("fails", (ctx, from: number) => {
      if (!ctx.executionId.endsWith(`~${from}`)) throw new Error("no");
    });
    await weir.worker([fails]);
    const never = await weir.schedule(fails, 9, { policy: hourly });
    await assert.rejects(never.result(), (error: unknown) => {
      assert.ok(error instanceof ExecutionFailed);
      assert.equal(error.failure.name, "ScheduleFailed");
      return true;
    });
    const once = await weir.schedule(fails, 3, { policy: hourly });
    assert.deepEqual(await once.result(), {
      created: 5,
      completed: 1,
      failed: 4,
      cancelled: 0,
      skipped: 0,
    });
    const { schedule: shown } = await once.describe();
    const last = { execution: `${once.id}~5`, name: "Error", message: "no" };
    assert.deepEqual(shown?.lastFailure, last);
  });
});

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

describe("a run whose time comes while another still runs", () => {
  const longRuns = async (overlap: "allow" | "skip" | "buffer-one" | "cancel-other") => {
    const weir = await inMemory({ startsAt });
    const long = actor("long", (ctx) => ctx.wait(go));
    await weir.worker([long]);
    const schedule = await weir.schedule(long, undefined, { id: "l", policy: hourly, overlap });
    await weir.advance("210 minutes");
    const end = (suffix: string) => weir.get(long, `l~${suffix}`).signal(go, 1);
    return { weir, long, schedule, end };
  };

  it("runs beside it, if nothing else is said", async () => {
    const { weir, schedule } = await longRuns("allow");
    await using _ = weir;
    assert.equal((await schedule.describe()).schedule?.running, 4);
  });

  it("is left out by `skip`", async () => {
    const { weir, schedule, end } = await longRuns("skip");
    await using _ = weir;
    await end("1");
    await weir.advance("1 hour");
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 2,
      completed: 2,
      failed: 0,
      cancelled: 0,
      skipped: 3,
    });
  });

  it("waits for it by `buffer-one`, and no second one does", async () => {
    const { weir, schedule, end } = await longRuns("buffer-one");
    await using _ = weir;
    assert.deepEqual((await schedule.describe()).schedule?.skipped, 2);
    await end("1");
    await weir.advance("1 minute");
    await end("2");
    await weir.advance("1 hour");
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 3,
      completed: 3,
      failed: 0,
      cancelled: 0,
      skipped: 2,
    });
  });

  it("waits while the schedule is paused, and then runs before what was missed", async () => {
    const { weir, schedule, end } = await longRuns("buffer-one");
    await using _ = weir;
    const runsNow = async () => {
      await weir.advance("1 second");
      const { created, running, skipped } = (await schedule.describe()).schedule!;
      return { created, running, skipped };
    };
    await schedule.pause();
    await end("1");
    assert.deepEqual(await runsNow(), { created: 1, running: 0, skipped: 2 });
    await weir.advance("1 hour"); // misses the fifth, which is the last
    await schedule.resume();
    assert.deepEqual(await runsNow(), { created: 2, running: 1, skipped: 2 });
    await schedule.pause();
    await end("2");
    assert.deepEqual(await runsNow(), { created: 2, running: 0, skipped: 2 });
    await schedule.resume();
    assert.deepEqual(await runsNow(), { created: 3, running: 1, skipped: 2 });
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 3,
      completed: 3,
      failed: 0,
      cancelled: 0,
      skipped: 2,
    });
  });

  it("takes its place by `cancel-other`", async () => {
    const { weir, schedule, end } = await longRuns("cancel-other");
    await using _ = weir;
    await weir.advance("1 hour");
    await end("5");
    assert.deepEqual(await schedule.result(), {
      created: 5,
      completed: 1,
      failed: 0,
      cancelled: 4,
      skipped: 0,
    });
  });
});

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

describe("a calendar whose last time is over", () => {
  const newYear = { type: "cron", expression: "0 0 0 1 1 * 2027" } as const;

  it("is refused to what is new, and gives a schedule that is there as ever", async () => {
    const { weir, at, report } = await setUp();
    await using _ = weir;
    const ask = (id: string) => weir.schedule(report, undefined, { id, policy: newYear });
    const schedule = await ask("r");
    assert.equal((await schedule.result()).created, 1);
    assert.deepEqual(at.map(minute), ["2027-01-01T00:00"]);
    await weir.advance("1 hour");
    assert.equal((await ask("r")).created, false);
    await assert.rejects(ask("other"), InvalidInput);
  });

  it("is refused if it comes only while the schedule is delayed", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const options = { policy: newYear, delay: "400 days" } as const;
    await assert.rejects(weir.schedule(report, undefined, options), InvalidInput);
  });

  it("is refused to a change, and what holds goes on", async () => {
    const { weir, report } = await setUp();
    await using _ = weir;
    const schedule = await weir.schedule(report, undefined, { id: "r", policy: daily });
    await weir.advance("1 hour");
    for (const expression of ["0 0 30 2 *", "0 0 0 1 1 * 2025"]) {
      await assert.rejects(schedule.change({ policy: { type: "cron", expression } }), InvalidInput);
    }
    await weir.advance("1 day");
    assert.equal((await countsOf(schedule)).created, 1);
  });
});

describe("what is no schedule", () => {
  for (
    const [what, policy] of Object.entries({
      "one run": { type: "once" },
      "no runs": { type: "repeat", count: 0, interval: "1 hour" },
      "no interval": { type: "repeat", count: 2, interval: "0 millis" },
      "no calendar": { type: "cron", expression: "every day" },
      "a calendar of days that no year has": { type: "cron", expression: "0 0 30 2 *" },
      "a calendar of years that are over": { type: "cron", expression: "0 0 0 1 1 * 2025" },
      "no time zone": { type: "cron", expression: "0 0 * * *", timeZone: "Middle/Earth" },
      "no policy": { type: "sometimes" },
    })
  ) {
    it(`is refused: ${what}`, async () => {
      const { weir, report } = await setUp();
      await using _ = weir;
      await assert.rejects(
        weir.schedule(report, undefined, { id: "r", policy: policy as never }),
        InvalidInput,
      );
    });
  }
});
