/** How executions leave the index, and come back under the same id. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { ExecutionIndex } from "../../../streams/execution_index.ts";
import type { Run } from "../subject_matter.ts";
import {
  eventually,
  idsOf,
  listAll,
  newTenant,
  projecting,
  run,
  type Services,
  start,
  startAll,
} from "./matter.ts";

export const forgettingSuite = (name: string, runTest: Run<Services>): void => {
  const test = (title: string, effect: () => Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => runTest(Effect.asVoid(Effect.suspend(effect))));

  describe(`${name}: forgetting`, () => {
    test("a life that is forgotten leaves every list, and the others stay", () =>
      projecting(Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const tenant = newTenant();
        const tag = { name: "team" };
        const subjects = yield* startAll(tenant, 300, { tags: { team: "a" } });
        yield* Effect.forEach(subjects.slice(0, 10), (subject) => run(subject));
        const completed = Effect.map(listAll({ tenant, status: "completed" }), (all) => all.length);
        yield* eventually(completed, 10);
        const [gone, kept] = [subjects.slice(0, 280), subjects.slice(280)];
        yield* Effect.forEach(gone, ({ address, life }) => index.forget(address, life), {
          concurrency: 16,
        });
        const left = Effect.map(listAll({ tenant }), (all) => idsOf(all).length);
        yield* eventually(left, kept.length);
        const ids = new Set(idsOf(kept));
        assert.deepEqual(new Set(idsOf(yield* listAll({ tenant }))), ids);
        assert.deepEqual(new Set(idsOf(yield* listAll({ tenant, tag }))), ids);
        assert.deepEqual(yield* listAll({ tenant, status: "completed" }), []);
      })));

    test("forgetting twice, or what was never there, is harmless", () =>
      projecting(Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const tenant = newTenant();
        const [gone, kept] = [yield* start(tenant), yield* start(tenant)];
        yield* eventually(Effect.map(listAll({ tenant }), (all) => all.length), 2);
        yield* index.forget(gone.address, gone.life);
        yield* eventually(Effect.map(listAll({ tenant }), idsOf), [kept.execution]);
        yield* index.forget(gone.address, gone.life);
        yield* run(kept);
        yield* run(gone);
        const later = yield* start(tenant);
        yield* eventually(
          Effect.map(listAll({ tenant }), (all) => new Set(idsOf(all))),
          new Set([kept.execution, later.execution]),
        );
      })));

    test("a mark that is there before the projector has seen the start still counts", () =>
      Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const tenant = newTenant();
        const gone = yield* start(tenant);
        yield* index.forget(gone.address, gone.life);
        const kept = yield* start(tenant);
        yield* projecting(
          eventually(Effect.map(listAll({ tenant }), idsOf), [kept.execution]),
        );
      }));

    test("two lives of one id are two executions, and late records go to their own", () =>
      projecting(Effect.gen(function* () {
        const index = yield* ExecutionIndex;
        const tenant = newTenant();
        const first = yield* start(tenant, "order/again");
        yield* run(first);
        const second = yield* start(tenant, "order/again");
        const shown = Effect.map(
          listAll({ tenant }),
          (all) => all.map(({ life, status }) => [life, status]),
        );
        yield* eventually(shown, [[second.life, "waiting"], [first.life, "completed"]]);
        yield* index.forget(first.address, first.life);
        yield* eventually(shown, [[second.life, "waiting"]]);
      })));
  });
};
