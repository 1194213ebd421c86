import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  actor,
  connect,
  ExecutionFailed,
  InvalidInput,
  PayloadTooLarge,
  type ScheduleListQuery,
  type Weir,
} from "@weir/weir";
import { inMemory } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";
import { countsOf, daily, hourly, minute, setUp, startsAt } from "./scheduled.ts";

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
      const { weir, at, report } = await setUp(new Date(from));
      await using _ = weir;
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

describe("a schedule whose runs cannot be started", () => {
  let store: string;
  let weir: Weir;
  before(async () => {
    store = await scratchStore();
    weir = await connect({ embedded: { store }, maxPayloadBytes: 1024 * 1024 });
  });
  after(async () => {
    await weir.close();
    await removeStore(store);
  });

  it("counts them, and says why the last could not be", async () => {
    const reads = actor("reads", (_, text: string) => text.length);
    await weir.worker([reads]);
    const tooLong = "x".repeat(1024 * 1024);
    // A run names itself and its schedule, each more than once: that is more than the policy takes.
    const options = { id: "r".repeat(100), policy: daily } as const;
    const refused = await weir.schedule(reads, tooLong, options).catch((error: unknown) => error);
    assert.ok(refused instanceof PayloadTooLarge, String(refused));
    const longest = tooLong.slice(refused.sizeBytes - refused.limitBytes);
    const schedule = await weir.schedule(reads, longest, options);
    await schedule.trigger({ id: "x" });
    await schedule.finish();
    await assert.rejects(schedule.result(), ExecutionFailed);
    const { schedule: shown } = await schedule.describe();
    assert.deepEqual([shown?.created, shown?.failed], [1, 1]);
    assert.deepEqual(
      [shown?.lastFailure?.execution, shown?.lastFailure?.name],
      [`${schedule.id}~now-x`, "PayloadTooLarge"],
    );
    assert.match(shown?.lastFailure?.message ?? "", /exceeds the limit of 1048576/);
  });
});
