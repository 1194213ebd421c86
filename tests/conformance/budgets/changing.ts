/** How limits change and usage returns to zero, as each of the systems we come from does it. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import { execution, key, scene, task, type Test } from "./matter.ts";

const one = execution("order/o-1");

export const changing = (test: Test) => {
  test(
    "allocating again replaces limits and keeps what is used, and other dimensions stay",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: { hard: 10, soft: 5 }, costCents: 3 });
      yield* budgets.consume(tenant, [task], { token: 5 });
      yield* budgets.allocate(tenant, task, { token: 20 });
      const { dimensions } = yield* budgets.describe(tenant, task);
      assert.deepEqual(dimensions["token"], { hard: 20, used: 5, left: 15, exhausted: false });
      assert.equal(dimensions["costCents"]?.hard, 3);
      yield* budgets.allocate(tenant, task, { token: 2 });
      const { dimensions: tight } = yield* budgets.describe(tenant, task);
      assert.deepEqual(tight["token"], { hard: 2, used: 5, left: 0, exhausted: true });
    }),
  );

  test(
    "replenishing sets a new limit and begins at zero, in the dimensions that it names",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: { hard: 10, soft: 5 }, costCents: 9 });
      yield* budgets.consume(tenant, [task], { token: 10, costCents: 7 }, { execution: one });
      yield* budgets.replenish(tenant, task, { token: 4 });
      const { dimensions } = yield* budgets.describe(tenant, task);
      assert.deepEqual(dimensions["token"], {
        hard: 4,
        soft: 5,
        used: 0,
        left: 4,
        exhausted: false,
      });
      assert.equal(dimensions["costCents"]?.used, 7);
      yield* budgets.replenish(tenant, task, { token: 0 });
      assert.equal((yield* budgets.consume(tenant, [task], { token: 1 })).outcome, "hardBreach");
      assert.deepEqual((yield* budgets.release(tenant, one)).amounts, { [task]: { costCents: 7 } });
    }),
  );

  test(
    "resetting begins at zero under the same limits",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: { hard: 10, soft: 5 }, costCents: 9 });
      yield* budgets.consume(tenant, [task], { token: 10, costCents: 7 });
      yield* budgets.reset(tenant, task, { dimensions: ["token"] });
      const { dimensions: some } = yield* budgets.describe(tenant, task);
      assert.deepEqual([some["token"]?.used, some["costCents"]?.used], [0, 7]);
      yield* budgets.reset(tenant, task);
      const { dimensions } = yield* budgets.describe(tenant, task);
      assert.deepEqual(dimensions, {
        token: { hard: 10, soft: 5, used: 0, left: 10, exhausted: false },
        costCents: { hard: 9, used: 0, left: 9, exhausted: false },
      });
      const wrong = yield* Effect.flip(budgets.reset(tenant, task, { dimensions: ["cents"] }));
      assert.equal(wrong._tag, "DimensionNotAllocated");
    }),
  );

  test(
    "what happens under a key happens once, whatever it is",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const twice = Effect.fnUntraced(function* <E>(
        call: Effect.Effect<{ readonly outcome: string }, E>,
      ) {
        assert.deepEqual([(yield* call).outcome, (yield* call).outcome], ["ok", "alreadyApplied"]);
      });
      yield* twice(budgets.allocate(tenant, task, { token: 10 }, { key: key("a") }));
      yield* twice(budgets.consume(tenant, [task], { token: 4 }, { key: key("c") }));
      yield* twice(budgets.replenish(tenant, task, { token: 8 }, { key: key("r") }));
      yield* budgets.consume(tenant, [task], { token: 8 });
      yield* twice(budgets.reset(tenant, task, { key: key("z") }));
      yield* budgets.consume(tenant, [task], { token: 3 });
      const again = yield* budgets.replenish(tenant, task, { token: 8 }, { key: key("r") });
      assert.equal(again.outcome, "alreadyApplied");
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 3);
    }),
  );

  test(
    "a key of what was refused is free",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 10 });
      const call = budgets.consume(tenant, [task], { token: 11 }, { key: key("k") });
      assert.equal((yield* call).outcome, "hardBreach");
      yield* budgets.allocate(tenant, task, { token: 11 });
      assert.equal((yield* call).outcome, "ok");
    }),
  );

  test(
    "what was deleted is gone, and what begins anew knows nothing of it",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const options = { execution: one, key: key("k") };
      yield* budgets.allocate(tenant, task, { token: 10 });
      yield* budgets.consume(tenant, [task], { token: 10 }, options);
      assert.equal(yield* budgets.delete(tenant, task), true);
      assert.equal(yield* budgets.delete(tenant, task), false);
      assert.deepEqual(yield* budgets.list(tenant), []);
      yield* budgets.allocate(tenant, task, { token: 10 });
      assert.equal((yield* budgets.release(tenant, one)).outcome, "nothingSpent");
      assert.equal((yield* budgets.consume(tenant, [task], { token: 1 }, options)).outcome, "ok");
    }),
  );
};
