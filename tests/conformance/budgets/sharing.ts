/** Many who consume at once: nothing is lost, and nothing is too much. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import { Log } from "../../../streams/log.ts";
import { budgetAddress } from "../../../streams/budgets/places.ts";
import { another, execution, flow, key, named, scene, task, type Test, whole } from "./matter.ts";

/** Services as those of several processes, which know nothing of each other. */
const several = Effect.all(Array.from({ length: 4 }, () => another));
const atOnce = { concurrency: "unbounded" } as const;
const consumers = Array.from({ length: 1_000 }, (_, n) => n);

export const sharing = (test: Test) => {
  test(
    "of 1,000 who want the last one, from several processes, exactly one has it",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const services = yield* several;
      yield* budgets.allocate(tenant, task, { token: 10 });
      yield* budgets.consume(tenant, [task], { token: 9 });
      const outcomes = yield* Effect.forEach(
        consumers,
        (n) => services[n % services.length]!.consume(tenant, [task], { token: 1 }),
        atOnce,
      );
      assert.equal(outcomes.filter(({ outcome }) => outcome === "ok").length, 1);
      assert.equal(outcomes.filter(({ outcome }) => outcome === "hardBreach").length, 999);
      const { dimensions, hardBreaches } = yield* budgets.describe(tenant, task);
      assert.equal(dimensions["token"]?.used, 10);
      assert.equal(hardBreaches?.count, 999);
    }),
  );

  test(
    "consumptions from a process that wait for each other share a record",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const log = yield* Log;
      yield* budgets.allocate(tenant, task, { token: 500 });
      const outcomes = yield* Effect.forEach(
        consumers,
        () => budgets.consume(tenant, [task], { token: 1 }),
        atOnce,
      );
      assert.equal(outcomes.filter(({ outcome }) => outcome === "ok").length, 500);
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 500);
      const last = yield* log.last(budgetAddress(log.layout, tenant, task), "budget");
      const { records } = JSON.parse(
        new TextDecoder().decode(last._tag === "Some" ? last.value.body : undefined),
      );
      assert.ok(records < 20, `${records} records`);
    }),
  );

  test(
    "stacks that overlap are exact, whoever consumes and gives back",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const services = yield* several;
      const tasks = Array.from({ length: 5 }, (_, n) => named(`task:${n}`));
      for (const name of tasks) yield* budgets.allocate(tenant, name, { token: 30 });
      yield* budgets.allocate(tenant, flow, { token: 80 });
      yield* budgets.allocate(tenant, whole, { token: 100 });
      const stackOf = (n: number) =>
        n % 2 === 0 ? [tasks[n % 5]!, flow, whole] : [whole, tasks[n % 5]!];
      const outcomes = yield* Effect.forEach(
        consumers.slice(0, 300),
        (n) =>
          services[n % services.length]!.consume(tenant, stackOf(n), { token: 1 }, {
            execution: execution(`order/o-${n % 40}`),
            key: key(`k-${n}`),
          }),
        atOnce,
      );
      const applied = outcomes.flatMap(({ outcome }, n) => outcome === "ok" ? [stackOf(n)] : []);
      assert.equal(applied.length, 100);
      for (const { name, dimensions } of yield* budgets.list(tenant)) {
        const used = applied.filter((stack) => stack.includes(name)).length;
        assert.equal(dimensions["token"]?.used, used, name);
        assert.ok(used <= dimensions["token"]!.hard!);
      }
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => execution(`order/o-${n}`)),
        (who) => services[0]!.release(tenant, who),
        atOnce,
      );
      for (const { name, dimensions } of yield* budgets.list(tenant)) {
        assert.equal(dimensions["token"]?.used, 0, name);
      }
    }),
  );

  test(
    "one key is applied once, whoever uses it at the same time",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const services = yield* several;
      yield* budgets.allocate(tenant, task, { token: 1_000 });
      const outcomes = yield* Effect.forEach(
        consumers.slice(0, 100),
        (n) =>
          services[n % services.length]!.consume(tenant, [task], { token: 1 }, { key: key("one") }),
        atOnce,
      );
      assert.equal(outcomes.filter(({ outcome }) => outcome === "ok").length, 1);
      assert.equal(outcomes.filter(({ outcome }) => outcome === "alreadyApplied").length, 99);
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 1);
    }),
  );

  test(
    "what others did to a budget is seen by who knows it from before, also where nothing is to do",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const others = yield* another;
      const who = execution("order/o-1");
      yield* budgets.allocate(tenant, task, { token: 10 });
      yield* others.consume(tenant, [task], { token: 3 }, { execution: who, key: key("k") });
      const release = { budgets: [task] };
      assert.equal((yield* budgets.release(tenant, who, release)).outcome, "released");
      assert.equal((yield* others.release(tenant, who, release)).outcome, "nothingSpent");
      yield* budgets.consume(tenant, [task], { token: 1 });
      yield* others.delete(tenant, task);
      const missing = yield* Effect.flip(budgets.consume(tenant, [task], { token: 1 }));
      assert.equal(missing._tag, "BudgetNotFound");
      assert.equal(yield* budgets.delete(tenant, task), false);
      yield* others.allocate(tenant, task, { token: 10 });
      assert.equal((yield* budgets.consume(tenant, [task], { token: 10 })).outcome, "ok");
      yield* others.replenish(tenant, task, { token: 5 });
      assert.equal((yield* budgets.consume(tenant, [task], { token: 5 })).outcome, "ok");
    }),
  );

  test(
    "who was closed says so, and leaves nobody waiting",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      yield* budgets.allocate(tenant, task, { token: 10 });
      const closed = yield* Effect.scoped(another);
      const error = yield* Effect.flip(closed.consume(tenant, [task], { token: 1 }));
      assert.ok(error._tag === "Unavailable" && error.landed === "no");
      assert.equal((yield* budgets.describe(tenant, task)).dimensions["token"]?.used, 0);
    }),
  );
};
