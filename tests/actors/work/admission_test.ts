import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Admission, type QueueLimits, type Seat } from "../../../actors/work/queue/admission.ts";
import { chance, named } from "../../chaos/seed.ts";

const limits: QueueLimits = {
  concurrency: 1_000,
  perKey: 1,
  weights: {},
  ageingMs: 60_000,
  paused: false,
  pausedTenants: [],
};

const seat = (id: string, more: Partial<Seat> = {}): Seat => ({
  id,
  tenant: "acme",
  priority: 0,
  since: 0,
  ...more,
});

const admitAll = (admission: Admission, now = 0): ReadonlyArray<string> => {
  const admitted: Array<string> = [];
  for (let next = admission.admit(now); next !== undefined; next = admission.admit(now)) {
    admitted.push(next.id);
  }
  return admitted;
};

const queue = (more: Partial<QueueLimits>, seats: ReadonlyArray<Seat>): Admission => {
  const admission = new Admission({ ...limits, ...more });
  for (const each of seats) admission.enter(each);
  return admission;
};

describe("a queue", () => {
  it("lets in as many as may run at once, and the next when one leaves", () => {
    const admission = queue(
      { concurrency: 2 },
      ["a", "b", "c", "d"].map((id, i) => seat(id, { since: i })),
    );
    assert.deepEqual(admitAll(admission), ["a", "b"]);
    admission.leave("a");
    assert.deepEqual(admitAll(admission), ["c"]);
    assert.deepEqual([admission.running, admission.waiting], [2, 1]);
  });

  it("lets in one of a key at a time, in order, and nobody waits behind another's key", () => {
    const admission = queue({}, [
      seat("a1", { key: "a", since: 1 }),
      seat("a2", { key: "a", since: 2 }),
      seat("a3", { key: "a", since: 3 }),
      seat("b1", { key: "b", since: 4 }),
      seat("free", { since: 5 }),
      seat("other", { key: "a", tenant: "umbrella", since: 6 }),
    ]);
    assert.deepEqual([...admitAll(admission)].sort(), ["a1", "b1", "free", "other"]);
    assert.match(admission.why("a2")!, /the key a is held by a1/);
    admission.leave("a2");
    admission.leave("a1");
    assert.deepEqual(admitAll(admission), ["a3"]);
  });

  it("lets in who was let in before, by whoever kept it then", () => {
    const admission = queue({}, [seat("a1", { key: "a" }), seat("a2", { key: "a" })]);
    admission.resume(seat("a2", { key: "a" }));
    assert.deepEqual(admitAll(admission), []);
    admission.leave("a2");
    assert.deepEqual(admitAll(admission), ["a1"]);
  });

  it("has who waits wait no more while he is withdrawn, and leaves who runs where he is", () => {
    const admission = queue({ concurrency: 1 }, [
      seat("a", { key: "k", since: 1 }),
      seat("b", { key: "k", since: 2 }),
    ]);
    assert.deepEqual(admitAll(admission), ["a"]);
    admission.withdraw("a");
    admission.withdraw("b");
    assert.deepEqual([admission.running, admission.waiting], [1, 0]);
    admission.leave("a");
    assert.deepEqual(admitAll(admission), []);
    admission.enter(seat("b", { key: "k", since: 2 }));
    assert.deepEqual(admitAll(admission), ["b"]);
  });

  it("lets in nobody who was withdrawn, however often he was while others held his key", () => {
    const [a, b, c, d] = ["a", "b", "c", "d"].map((id, since) => seat(id, { key: "k", since }));
    const admission = queue({}, [a!, b!, c!, d!]);
    assert.deepEqual(admitAll(admission), ["a"]);
    for (const _ of [1, 2, 3]) {
      admission.withdraw("c");
      admission.enter(c!);
    }
    admission.withdraw("c");
    const served = [];
    for (let last = "a"; last !== ""; last = admitAll(admission)[0] ?? "") {
      served.push(last);
      admission.leave(last);
    }
    assert.deepEqual(served, ["a", "b", "d"]);
    admission.enter(c!);
    assert.deepEqual(admitAll(admission), ["c"]);
  });

  it("prefers the urgent, but not for ever", () => {
    const admission = queue({ concurrency: 1 }, [
      seat("old", { priority: 0, since: 0 }),
      seat("urgent", { priority: 5, since: 100_000 }),
      seat("late", { priority: 5, since: 400_000 }),
    ]);
    const order = [];
    for (const _ of [1, 2, 3]) {
      const [id] = admitAll(admission);
      order.push(id);
      admission.leave(id!);
    }
    assert.deepEqual(order, ["urgent", "old", "late"]);
  });

  it("gives tenants their weights, and who comes late no more than that", () => {
    const admission = queue({ concurrency: 1, weights: { a: 10 } }, []);
    for (let i = 0; i < 2_000; i++) {
      for (const tenant of ["a", "b", "c"]) admission.enter(seat(`${tenant}${i}`, { tenant }));
    }
    const served: Record<string, number> = { a: 0, b: 0, c: 0, d: 0 };
    const serve = (times: number) => {
      for (let i = 0; i < times; i++) {
        const next = admission.admit(0)!;
        served[next.tenant]!++;
        admission.leave(next.id);
      }
    };
    serve(1_200);
    assert.deepEqual(served, { a: 1_000, b: 100, c: 100, d: 0 });
    for (let i = 0; i < 500; i++) admission.enter(seat(`d${i}`, { tenant: "d" }));
    serve(130);
    assert.ok(served["d"]! >= 9 && served["d"]! <= 11, `${served["d"]}`);
  });

  it("keeps to its rates, and says when to look again", () => {
    const admission = queue({ rate: { count: 10, perMs: 1_000 } }, []);
    for (let i = 0; i < 100; i++) admission.enter(seat(`${i}`, { since: i }));
    assert.equal(admitAll(admission, 0).length, 1);
    assert.equal(admission.nextAt(0), 100);
    assert.match(admission.why("5")!, /rate/);
    let admitted = 1;
    for (let now = 100; now <= 3_000; now += 100) {
      admission.elapse(now);
      admitted += admitAll(admission, now).length;
    }
    assert.ok(admitted >= 30 && admitted <= 31, `${admitted}`);
  });

  it("keeps to the rate of each key, and others do not wait for it", () => {
    const admission = queue({ perKey: 10, keyRate: { count: 1, perMs: 1_000 } }, [
      seat("a1", { key: "a", since: 1 }),
      seat("a2", { key: "a", since: 2 }),
      seat("b1", { key: "b", since: 3 }),
    ]);
    assert.deepEqual([...admitAll(admission)].sort(), ["a1", "b1"]);
    assert.equal(admission.nextAt(0), 1_000);
    admission.elapse(1_000);
    assert.deepEqual(admitAll(admission, 1_000), ["a2"]);
  });

  it("knows nothing any more of keys that have come and gone", () => {
    const stays = seat("stays", { key: "stays" });
    const admission = queue({ concurrency: 1 }, [stays]);
    assert.deepEqual(admitAll(admission), ["stays"]);
    for (let i = 0; i < 1_000; i++) {
      admission.enter(seat(`${i}`, { key: `k${i}` }));
      admission.leave(`${i}`);
    }
    assert.equal(admission.keys, 1);
    admission.enter(seat("next", { key: "stays" }));
    admission.leave("stays");
    assert.equal(admission.keys, 1);
    assert.deepEqual(admitAll(admission), ["next"]);
    admission.configure({ ...limits, perKey: 2 });
    admission.leave("next");
    assert.equal(admission.keys, 0);
  });

  it("knows of keys that are held to a rate only until they may go as fast as can be", () => {
    const admission = queue({ keyRate: { count: 10, perMs: 10_000 } }, []);
    for (let now = 0; now < 1_000_000; now += 1_000) {
      admission.elapse(now);
      admission.enter(seat(`${now}`, { key: `k${now}`, since: now }));
      admission.enter(seat(`not ${now}`, { key: `not ${now}`, since: now }));
      admission.leave(`not ${now}`);
      assert.deepEqual(admitAll(admission, now), [`${now}`]);
      admission.leave(`${now}`);
      assert.ok(admission.keys <= 25, `${admission.keys}`);
    }
    admission.elapse(1_010_000);
    assert.equal(admission.keys, 0);
  });

  it("has a key that it knows nothing of go as fast as if it had been there from the first", () => {
    const admission = queue({ perKey: 100, keyRate: { count: 10, perMs: 10_000 } }, []);
    const many = (key: string, now: number) => {
      for (let i = 0; i < 20; i++) admission.enter(seat(`${key} ${now} ${i}`, { key, since: now }));
      admission.elapse(now);
      const admitted = admitAll(admission, now);
      for (let i = 0; i < 20; i++) admission.leave(`${key} ${now} ${i}`);
      return admitted.length;
    };
    assert.equal(many("a", 0), 1);
    assert.equal(many("b", 2_000), 3);
    assert.equal(many("a", 2_000), 2);
    admission.elapse(60_000);
    assert.equal(admission.keys, 0);
    assert.equal(many("a", 60_000), 10);
    assert.equal(many("a", 61_000), 1);
    assert.equal(many("c", 61_000), 10);
  });

  it("lets nobody in while it is paused, whole or for a tenant, and goes on", () => {
    const admission = queue({ pausedTenants: ["acme"] }, [
      seat("a"),
      seat("b", { tenant: "umbrella" }),
    ]);
    assert.deepEqual(admitAll(admission), ["b"]);
    assert.match(admission.why("a")!, /tenant acme is paused/);
    admission.configure({ ...limits, paused: true });
    assert.deepEqual(admitAll(admission), []);
    admission.configure(limits);
    assert.deepEqual(admitAll(admission), ["a"]);
  });

  it(`keeps all its promises whatever happens, and forgets nobody (${named})`, () => {
    const pick = chance("admission");
    const most = { concurrency: 8, perKey: 2, perTenant: 5 };
    const admission = queue({ ...most, ageingMs: 1_000 }, []);
    const running = new Map<string, Seat>();
    const waiting = new Map<string, Seat>();
    for (let now = 0; now < 20_000; now++) {
      const dice = pick(10);
      if (dice < 4 && waiting.size < 300) {
        const key = pick(3) === 0 ? {} : { key: `k${pick(6)}` };
        const each = seat(`s${now}`, {
          tenant: `t${pick(3)}`,
          priority: pick(20) - 10,
          since: now,
          ...key,
        });
        waiting.set(each.id, each);
        admission.enter(each);
        admission.enter(each);
      } else if (dice < 6 && running.size > 0) {
        const id = [...running.keys()][pick(running.size)]!;
        running.delete(id);
        admission.leave(id);
        admission.leave(id);
      } else if (dice === 6 && waiting.size > 0) {
        const id = [...waiting.keys()][pick(waiting.size)]!;
        waiting.delete(id);
        admission.leave(id);
      } else if (dice === 7) admission.configure({ ...limits, ...most, ageingMs: 1_000 });
      for (let next = admission.admit(now); next !== undefined; next = admission.admit(now)) {
        assert.ok(waiting.delete(next.id));
        running.set(next.id, next);
      }
      const uses = new Map<string, number>();
      const count = (what: string) => uses.set(what, (uses.get(what) ?? 0) + 1);
      for (const { tenant, key } of running.values()) {
        count(tenant);
        if (key !== undefined) count(`${tenant} ${key}`);
      }
      assert.ok(running.size <= most.concurrency);
      for (const [what, times] of uses) {
        assert.ok(times <= (what.includes(" ") ? most.perKey : most.perTenant), what);
      }
      assert.deepEqual([admission.running, admission.waiting], [running.size, waiting.size]);
      const keys = new Set(
        [...running.values(), ...waiting.values()].flatMap(({ tenant, key }) =>
          key === undefined ? [] : [`${tenant} ${key}`]
        ),
      );
      assert.equal(admission.keys, keys.size);
      // Nobody waits who could run.
      if (running.size < most.concurrency) {
        for (const { tenant, key } of waiting.values()) {
          const isFull = (uses.get(tenant) ?? 0) >= most.perTenant ||
            (key !== undefined && (uses.get(`${tenant} ${key}`) ?? 0) >= most.perKey);
          assert.ok(isFull, `${tenant} ${key}`);
        }
      }
    }
  });

  it("serves a hundred thousand as fast, each, as a hundred", () => {
    const admission = queue({ concurrency: 1 }, []);
    for (let i = 0; i < 100_000; i++) {
      admission.enter(seat(`${i}`, { key: `k${i % 1_000}`, priority: i % 7, since: i }));
    }
    let served = 0;
    for (let next = admission.admit(0); next !== undefined; next = admission.admit(0)) {
      admission.leave(next.id);
      served++;
    }
    assert.equal(served, 100_000);
  });
});
