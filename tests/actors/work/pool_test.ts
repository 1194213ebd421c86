/** The pool of remote workers against one that looks at everything each time. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Pool, type Waiting } from "../../../actors/work/remote/pool.ts";
import { type RemoteNeeds, suffices } from "../../../schema/remote_needs.ts";
import { chance, named } from "../../chaos/seed.ts";

interface Asks {
  readonly seeker: number;
  readonly worker: string;
}

/** What a pool does, in the plainest words. */
class Naive {
  readonly waiting: Array<Waiting> = [];
  readonly members = new Map<string, RemoteNeeds>();
  asks: Array<Asks> = [];

  /** The best errand that somebody who asks may have, and whether this is it. */
  isBest(errand: Waiting, by: string): boolean {
    const worker = this.members.get(by)!;
    const possible = this.waiting.filter((each) => suffices(each, worker));
    const [best] = possible.sort((a, b) => b.priority - a.priority || a.order - b.order);
    return best === errand;
  }

  get isReady(): boolean {
    return this.asks.some(({ worker }) =>
      this.waiting.some((errand) => suffices(errand, this.members.get(worker)!))
    );
  }
}

const tokens = ["a", "b", "c", "d"];
const departments = [undefined, undefined, "x", "y"];

describe("the pool of remote workers", () => {
  it(`gives as one does that looks at all (${named})`, () => {
    const draw = chance("pool");
    const some = () => tokens.filter(() => draw(3) === 0);
    const needs = (): RemoteNeeds => ({
      capabilities: some(),
      department: departments[draw(departments.length)],
    });
    let matched = 0;
    for (let play = 0; play < 60; play++) {
      const pool = new Pool();
      const naive = new Naive();
      let order = 0;
      let seeker = 0;
      for (let step = 0; step < 200; step++) {
        const workers = [...naive.members.keys()];
        switch (draw(8)) {
          case 0:
          case 1: {
            const errand = { ...needs(), id: `${++order}`, priority: draw(3), order };
            pool.enter(errand);
            naive.waiting.push(errand);
            break;
          }
          case 2: {
            const id = `w${draw(6)}`;
            const member = needs();
            pool.join({ ...member, id });
            naive.members.set(id, member);
            break;
          }
          case 3: {
            if (workers.length === 0 || draw(3) > 0) break;
            const id = workers[draw(workers.length)]!;
            pool.leave(id);
            naive.members.delete(id);
            naive.asks = naive.asks.filter(({ worker }) => worker !== id);
            break;
          }
          case 4:
          case 5: {
            if (workers.length === 0) break;
            const worker = workers[draw(workers.length)]!;
            pool.seek(worker, ++seeker);
            naive.asks.push({ seeker, worker });
            break;
          }
          case 6: {
            const gone = naive.asks[draw(naive.asks.length || 1)];
            assert.equal(pool.unseek(gone?.seeker ?? -1), gone !== undefined);
            naive.asks = naive.asks.filter((each) => each !== gone);
            break;
          }
          case 7: {
            const [gone] = naive.waiting.splice(draw(naive.waiting.length || 1), 1);
            pool.remove(gone?.id ?? "none");
          }
        }
        assert.equal(pool.size, naive.waiting.length);
        for (let match = pool.match(); match !== undefined; match = pool.match()) {
          matched++;
          const { errand, seeker } = match;
          const by = naive.asks.find((each) => each.seeker === seeker);
          const known = naive.waiting.find(({ id }) => id === errand.id);
          assert.ok(by !== undefined && known !== undefined, "it gives what is not there");
          assert.ok(naive.isBest(known, by.worker), "it passes over what comes before");
          naive.asks = naive.asks.filter((each) => each !== by);
          naive.waiting.splice(naive.waiting.indexOf(known), 1);
        }
        assert.equal(naive.isReady, false, "it leaves somebody waiting for nothing");
      }
    }
    assert.ok(matched > 500, `${matched} matched`);
  });

  it("lets who has asked longest have what comes next", () => {
    const pool = new Pool();
    for (const id of ["first", "second"]) pool.join({ id, capabilities: ["a"] });
    pool.seek("second", 1);
    pool.seek("first", 2);
    pool.enter({ id: "e", capabilities: ["a"], priority: 0, order: 1 });
    assert.equal(pool.match()?.seeker, 1);
  });

  it("looks at no line that a worker does not suffice for, however many wait", () => {
    const pool = new Pool();
    for (let order = 1; order <= 20_000; order++) {
      pool.enter({ id: `${order}`, capabilities: [`c${order % 4}`], priority: 0, order });
    }
    let looks = 0;
    const capabilities = ["c1"];
    const watched = new Proxy(capabilities, {
      get: (target, name) => {
        if (name === "includes") looks++;
        return Reflect.get(target, name);
      },
    });
    pool.join({ id: "w", capabilities: watched });
    for (let seeker = 1; seeker <= 100; seeker++) {
      pool.seek("w", seeker);
      assert.equal(pool.match()?.errand.order, 4 * seeker - 3);
    }
    assert.ok(looks < 10, `${looks} looks`);
  });
});
