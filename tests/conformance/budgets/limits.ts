/** What budgets let through, and what they say of it. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import { execution, flow, key, named, scene, task, type Test, whole } from "./matter.ts";

const nobody = named("nobody");

export const limits = (test: Test) => {
  test(
    "what is allocated can be used up to its limit, and is exhausted then",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 10, costCents: { hard: 5, soft: 3 } });
      assert.deepEqual(yield* budgets.consume(tenant, [task], { token: 9, costCents: 3 }), {
        outcome: "ok",
        exhausted: [],
      });
      assert.deepEqual(yield* budgets.consume(tenant, [task], { token: 1 }), {
        outcome: "ok",
        exhausted: [{ budget: task, dimension: "token" }],
      });
      assert.deepEqual(yield* budgets.describe(tenant, task), {
        name: task,
        dimensions: {
          token: { hard: 10, used: 10, left: 0, exhausted: true },
          costCents: { hard: 5, soft: 3, used: 3, left: 2, exhausted: false },
        },
        exhausted: true,
      });
    }),
  );

  test(
    "a hard limit forbids a consumption as a whole, and says so afterwards",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 10, costCents: 5 });
      yield* budgets.consume(tenant, [task], { token: 4 });
      assert.deepEqual(yield* budgets.consume(tenant, [task], { token: 7, costCents: 1 }), {
        outcome: "hardBreach",
        breaches: [{ budget: task, dimension: "token", limit: 10, used: 4 }],
      });
      yield* budgets.consume(tenant, [task], { costCents: 6 });
      const { dimensions, hardBreaches } = yield* budgets.describe(tenant, task);
      assert.deepEqual([dimensions["token"]?.used, dimensions["costCents"]?.used], [4, 0]);
      assert.deepEqual([hardBreaches?.count, hardBreaches?.dimension], [2, "costCents"]);
      assert.ok(hardBreaches!.at > 0);
      assert.equal((yield* budgets.consume(tenant, [task], { token: 6 })).outcome, "ok");
    }),
  );

  test(
    "a soft limit is pointed out, and the consumption counts",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: { soft: 3 } });
      assert.equal((yield* budgets.consume(tenant, [task], { token: 3 })).outcome, "ok");
      assert.deepEqual(yield* budgets.consume(tenant, [task], { token: 2 }), {
        outcome: "softBreach",
        breaches: [{ budget: task, dimension: "token", limit: 3, used: 5 }],
        exhausted: [],
      });
      const { softBreaches, hardBreaches } = yield* budgets.describe(tenant, task);
      assert.deepEqual([softBreaches?.count, softBreaches?.dimension], [1, "token"]);
      assert.equal(hardBreaches, undefined);
    }),
  );

  test(
    "what has been consumed already is counted above hard limits, and no number is lost",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const overage = { overage: "allow" } as const;
      yield* budgets.allocate(tenant, task, { token: 10 });
      assert.deepEqual(yield* budgets.consume(tenant, [task], { token: 25 }, overage), {
        outcome: "ok",
        exhausted: [{ budget: task, dimension: "token" }],
      });
      const most = Number.MAX_SAFE_INTEGER;
      yield* budgets.consume(tenant, [task], { token: most }, overage);
      const { dimensions } = yield* budgets.describe(tenant, task);
      assert.deepEqual(dimensions["token"], { hard: 10, used: most, left: 0, exhausted: true });
      assert.equal((yield* budgets.consume(tenant, [task], { token: 1 })).outcome, "hardBreach");
    }),
  );

  test(
    "a stack counts in all of its budgets or in none, and the tightest one is named first",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 50, costCents: 9 });
      yield* budgets.allocate(tenant, flow, { token: 20 });
      yield* budgets.allocate(tenant, whole, { token: 30 });
      const stack = [task, flow, whole];
      yield* budgets.consume(tenant, stack, { token: 15, costCents: 1 });
      assert.deepEqual(yield* budgets.consume(tenant, stack, { token: 16 }), {
        outcome: "hardBreach",
        breaches: [
          { budget: flow, dimension: "token", limit: 20, used: 15 },
          { budget: whole, dimension: "token", limit: 30, used: 15 },
        ],
      });
      const listed = yield* budgets.list(tenant);
      assert.deepEqual(
        listed.map(({ name, dimensions, hardBreaches }) => [
          name,
          dimensions["token"]?.used,
          hardBreaches?.count,
        ]),
        [[flow, 15, 1], [task, 15, undefined], [whole, 15, 1]],
      );
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["costCents"]?.used, 1);
    }),
  );

  test(
    "what matters less can be kept from using up what is left",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, whole, { token: 100 });
      const leave = { leave: { token: 40 } };
      assert.equal((yield* budgets.consume(tenant, [whole], { token: 60 }, leave)).outcome, "ok");
      assert.equal(
        (yield* budgets.consume(tenant, [whole], { token: 1 }, leave)).outcome,
        "hardBreach",
      );
      assert.equal((yield* budgets.consume(tenant, [whole], { token: 40 })).outcome, "ok");
    }),
  );

  test(
    "what nobody allocated is refused, or passed over by who wants that",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const ignore = { unallocated: "ignore" } as const;
      const missing = yield* Effect.flip(budgets.consume(tenant, [nobody], { token: 1 }));
      assert.equal(missing._tag, "BudgetNotFound");
      yield* budgets.allocate(tenant, task, { token: 10 });
      const other = yield* Effect.flip(budgets.consume(tenant, [task], { tokens: 1 }));
      assert.deepEqual([other._tag, other.message.includes("tokens")], [
        "DimensionNotAllocated",
        true,
      ]);
      const amounts = { token: 1, tokens: 1 };
      const stack = [nobody, task];
      assert.equal((yield* budgets.consume(tenant, stack, amounts, ignore)).outcome, "ok");
      assert.equal((yield* budgets.consume(tenant, [nobody], amounts, ignore)).outcome, "ok");
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 1);
      const calls = [
        budgets.describe(tenant, nobody),
        budgets.replenish(tenant, nobody, { token: 1 }),
        budgets.reset(tenant, nobody),
      ];
      for (const call of calls) {
        assert.equal(
          (yield* Effect.flip(call as Effect.Effect<unknown, { _tag: string }>))._tag,
          "BudgetNotFound",
        );
      }
      assert.equal(yield* budgets.delete(tenant, nobody), false);
    }),
  );

  test(
    "budgets of one tenant are not another's, whatever they are called",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const { tenant: other } = yield* scene;
      for (const name of ["__proto__", "constructor", "a.b>c *", "x".repeat(128)].map(named)) {
        yield* budgets.allocate(tenant, name, { constructor: 1, toString: 2 });
        assert.equal((yield* budgets.consume(tenant, [name], { toString: 2 })).outcome, "ok");
        yield* budgets.consume(tenant, [name], { constructor: 1 }, {
          execution: execution("__proto__"),
          key: key("toString"),
        });
        const { dimensions } = yield* budgets.describe(tenant, name);
        assert.deepEqual(Object.entries(dimensions).map(([name, { used }]) => [name, used]), [
          ["constructor", 1],
          ["toString", 2],
        ]);
        const { amounts } = yield* budgets.release(tenant, execution("__proto__"), {
          budgets: [name],
        });
        assert.deepEqual(Object.entries(amounts), [[name, { constructor: 1 }]]);
      }
      assert.equal((yield* budgets.list(tenant)).length, 4);
      assert.deepEqual(yield* budgets.list(other), []);
    }),
  );
};
