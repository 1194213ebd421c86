/** What is asked of Effect's `BackingPersistence`, whoever implements it. */
import assert from "node:assert/strict";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";
import { BackingPersistence } from "effect/persistence/Persistence";
import * as Schedule from "effect/Schedule";
import { cases, type SuiteOptions } from "./suite.ts";

const short = Duration.millis(1_100);

export const backingPersistenceSuite = (
  name: string,
  makeLayer: () => Layer.Layer<BackingPersistence, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases(name, makeLayer, options);

  test(
    "objects are there as they were set, one by one and many at once",
    Effect.gen(function* () {
      const store = yield* (yield* BackingPersistence).make("results");
      assert.equal(yield* store.get("a"), undefined);
      yield* store.set("a", { n: 1, list: [null, "ö\ud800"], deep: { yes: true } }, undefined);
      assert.deepEqual(yield* store.get("a"), {
        n: 1,
        list: [null, "ö\ud800"],
        deep: { yes: true },
      });
      yield* store.setMany([["b", { n: 2 }, undefined], ["a", { n: 3 }, Duration.infinity]]);
      assert.deepEqual(yield* store.getMany(["b", "none", "a", "b"]), [
        { n: 2 },
        undefined,
        { n: 3 },
        { n: 2 },
      ]);
      yield* store.remove("b");
      yield* store.remove("none");
      assert.deepEqual(yield* store.getMany(["b", "a"]), [undefined, { n: 3 }]);
    }).pipe(Effect.scoped),
  );

  test(
    "stores have their own entries, and are shared by who names them",
    Effect.gen(function* () {
      const persistence = yield* BackingPersistence;
      const first = yield* persistence.make("one.store *");
      const second = yield* persistence.make("one.store >");
      yield* first.set("a", { of: 1 }, undefined);
      yield* second.set("a", { of: 2 }, undefined);
      assert.deepEqual(yield* (yield* persistence.make("one.store *")).get("a"), { of: 1 });
      yield* first.clear;
      assert.deepEqual([yield* first.get("a"), yield* second.get("a")], [undefined, { of: 2 }]);
      yield* first.set("a", { of: 3 }, undefined);
      assert.deepEqual(yield* first.get("a"), { of: 3 });
    }).pipe(Effect.scoped),
  );

  test(
    "an entry ends with its time, and not with that of the one it replaced",
    Effect.gen(function* () {
      const store = yield* (yield* BackingPersistence).make("results");
      yield* store.set("replaced", { n: 1 }, short);
      yield* store.setMany([["brief", { n: 2 }, short], ["long", { n: 3 }, Duration.hours(1)]]);
      yield* store.set("replaced", { n: 4 }, undefined);
      assert.deepEqual(yield* store.get("brief"), { n: 2 });
      yield* store.get("brief").pipe(
        Effect.repeat({
          until: (found) => found === undefined,
          schedule: Schedule.spaced("20 millis"),
        }),
        Effect.timeout("20 seconds"),
      );
      assert.deepEqual(yield* store.getMany(["replaced", "long"]), [{ n: 4 }, { n: 3 }]);
      // Also as the server removes it, which may be later.
      yield* Effect.sleep("2 seconds");
      assert.deepEqual(yield* store.getMany(["replaced", "long", "brief"]), [
        { n: 4 },
        { n: 3 },
        undefined,
      ]);
    }).pipe(Effect.scoped),
  );
};
