/** Who has spent what, and how it is taken back, however much there is to remember. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { Budgets } from "../../../streams/budgets.ts";
import { budgetAddress, spendAddress, spendFilter } from "../../../streams/budgets/places.ts";
import { Log } from "../../../streams/log.ts";
import { another, execution, flow, key, scene, task, type Test, whole } from "./matter.ts";

const one = execution("order/o-1");
const two = execution("order/o-2");
/** More than a budget's own record holds. */
const many = Array.from({ length: 150 }, (_, n) => n);

export const spending = (test: Test) => {
  test(
    "a release takes back what one execution has spent in all budgets, and once",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 100, costCents: 50 });
      yield* budgets.allocate(tenant, whole, { token: 100 });
      yield* budgets.allocate(tenant, flow, { token: 100 });
      yield* budgets.consume(tenant, [task, whole], { token: 10 }, { execution: one });
      yield* budgets.consume(tenant, [task], { token: 1, costCents: 5 }, { execution: one });
      yield* budgets.consume(tenant, [task, whole], { token: 7 }, { execution: two });
      yield* budgets.consume(tenant, [task, whole], { token: 2 });
      assert.deepEqual(yield* budgets.release(tenant, one), {
        outcome: "released",
        amounts: { [task]: { token: 11, costCents: 5 }, [whole]: { token: 10 } },
      });
      const before = yield* budgets.list(tenant);
      assert.deepEqual(
        before.map(({ name, dimensions }) => [name, dimensions["token"]?.used]),
        [[flow, 0], [task, 9], [whole, 9]],
      );
      for (const options of [{}, { budgets: [task, whole] }]) {
        assert.deepEqual(yield* budgets.release(tenant, one, options), {
          outcome: "nothingSpent",
          amounts: {},
        });
      }
      assert.deepEqual(yield* budgets.list(tenant), before);
    }),
  );

  test(
    "what was spent before usage began at zero is not taken back",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 100 });
      yield* budgets.consume(tenant, [task], { token: 30 }, { execution: one });
      yield* budgets.reset(tenant, task);
      yield* budgets.consume(tenant, [task], { token: 5 }, { execution: two });
      assert.equal((yield* budgets.release(tenant, one)).outcome, "nothingSpent");
      yield* budgets.consume(tenant, [task], { token: 3 }, { execution: one });
      assert.deepEqual((yield* budgets.release(tenant, one)).amounts, { [task]: { token: 3 } });
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 5);
    }),
  );

  test(
    "of very many keys and executions none is forgotten, by whichever process",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const others = yield* another;
      yield* budgets.allocate(tenant, task, { token: 1_000_000, costCents: 1_000_000 });
      const consume = (by: Budgets["Service"]) => (n: number) =>
        by.consume(tenant, [task], { token: n + 1 }, {
          execution: execution(`order/o-${n}`),
          key: key(`k-${n}`),
        });
      for (const n of many) {
        assert.equal((yield* consume(n % 2 === 0 ? budgets : others)(n)).outcome, "ok");
      }
      const all = many.length * (many.length + 1) / 2;
      const used = Effect.map(
        budgets.describe(tenant, task),
        ({ dimensions }) => dimensions["token"]!.used,
      );
      assert.equal(yield* used, all);
      for (const n of many) {
        assert.equal((yield* consume(n % 3 === 0 ? budgets : others)(n)).outcome, "alreadyApplied");
      }
      // One that is recalled spends more, and gives back all of it.
      const [first, second] = [execution("order/o-0"), execution("order/o-1")];
      yield* others.consume(tenant, [task], { token: 10, costCents: 2 }, { execution: first });
      assert.deepEqual((yield* budgets.release(tenant, first)).amounts, {
        [task]: { token: 11, costCents: 2 },
      });
      assert.equal((yield* others.release(tenant, first)).outcome, "nothingSpent");
      assert.deepEqual((yield* others.release(tenant, second)).amounts, { [task]: { token: 2 } });
      assert.equal(yield* used, all - 3);
      // Others push it out again, and it has still given back everything.
      for (const n of many) {
        yield* budgets.consume(tenant, [task], { token: 1 }, {
          execution: execution(`other/${n}`),
        });
      }
      const outcomes = yield* Effect.forEach(
        [first, second],
        (who) => others.release(tenant, who),
      );
      assert.deepEqual(outcomes.map(({ outcome }) => outcome), ["nothingSpent", "nothingSpent"]);
      yield* Effect.forEach(
        many,
        (n) => others.release(tenant, execution(`order/o-${n}`), { budgets: [task] }),
        { concurrency: "unbounded" },
      );
      assert.equal(yield* used, many.length);
    }),
  );

  test(
    "what is beside a budget goes with a reset, and its keys with the budget",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const log = yield* Log;
      yield* budgets.allocate(tenant, task, { token: 1_000 });
      yield* Effect.forEach(many, (n) =>
        budgets.consume(tenant, [task], { token: 1 }, {
          execution: execution(`order/o-${n}`),
          key: key(`k-${n}`),
        }), { concurrency: "unbounded" });
      const beside = (what: "keys" | "spendings") =>
        Effect.map(
          Stream.runCollect(log.read(spendFilter(spendAddress(log.layout, tenant, task, what)))),
          (found) => found.length,
        );
      assert.ok((yield* beside("keys")) > 32 && (yield* beside("spendings")) > 32);
      const gone = (what: "keys" | "spendings") =>
        Effect.repeat(beside(what), { until: (length) => length === 0, times: 500 });
      yield* budgets.reset(tenant, task);
      assert.equal(yield* gone("spendings"), 0);
      const again = { key: key("k-0") };
      const known = yield* budgets.consume(tenant, [task], { token: 1 }, again);
      assert.equal(known.outcome, "alreadyApplied");
      yield* budgets.delete(tenant, task);
      assert.equal(yield* gone("keys"), 0);
      yield* budgets.allocate(tenant, task, { token: 1_000 });
      assert.equal((yield* budgets.consume(tenant, [task], { token: 1 }, again)).outcome, "ok");
    }),
  );

  test(
    "its history is kept as readable JSON, and does not grow for ever",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const log = yield* Log;
      const address = budgetAddress(log.layout, tenant, task);
      yield* budgets.allocate(tenant, task, { token: 1_000 });
      yield* budgets.consume(tenant, [task], { token: 2 }, { execution: one, key: key("k") });
      const stored = Option.getOrThrow(yield* log.last(address, "budget"));
      const { v, kind, events, dimensions } = JSON.parse(new TextDecoder().decode(stored.body));
      assert.deepEqual({ v, kind, events, used: dimensions.token.used }, {
        v: 1,
        kind: "budget",
        events: [{ type: "consumed", amounts: { token: 2 }, execution: one, key: "k" }],
        used: 2,
      });
      const records = Effect.map(
        Stream.runCollect(log.read({
          shard: address.shard,
          subject: `$KV.${address.root}.budget.${address.tail}`,
        })),
        (found) => found.length,
      );
      assert.equal(yield* records, 2);
      for (let n = 0; n < 260; n++) yield* budgets.consume(tenant, [task], { token: 1 });
      assert.ok((yield* records) < 10);
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 262);
    }),
  );

  test(
    "what changes is told, as it was and as it comes",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: { hard: 10, soft: 1 } });
      yield* budgets.consume(tenant, [task], { token: 11 });
      yield* budgets.consume(tenant, [task], { token: 2 }, { execution: one });
      yield* budgets.release(tenant, one);
      yield* budgets.replenish(tenant, task, { token: 5 });
      yield* budgets.reset(tenant, task);
      yield* budgets.delete(tenant, task);
      const told = yield* Stream.runCollect(Stream.take(budgets.changes(tenant), 1));
      assert.deepEqual(told.map(({ name, events, budget }) => [name, events, budget]), [
        [task, [{ type: "deleted" }], undefined],
      ]);
      yield* budgets.allocate(tenant, task, { token: 10 });
      yield* budgets.consume(tenant, [task], { token: 11 });
      const [, , breached] = yield* Stream.runCollect(Stream.take(budgets.changes(tenant), 3));
      assert.deepEqual(breached?.events, [
        { type: "breached", amounts: { token: 11 }, dimensions: ["token"] },
      ]);
      assert.equal(breached?.budget?.hardBreaches?.count, 1);
    }),
  );
};
