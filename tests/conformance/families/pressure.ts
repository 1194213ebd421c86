/** Readers that stand still: they lose nothing and keep nobody waiting. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { Families } from "../../../streams/families.ts";
import { Leases } from "../../../streams/lease.ts";
import { own, type Test } from "./scene.ts";

const writers = 50;

/** Renews leases until so many records more are there. */
export const writeMany = (count: number) =>
  Effect.gen(function* () {
    const leases = yield* Leases;
    const owned = yield* Effect.forEach(Array.from({ length: writers }), () => own());
    yield* Effect.forEach(owned, ({ lease }) =>
      Effect.gen(function* () {
        let renewed = lease;
        for (let i = 1; i < count / writers; i++) renewed = yield* leases.renew(renewed);
      }), { concurrency: "unbounded", discard: true });
    return owned.map(({ execution }) => execution as string);
  });

export const pressureCases = (test: Test, writtenMeanwhile: number): void => {
  test("6: a reader that stands still meanwhile is given everything, once and in order", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      yield* own();
      let executions: ReadonlyArray<string> = [];
      const counts = new Map<string, number>();
      let seen = 0;
      yield* families.read("leaseHistory", { after: "earliest" }).pipe(
        Stream.take(writtenMeanwhile + 1),
        Stream.runForEach(({ executionId, type }) =>
          Effect.gen(function* () {
            if (seen++ === 0) executions = yield* writeMany(writtenMeanwhile);
            const before = counts.get(executionId) ?? 0;
            assert.equal(type, before === 0 ? "acquired" : "renewed");
            counts.set(executionId, before + 1);
          })
        ),
        Effect.timeout("280 seconds"),
      );
      assert.deepEqual(
        executions.map((execution) => counts.get(execution)),
        executions.map(() => writtenMeanwhile / writers),
      );
    }));
};
