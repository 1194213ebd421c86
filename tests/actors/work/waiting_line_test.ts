import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WaitingLine } from "../../../actors/work/queue/waiting_line.ts";

describe("a waiting line", () => {
  it("keeps no places for those who left, also while nobody may be next", () => {
    const line = new WaitingLine(() => false);
    line.add({ id: "stays", key: "stays", score: 0 });
    for (let i = 0; i < 10_000; i++) {
      line.add({ id: `${i}`, key: `k${i}`, score: i });
      line.add({ id: `free ${i}`, score: i });
      line.remove(`${i}`);
      line.remove(`free ${i}`);
    }
    assert.equal(line.size, 1);
    assert.ok(line.places < 100, `${line.places}`);
  });

  it("has each who waits next once, whoever else left and came again", () => {
    let isFree = false;
    const line = new WaitingLine(() => isFree);
    const come = (n: number) => line.add({ id: `${n}`, key: `k${n % 3}`, score: -n });
    for (let n = 0; n < 100; n++) come(n);
    for (let i = 0; i < 10; i++) {
      for (let n = 0; n < 100; n += 2) line.remove(`${n}`);
      for (let n = 0; n < 100; n += 4) come(n);
      for (let n = 2; n < 100; n += 4) come(n);
    }
    for (let n = 0; n < 100; n += 5) line.remove(`${n}`);
    isFree = true;
    for (const key of ["k0", "k1", "k2"]) line.freed(key);
    const served = [];
    for (let next = line.take(); next !== undefined; next = line.take()) served.push(next.id);
    const waiting = Array.from({ length: 100 }, (_, n) => n).filter((n) => n % 5 !== 0);
    assert.deepEqual(served, waiting.map(String));
    assert.deepEqual([line.size, line.places], [0, 0]);
  });
});
