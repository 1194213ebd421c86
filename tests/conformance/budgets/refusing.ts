/** What never reaches the log, and what is there and cannot be trusted. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { budgetAddress, budgetFilter } from "../../../streams/budgets/places.ts";
import { Log } from "../../../streams/log.ts";
import { flow, named, scene, task, type Test } from "./matter.ts";

/** Whatever a caller without types may give. */
// deno-lint-ignore no-explicit-any -- that is the point
const any = (value: unknown): any => value;

export const refusing = (test: Test) => {
  test(
    "what makes no sense is refused before the log",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const log = yield* Log;
      const consume = (amounts: unknown, options = {}, names: ReadonlyArray<string> = [task]) =>
        budgets.consume(tenant, names.map(named), any(amounts), options);
      const tooMany = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`d${n}`, 1]));
      for (
        const call of [
          budgets.allocate(tenant, task, {}),
          budgets.allocate(tenant, task, { token: -1 }),
          budgets.allocate(tenant, task, { token: 1.5 }),
          budgets.allocate(tenant, task, { token: Infinity }),
          budgets.allocate(tenant, task, { token: {} }),
          budgets.allocate(tenant, task, { "to ken": 1 }),
          budgets.allocate(tenant, task, tooMany),
          budgets.allocate(tenant, task, { token: 1 }, { resetEvery: "10 millis" }),
          budgets.allocate(tenant, task, { token: 1 }, { resetEvery: any("soon") }),
          budgets.allocate(tenant, task, { token: 1 }, { resetEvery: "Infinity" }),
          budgets.allocate(tenant, task, { token: 1 }, { resetEvery: "36526 days" }),
          budgets.allocate(tenant, task, { token: 1 }, { resetEvery: Number.MAX_SAFE_INTEGER }),
          budgets.replenish(tenant, task, { token: 2 ** 53 }),
          budgets.reset(tenant, task, { dimensions: [] }),
          budgets.release(tenant, any("order/o-1"), { budgets: [] }),
          consume({}),
          consume({ token: -1 }),
          consume({ token: NaN }),
          consume({ token: "1" }),
          consume({ token: 1 }, { overage: "Allow" }),
          consume({ token: 1 }, { unallocated: true }),
          consume({ token: 1 }, { leave: { token: -1 } }),
          consume({ token: 1 }, {}, []),
          consume({ token: 1 }, {}, Array.from({ length: 17 }, (_, n) => `task:${n}`)),
        ]
      ) {
        const error = yield* Effect.flip(call as Effect.Effect<unknown, { readonly _tag: string }>);
        assert.equal(error._tag, "InvalidInput");
      }
      for (const zero of [{ token: 0 }, { token: { hard: 5, soft: 0 } }, { a: 1, token: 0 }]) {
        const error = yield* Effect.flip(budgets.allocate(tenant, task, zero));
        assert.equal(error._tag, "ZeroLimit");
        assert.match(error.message, /token.*task:t-1.*replenish it with 0/);
      }
      const stored = yield* Stream.runCollect(log.read(budgetFilter(log.layout, tenant)));
      assert.deepEqual([...stored], []);
    }),
  );

  test(
    "a budget has at most so many dimensions",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const limits = (from: number, count: number) =>
        Object.fromEntries(Array.from({ length: count }, (_, n) => [`d${from + n}`, 1]));
      yield* budgets.allocate(tenant, task, limits(0, 32));
      yield* budgets.allocate(tenant, task, limits(0, 32));
      const error = yield* Effect.flip(budgets.allocate(tenant, task, limits(32, 1)));
      assert.equal(error._tag, "TooManyDimensions");
    }),
  );

  test(
    "an interval is a hundred years at most, and one that was stored longer is told so",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const log = yield* Log;
      const century = 36_525 * 24 * 60 * 60 * 1_000;
      const stored = {
        kind: "budget",
        events: [],
        dimensions: { token: { hard: 10, used: 10, since: 0 } },
        resetEveryMs: Number.MAX_SAFE_INTEGER,
        intervalStartedAt: 1_000,
        spendings: [],
        keys: [],
        life: 0,
        records: 1,
      };
      yield* log.append(budgetAddress(log.layout, tenant, task), {
        kind: "budget",
        body: new TextEncoder().encode(JSON.stringify({ v: 1, ...stored })),
      });
      yield* budgets.allocate(tenant, flow, { token: 10 }, { resetEvery: "36525 days" });
      const listed = yield* budgets.list(tenant);
      assert.deepEqual(
        Object.fromEntries(listed.map(({ name, resetEveryMs }) => [name, resetEveryMs])),
        { [task]: Number.MAX_SAFE_INTEGER, [flow]: century },
      );
      assert.equal((yield* budgets.describe(tenant, task)).resetsAt, 1_000 + century);
    }),
  );

  test(
    "what a later release or somebody else has written is refused loudly, and nothing else",
    Effect.gen(function* () {
      const { budgets, tenant } = yield* scene;
      const log = yield* Log;
      const write = (name: typeof task, text: string) =>
        log.append(budgetAddress(log.layout, tenant, name), {
          kind: "budget",
          body: new TextEncoder().encode(text),
        });
      yield* write(task, `{"v":2,"kind":"budget"}`);
      yield* write(flow, `{"v":1,"kind":"budget","dimensions":{"token":{"hard":"many"}}}`);
      const other = named("other");
      yield* budgets.allocate(tenant, other, { token: 10 });
      const tagOf = (call: Effect.Effect<unknown, { readonly _tag: string }>) =>
        Effect.map(Effect.flip(call), ({ _tag }) => _tag);
      const [first, second, third] = yield* Effect.all([
        tagOf(budgets.consume(tenant, [task], { token: 1 })),
        tagOf(budgets.consume(tenant, [other, flow], { token: 1 })),
        budgets.consume(tenant, [other], { token: 1 }),
      ], { concurrency: "unbounded" });
      assert.equal(first, "UnsupportedRecordVersion");
      assert.equal(second, "CorruptRecord");
      assert.equal(third.outcome, "ok");
      assert.equal(yield* tagOf(budgets.describe(tenant, task)), "UnsupportedRecordVersion");
      assert.equal(yield* tagOf(budgets.allocate(tenant, flow, { token: 1 })), "CorruptRecord");
      assert.equal(yield* tagOf(budgets.list(tenant)), "CorruptRecord");
      assert.equal((yield* budgets.describe(tenant, other)).dimensions["token"]?.used, 1);
    }),
  );
};
