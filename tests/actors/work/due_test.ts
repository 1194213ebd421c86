import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { calendarOf, nextOccurrence } from "../../../actors/work/calendar.ts";
import { type Due, due, type Progress, type Run } from "../../../actors/work/due.ts";
import type { Misfire } from "../../../schema/misfire.ts";
import type { RunPolicy } from "../../../schema/run_policy.ts";
import { chance, named } from "../../chaos/seed.ts";
import { sample } from "./cron_oracle.ts";

const [second, minute, hour, day] = [1000, 60_000, 3_600_000, 86_400_000];
const start = Date.UTC(2026, 0, 1);
const fresh: Progress = { base: start, created: 0 };
const once: RunPolicy = { type: "once" };
const hourly: RunPolicy = { type: "repeat", count: 10, intervalMs: hour };
const cron = (expression: string, maxOccurrences?: number): RunPolicy => ({
  type: "cron",
  expression,
  timeZone: "UTC",
  ...(maxOccurrences !== undefined && { maxOccurrences }),
});

const fireOnce: Misfire = { type: "fire-once" };
const skip: Misfire = { type: "skip" };
const fireAll = (limit: number): Misfire => ({ type: "fire-all", limit });
const misfires = [fireOnce, skip, fireAll(3), fireAll(1000)];

const numbers = ({ create }: Due): Array<number> => create.map((run) => run.number);
const times = ({ create }: Due): Array<number> => create.map((run) => run.at - start);

describe("what is due", () => {
  it("is one run of once, and then nothing", () => {
    const early = due(once, fresh, { now: start - 1, misfire: skip });
    assert.deepEqual([early.create, early.next, early.progress], [[], start, fresh]);
    const timely = due(once, fresh, { now: start + minute, misfire: skip });
    assert.deepEqual(timely.create, [{ number: 0, at: start }]);
    assert.equal(timely.next, undefined);
    const again = due(once, timely.progress, { now: start + day, misfire: fireAll(10) });
    assert.deepEqual([again.create, again.skipped, again.next], [[], 0, undefined]);
  });

  it("is on time up to the grace, and missed after it", () => {
    const at = (now: number, graceMs?: number) =>
      due(once, fresh, { now, misfire: skip, ...(graceMs !== undefined && { graceMs }) });
    assert.equal(at(start + minute).create.length, 1);
    assert.deepEqual([at(start + minute + 1).create, at(start + minute + 1).skipped], [[], 1]);
    assert.equal(at(start, 0).create.length, 1);
    assert.equal(at(start + 1, 0).skipped, 1);
  });

  it("leaves what is stored alone when nothing is", () => {
    for (const policy of [hourly, cron("0 * * * *")]) {
      const { progress } = due(policy, fresh, { now: start, misfire: fireOnce });
      const idle = due(policy, progress, { now: start + 59 * minute, misfire: fireOnce });
      assert.equal(idle.progress, progress);
      assert.deepEqual([idle.create, idle.skipped, idle.next], [[], 0, start + hour]);
    }
  });

  it("follows the misfire policy for what was missed, beside what is on time", () => {
    const now = start + 5 * hour;
    const looks = misfires.map((misfire) => due(hourly, fresh, { now, misfire }));
    assert.deepEqual(looks.map(numbers), [[4, 5], [5], [2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]);
    assert.deepEqual(looks.map(({ skipped }) => skipped), [4, 5, 2, 0]);
    for (const look of looks) assert.equal(look.next, now + hour);
    const byCalendar = misfires.map((misfire) => due(cron("0 * * * *"), fresh, { now, misfire }));
    assert.deepEqual(byCalendar.map(times), looks.map(times));
    assert.deepEqual(byCalendar.map(({ skipped }) => skipped), [4, 5, 2, 0]);
    assert.deepEqual(byCalendar.map(numbers)[2], [0, 1, 2, 3]);
  });

  it("begins where the schedule does, though that is past or an occurrence itself", () => {
    const now = start + 2 * hour + minute;
    const all = due(cron("0 * * * *"), fresh, { now, misfire: fireAll(100) });
    assert.deepEqual(times(all), [0, hour, 2 * hour]);
    const later = { base: start + 1, created: 0 };
    assert.deepEqual(times(due(cron("0 * * * *"), later, { now, misfire: fireAll(100) })), [
      hour,
      2 * hour,
    ]);
  });

  it(`accounts for every run of a repeat, whatever is missed and repeated (${named})`, () => {
    const choose = chance("repeat");
    for (let round = 0; round < 200; round++) {
      const policy: RunPolicy = {
        type: "repeat",
        count: 1 + choose(60),
        intervalMs: 1 + choose(hour),
      };
      const misfire = misfires[choose(misfires.length)]!;
      const runs = new Map<number, Run>();
      let [progress, skipped, now]: [Progress, number, number] = [fresh, 0, start];
      for (let next: number | undefined = start; next !== undefined;) {
        now = Math.max(now, next) + choose(3) * choose(3 * hour);
        const look = due(policy, progress, { now, misfire, graceMs: choose(2 * minute) });
        for (const run of look.create) {
          assert.equal(runs.has(run.number), false, "a run is created once");
          assert.equal(run.at, start + run.number * policy.intervalMs);
          assert.ok(run.at <= now);
          runs.set(run.number, run);
        }
        skipped += look.skipped;
        next = look.next;
        // A crash before the write: the same question has the same answer.
        const asked = { now, misfire, graceMs: minute };
        assert.deepEqual(due(policy, progress, asked), due(policy, { ...progress }, asked));
        progress = JSON.parse(JSON.stringify(look.progress));
      }
      assert.equal(runs.size + skipped, policy.count, `round ${round}`);
      assert.equal(progress.created, runs.size);
    }
  });

  it(`creates each occurrence of a cron once if it is looked at in time (${named})`, () => {
    const choose = chance("due");
    for (let round = 0; round < 60; round++) {
      const { expression } = sample(choose, "every day");
      const policy = cron(expression);
      const [found, end]: [Array<number>, number] = [[], start + 3 * day];
      let progress = fresh;
      for (let now = start; now <= end; now += choose(2 * hour)) {
        const look = due(policy, progress, { now, misfire: skip, graceMs: 2 * hour });
        found.push(...times(look));
        assert.equal(look.skipped, 0);
        progress = look.progress;
      }
      const expected: Array<number> = [];
      const calendar = calendarOf({ type: "cron", expression, timeZone: "UTC" });
      for (let at = nextOccurrence(calendar, start - 1); at !== undefined && at <= end;) {
        expected.push(at - start);
        at = nextOccurrence(calendar, at);
      }
      const seen = expected.filter((at) => at <= (found.at(-1) ?? 0) || at <= 2 * day);
      assert.deepEqual(found, seen, expression);
    }
  });

  it("never exceeds the runs that a cron may have, and skips without using them up", () => {
    const policy = cron("0 * * * *", 3);
    const missed = due(policy, fresh, { now: start + 10 * hour, misfire: skip });
    assert.deepEqual([times(missed), missed.skipped], [[10 * hour], 10]);
    const rest = due(policy, missed.progress, { now: start + 20 * hour, misfire: fireAll(5) });
    assert.deepEqual([numbers(rest), times(rest)], [[1, 2], [15 * hour, 16 * hour]]);
    assert.equal(rest.next, undefined);
    const over = due(policy, rest.progress, { now: start + 90 * hour, misfire: fireAll(5) });
    assert.deepEqual([over.create, over.next, over.progress], [[], undefined, rest.progress]);
  });

  it("is bounded after years of a schedule of every second", () => {
    const now = Date.UTC(2036, 0, 1);
    const onTime = Array.from({ length: 61 }, (_, i) => now - (60 - i) * second);
    for (const misfire of misfires) {
      const look = due(cron("* * * * * *"), fresh, { now, misfire });
      const made = misfire.type === "fire-all"
        ? misfire.limit
        : misfire.type === "fire-once"
        ? 1
        : 0;
      const late = Array.from({ length: made }, (_, i) => onTime[0]! - (made - i) * second);
      assert.deepEqual(look.create.map((run) => run.at), [...late, ...onTime]);
      assert.deepEqual([look.skipped, look.skippedMore], [1000 - made, true]);
      assert.equal(look.next, now + second);
      const exact = due({ type: "repeat", count: 9e8, intervalMs: second }, fresh, {
        now,
        misfire,
      });
      assert.deepEqual(exact.create.map((run) => run.at), look.create.map((run) => run.at));
      assert.deepEqual([exact.skipped, exact.skippedMore], [
        (now - start) / second - 60 - made,
        false,
      ]);
    }
  });

  it("is given in parts if too much is on time for one look", () => {
    for (const policy of [cron("* * * * * *"), { ...hourly, intervalMs: second, count: 9999 }]) {
      const look = { now: start + hour - second, misfire: skip, graceMs: day };
      const found: Array<number> = [];
      let next: number | undefined = start;
      for (let progress = fresh; next !== undefined && next <= look.now;) {
        const part = due(policy, progress, look);
        assert.ok(part.create.length <= 1000);
        found.push(...numbers(part));
        [progress, next] = [part.progress, part.next];
      }
      assert.deepEqual(found, Array.from({ length: 3600 }, (_, i) => i));
    }
  });

  it("survives a clock that jumps by a month, and back", () => {
    for (const policy of [{ ...hourly, count: 9999 }, cron("0 * * * *")]) {
      const before = due(policy, fresh, { now: start, misfire: fireOnce });
      const jumped = due(policy, before.progress, { now: start + 30 * day, misfire: fireOnce });
      assert.deepEqual(times(jumped), [30 * day - hour, 30 * day]);
      assert.equal(jumped.skipped, 718);
      const back = due(policy, jumped.progress, { now: start + hour, misfire: fireOnce });
      assert.deepEqual([back.create, back.progress], [[], jumped.progress]);
      assert.equal(back.next, start + 30 * day + hour);
    }
  });

  it("ends with the years of a cron, and never begins by an impossible date", () => {
    const policy = cron("0 0 12 1 1 * 2026-2027");
    const last = { base: start, created: 1, doneTo: start + day };
    const look = due(policy, last, { now: Date.UTC(2027, 0, 1, 12), misfire: skip });
    assert.deepEqual([look.create.length, look.next], [1, undefined]);
    const never = due(cron("0 0 31 2 *"), fresh, { now: start + day, misfire: fireAll(9) });
    assert.deepEqual([never.create, never.next, never.progress], [[], undefined, fresh]);
  });
});
