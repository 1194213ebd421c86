import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type Backfill,
  backfill,
  mostBackfilled,
  type Stretch,
} from "../../../actors/work/backfill.ts";
import { occurrencesOf } from "../../../actors/work/occurrences.ts";
import type { RunPolicy } from "../../../schema/run_policy.ts";
import { chance, named } from "../../chaos/seed.ts";

const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];
const start = Date.UTC(2026, 0, 1);
const cron = (expression: string): RunPolicy => ({ type: "cron", expression, timeZone: "UTC" });
const [daily, hourly] = [cron("0 6 * * *"), cron("0 * * * *")];
const repeat: RunPolicy = { type: "repeat", count: 5_000, intervalMs: minute };

const from = (at: number, lasts: number) => ({ from: at, to: at + lasts });
const daysOf = ({ create }: Backfill) => create.map((at) => (at - start - 6 * hour) / day);

describe("what a backfill comes to", () => {
  it("is each time of the window, both ends with it, and nothing of one that has none", () => {
    const { create, skipped, done } = backfill(daily, start, from(start + 6 * hour, 2 * day), []);
    assert.deepEqual([create.length, skipped], [3, 0]);
    assert.deepEqual(done, [
      { policy: daily, base: start, from: start + 6 * hour, to: start + 2 * day + 6 * hour },
    ]);
    const none = backfill(daily, start, from(start + 7 * hour, hour), done);
    assert.deepEqual(none, { create: [], skipped: 0, done });
    assert.deepEqual(backfill(repeat, start, from(start - day, hour), []).create, []);
  });

  it("is what is new in it, and windows that meet are kept as one", () => {
    let done: ReadonlyArray<Stretch> = [];
    const windows = [[0, 1], [4, 5], [1, 2.5], [0, 6], [2.5, 4.5]] as const;
    const created = windows.map(([first, last]) => {
      const window = { from: start + first * day, to: start + last * day };
      const found = backfill(daily, start, window, done);
      done = found.done;
      return daysOf(found);
    });
    assert.deepEqual(created, [[0], [4], [1, 2], [3, 5], []]);
    assert.equal(done.length, 1);
  });

  it("is a thousand new runs at most; asked for again, it goes on with the rest", () => {
    const window = from(start, 2_499 * minute);
    let done: ReadonlyArray<Stretch> = [];
    const said: Array<readonly [number, number]> = [];
    for (let asked = 0; asked < 4; asked++) {
      const found = backfill(repeat, start, window, done);
      said.push([found.create.length, found.skipped]);
      done = found.done;
    }
    assert.deepEqual(said, [[mostBackfilled, 1_000], [1_000, 500], [500, 0], [0, 0]]);
    assert.equal(done.length, 1);
  });

  it(`is each time once, whatever windows and policies follow each other (${named})`, () => {
    const next = chance("backfill");
    for (let round = 0; round < 50; round++) {
      const policies = [daily, hourly, cron("30 */6 * * *")];
      const asked = new Set<number>();
      const created: Array<number> = [];
      let [policy, base] = [daily, start];
      let done: ReadonlyArray<Stretch> = [];
      for (let i = 0; i < 30; i++) {
        if (next(5) === 0) [policy, base] = [policies[next(3)]!, base + 1];
        const window = from(start + next(20 * 24) * hour + next(60) * minute, next(72) * hour);
        const occurrences = occurrencesOf(policy, base);
        for (let at = occurrences.next(window.from - 1); at! <= window.to;) {
          asked.add(at!);
          at = occurrences.next(at!);
        }
        const found = backfill(policy, base, window, done);
        created.push(...found.create);
        done = found.done;
      }
      assert.deepEqual(created.sort(), [...asked].sort(), `round ${round}`);
    }
  });
});
