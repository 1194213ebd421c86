import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isLastResort, priorityOf, rankOf } from "../../streams/mailbox/rank.ts";

const workers = Array.from({ length: 5 }, (_, i) => `worker-${i}`);
const sources = Array.from({ length: 500 }, (_, i) => `KV_weir mail-order-${i}`);
const first = (source: string, among: ReadonlyArray<string>) =>
  among.find((worker) => rankOf(source, worker, among) === 0);

describe("ranks", () => {
  it("give each worker its own place at each source", () => {
    for (const source of sources) {
      const ranks = workers.map((worker) => rankOf(source, worker, workers)).sort();
      assert.deepEqual(ranks, [0, 1, 2, 3, 4]);
    }
  });

  it("do not depend on the order in which workers are known, or on knowing oneself", () => {
    for (const source of sources) {
      for (const worker of workers) {
        const others = workers.filter((other) => other !== worker);
        assert.equal(
          rankOf(source, worker, others),
          rankOf(source, worker, [...workers].reverse()),
        );
      }
    }
  });

  it("spread the sources over all workers", () => {
    for (const worker of workers) {
      const share = sources.filter((source) => first(source, workers) === worker).length;
      assert.ok(share > 60 && share < 140, `${worker} has ${share} of ${sources.length}`);
    }
  });

  it("move only the sources of a worker that goes", () => {
    const [gone, ...left] = workers;
    for (const source of sources) {
      const before = first(source, workers);
      if (before !== gone) assert.equal(first(source, left), before);
    }
  });
});

describe("priorities", () => {
  it("put those with room first, then full ones, then those that only forward", () => {
    const ranks = Array.from({ length: 20 }, (_, rank) => rank);
    const all = (standing: Parameters<typeof priorityOf>[0]) =>
      ranks.map((rank) => priorityOf(standing, rank));
    const [free, full, forwarding] = [all("free"), all("full"), all("forwarding")];
    assert.ok(Math.max(...free) < Math.min(...full));
    assert.ok(Math.max(...full) < Math.min(...forwarding));
    assert.deepEqual([free[0], Math.max(...forwarding)], [0, 9]);
    for (const priorities of [free, full, forwarding]) {
      assert.deepEqual(priorities, [...priorities].sort());
      assert.ok(priorities[0]! < priorities[1]! && priorities[1]! < priorities[2]!);
    }
    assert.ok(free.every((priority) => !isLastResort(priority)));
    assert.ok([...full, ...forwarding].every(isLastResort));
  });
});
