/** Ticks: when nothing comes, the cursor moves on, and never past what is still to come. */
import assert from "node:assert/strict";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { decodeCursor } from "../../../schema/cursor.ts";
import { Families, layerMemory } from "../../../streams/families.ts";
import { Log } from "../../../streams/log.ts";
import { uniqueTenant } from "../subject_matter.ts";
import { here, own, readAll, tag, take, type Test } from "./scene.ts";

export const tickCases = (test: Test): void => {
  test("a reader for whom nothing comes is told how far the log has come without it", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      const log = yield* Log;
      const before = yield* here;
      const mine = uniqueTenant();
      const { address } = yield* own();
      const tail = yield* log.tail(address.shard);
      const tick = yield* families.read("leaseHistory", {
        after: before,
        tenant: mine,
        ticks: "30 millis",
      }).pipe(Stream.runHead, Effect.flatMap(Effect.fromOption));
      assert.equal(tick.type, "tick");
      const { shards } = yield* decodeCursor(tick.cursor);
      assert.equal(shards[address.shard]!.sequence, tail.sequence);
      assert.ok(tick.at >= tail.at);
      yield* own(mine);
      assert.equal(
        (yield* take("leaseHistory", 1, { after: tick.cursor, tenant: mine })).length,
        1,
      );
    }));

  test("there are none while events come, and none for who did not ask", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      for (let i = 0; i < 5; i++) yield* own();
      const types = yield* families.read("leaseHistory", { after: "earliest", ticks: "1 second" })
        .pipe(
          Stream.take(6),
          Stream.map(({ type }) => type),
          Stream.runCollect,
        );
      assert.deepEqual(types, [...new Array(5).fill("acquired"), "tick"]);
    }));

  test("what a reader passes over by itself moves its cursor as well", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      const before = yield* here;
      const owned = yield* own();
      for (let i = 0; i < 3; i++) yield* tag(owned, "attached", "a.b", String(i));
      const tail = yield* (yield* Log).tail(owned.address.shard);
      const ticks = families.read("instanceTags", {
        after: before,
        tag: { name: "c.d" },
        ticks: "30 millis",
      });
      yield* ticks.pipe(
        Stream.mapEffect(({ type, cursor }) => {
          assert.equal(type, "tick");
          return decodeCursor(cursor);
        }),
        Stream.takeUntil(({ shards }) => shards[owned.address.shard]!.sequence === tail.sequence),
        Stream.runDrain,
        Effect.timeout("30 seconds"),
      );
    }));

  test("12: there is no tick while an event lies there that the consumer has not delivered", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const before = yield* here;
      const { execution } = yield* own();
      const isDelivered = Deferred.makeUnsafe<void>();
      let looks = 0;
      const slow = Layer.provide(
        layerMemory,
        Layer.succeed(Log, {
          ...log,
          // By the third time, at the latest, a tick is overdue.
          next: (...of) => {
            if (++looks === 3 * log.layout.shards) Deferred.doneUnsafe(isDelivered, Exit.void);
            return log.next(...of);
          },
          follow: (...of) =>
            Stream.unwrap(Effect.as(Deferred.await(isDelivered), log.follow(...of))),
        }),
      );
      const [event, tick] = yield* Effect.flatMap(
        Families,
        (families) =>
          families.read("leaseHistory", { after: before, ticks: "30 millis" }).pipe(
            Stream.take(2),
            Stream.runCollect,
            Effect.timeout("30 seconds"),
          ),
      ).pipe(Effect.provide(Layer.fresh(slow)));
      assert.ok(event !== undefined && event.type === "acquired");
      assert.equal(event.executionId, execution);
      assert.equal(tick?.type, "tick");
    }));

  test("12: no tick's cursor lies behind an event that is on its way", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      const begun = yield* here;
      const [mine, theirs] = [uniqueTenant(), uniqueTenant()];
      const written: Array<string> = [];
      const writing = yield* Effect.forkChild(Effect.gen(function* () {
        for (let i = 0; i < 150; i++) {
          const owned = yield* own(i % 3 === 0 ? mine : theirs);
          if (i % 3 === 0) written.push(owned.execution);
          // Long enough, now and then, for a tick.
          if (i % 10 === 0) yield* Effect.sleep("15 millis");
        }
      }));
      const seen: Array<string> = [];
      let cursor: string = begun;
      let isOver = false;
      while (!isOver) {
        // Each tick is where another reader begins.
        yield* families.read("leaseHistory", { after: cursor, tenant: mine, ticks: "5 millis" })
          .pipe(
            Stream.takeUntil((event) => event.type === "tick"),
            Stream.runForEach((event) =>
              Effect.sync(() => {
                cursor = event.cursor;
                if (event.type !== "tick") seen.push(event.executionId);
              })
            ),
          );
        isOver = writing.pollUnsafe() !== undefined;
      }
      yield* Fiber.join(writing);
      for (const event of yield* readAll("leaseHistory", { after: cursor, tenant: mine })) {
        seen.push(event.executionId);
      }
      assert.deepEqual(seen.toSorted(), written.toSorted());
    }));
};
