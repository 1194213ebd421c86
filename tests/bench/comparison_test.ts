import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compare, fails, relativeTo, type Series, seriesOf } from "../../bench/comparison.ts";

const results = (...measured: ReadonlyArray<object>): ReadonlyArray<Series> =>
  seriesOf({ when: "2026-11-21T00:00:00Z", options: { rounds: 3 }, measured });

const rate = (...perSecond: ReadonlyArray<number>) => results({ workload: "3 steps", perSecond });
const tail = (...p99: ReadonlyArray<number>) => results({ workload: "3 steps", p99 });

const verdicts = (before: ReadonlyArray<Series>, now: ReadonlyArray<Series>) =>
  compare(before, now).map(({ verdict }) => verdict);

describe("the comparison of two releases", () => {
  it("fails a rate that is more than a tenth lower, and warns from a twentieth on", () => {
    assert.deepEqual(verdicts(rate(100, 110, 90), rate(89, 70, 120)), ["worse"]);
    assert.deepEqual(verdicts(rate(100), rate(91)), ["nearly too much worse"]);
    assert.deepEqual(verdicts(rate(100), rate(96)), ["as before"]);
    assert.deepEqual(verdicts(rate(100), rate(120)), ["better"]);
  });

  it("fails a tail that is more than a fifth longer, and warns from a tenth on", () => {
    assert.deepEqual(verdicts(tail(10), tail(12.1)), ["worse"]);
    assert.deepEqual(verdicts(tail(10), tail(11.5)), ["nearly too much worse"]);
    assert.deepEqual(verdicts(tail(10), tail(10.5)), ["as before"]);
    assert.deepEqual(verdicts(tail(10), tail(5)), ["better"]);
  });

  it("fails what was measured before and is not any more", () => {
    const [gone] = compare(rate(100), tail(10));
    assert.equal(gone!.verdict, "missing");
    assert.ok(fails(gone!));
  });

  it("knows a series by the words and numbers beside it, wherever it stands in the file", () => {
    const one = { peer: "Weir", inFlight: 1, perSecond: [100] };
    const many = { peer: "Weir", inFlight: 64, perSecond: [1_000] };
    const moved = { inFlight: 64, perSecond: [500], peer: "Weir" };
    assert.deepEqual(verdicts(results(one, many), results(moved, one)), ["as before", "worse"]);
    assert.deepEqual(
      seriesOf({ parked: [{ deep: { p99: [1, 2] } }] }).map(({ name }) => name),
      ["parked, deep"],
    );
  });

  it("leaves out what are not rounds", () => {
    assert.deepEqual(results({ perSecond: 100, p99: [] }, { p99: ["fast"] }, { p50: [1] }), []);
  });

  it("measures others by one of the same run, round by round", () => {
    const run = (speed: number, own: number) =>
      results(
        { peer: "raw", workload: "3 steps", perSecond: [100 * speed, 50 * speed] },
        { peer: "Weir", workload: "3 steps", perSecond: [80 * speed * own, 40 * speed * own] },
        { peer: "Weir", workload: "9 steps", perSecond: [10] },
      );
    const relative = (speed: number, own: number) => relativeTo(run(speed, own), ["peer", "raw"]);
    assert.deepEqual(relative(1, 1).map(({ rounds }) => rounds), [[0.8, 0.8]]);
    assert.deepEqual(verdicts(relative(1, 1), relative(0.4, 1)), ["as before"]);
    assert.deepEqual(verdicts(relative(1, 1), relative(1, 0.8)), ["worse"]);
  });
});
