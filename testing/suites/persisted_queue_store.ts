/** What is asked of Effect's `PersistedQueueStore`, whoever implements it. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Clock from "effect/Clock";
import * as Deferred from "effect/Deferred";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import {
  layer as layerFactory,
  make as makeQueue,
  type PersistedQueueFactory,
  PersistedQueueStore,
} from "effect/persistence/PersistedQueue";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import { cases, type SuiteOptions } from "./suite.ts";

const Job = Schema.Struct({ n: Schema.Int });

const jobs = (name = "jobs", options: { readonly maxAttempts?: number } = {}) =>
  makeQueue({ name, schema: Job, retrySchedule: Schedule.spaced("50 millis"), ...options });

const now = Clock.currentTimeMillis;

type Queue = Effect.Success<ReturnType<typeof jobs>>;

/** What is taken, with its id and which attempt that is. */
const taken = (queue: Queue) =>
  queue.take(({ n }, { id, attempts }) => Effect.succeed({ n, id, attempts }));

/** Nothing is there to take, for now. */
const nothing = (queue: Queue) =>
  Effect.map(
    Effect.timeoutOption(taken(queue), "500 millis"),
    (found) => assert.equal(found._tag, "None", JSON.stringify(found)),
  );

const failing = (queue: Queue) =>
  Effect.flip(queue.take((_, { attempts }) => Effect.fail(attempts)));

export const persistedQueueStoreSuite = (
  name: string,
  makeLayer: () => Layer.Layer<PersistedQueueStore, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases<PersistedQueueFactory | PersistedQueueStore>(
    name,
    () => Layer.provideMerge(layerFactory, makeLayer()),
    options,
  );

  test(
    "what is offered is taken once, also by those who were waiting",
    Effect.gen(function* () {
      const queue = yield* jobs();
      const waiting = yield* Effect.forkChild(taken(queue));
      const first = yield* queue.offer({ n: 1 });
      assert.deepEqual(yield* Fiber.join(waiting), { n: 1, id: first, attempts: 1 });
      yield* queue.offer({ n: 2 }, { id: "two" });
      assert.deepEqual(yield* taken(queue), { n: 2, id: "two", attempts: 1 });
      yield* nothing(queue);
    }),
  );

  test(
    "many takers share what there is",
    Effect.gen(function* () {
      const queue = yield* jobs();
      const numbers = Array.from({ length: 40 }, (_, n) => n);
      const takers = yield* Effect.forkChild(
        Effect.forEach(numbers, () => taken(queue), { concurrency: 5 }),
      );
      yield* Effect.forEach(numbers, (n) => queue.offer({ n }), { concurrency: 8 });
      const found = (yield* Fiber.join(takers)).map(({ n }) => n).sort((a, b) => a - b);
      assert.deepEqual(found, numbers);
      yield* nothing(queue);
    }),
  );

  test(
    "an id is taken once, however often it is offered, before and after it is done with",
    Effect.gen(function* () {
      const queue = yield* jobs();
      for (const n of [1, 2]) yield* queue.offer({ n }, { id: "same. *" });
      assert.equal((yield* taken(queue)).n, 1);
      yield* queue.offer({ n: 3 }, { id: "same. *" });
      yield* nothing(queue);
      // Another queue has ids of its own.
      const other = yield* jobs("jobs >");
      yield* other.offer({ n: 4 }, { id: "same. *" });
      assert.equal((yield* taken(other)).n, 4);
    }),
  );

  test(
    "what is to come later does not come before, nor hold up the rest",
    Effect.gen(function* () {
      const queue = yield* jobs();
      const offeredAt = yield* now;
      yield* queue.offer({ n: 1 }, { delay: "2 seconds" });
      yield* queue.offer({ n: 2 });
      yield* queue.offer({ n: 3 }, { delay: "-1 second" });
      const atOnce = [yield* taken(queue), yield* taken(queue)].map(({ n }) => n);
      assert.deepEqual(atOnce.sort(), [2, 3]);
      const late = yield* taken(queue);
      assert.deepEqual([late.n, late.attempts], [1, 1]);
      assert.ok((yield* now) - offeredAt > 1_900);
    }),
  );

  test(
    "what fails is taken again later, and counted, until it has failed too often",
    Effect.gen(function* () {
      const queue = yield* jobs("jobs", { maxAttempts: 3 });
      yield* queue.offer({ n: 1 }, { id: "poison" });
      yield* queue.offer({ n: 2 }, { delay: "1 second" });
      for (const attempt of [1, 2, 3]) assert.equal(yield* failing(queue), attempt);
      assert.equal((yield* taken(queue)).n, 2);
      yield* nothing(queue);
      yield* queue.offer({ n: 3 }, { id: "poison" });
      yield* nothing(queue);
    }),
  );

  test(
    "who is interrupted gives back what was taken, which does not count",
    Effect.gen(function* () {
      const queue = yield* jobs("jobs", { maxAttempts: 1 });
      yield* queue.offer({ n: 1 });
      for (let i = 0; i < 3; i++) {
        const isTaken = yield* Deferred.make<number>();
        const taker = yield* Effect.forkChild(
          queue.take((_, { attempts }) =>
            Effect.andThen(Deferred.succeed(isTaken, attempts), Effect.never)
          ),
        );
        assert.equal(yield* Deferred.await(isTaken), 1);
        yield* Fiber.interrupt(taker);
      }
      assert.deepEqual((yield* taken(queue)).attempts, 1);
    }),
  );

  test(
    "what dies is taken again like what fails",
    Effect.gen(function* () {
      const queue = yield* jobs();
      yield* queue.offer({ n: 1 });
      const exit = yield* Effect.exit(queue.take(() => Effect.die("a bug")));
      assert.ok(exit._tag === "Failure" && Cause.hasDies(exit.cause));
      assert.equal((yield* taken(queue)).attempts, 2);
    }),
  );

  test(
    "what cannot be decoded has failed, and the next is taken instead",
    Effect.gen(function* () {
      const older = yield* makeQueue({ name: "jobs", schema: Schema.String });
      const queue = yield* jobs();
      yield* older.offer("not a job", { id: "odd" });
      yield* queue.offer({ n: 1 }, { delay: "300 millis" });
      assert.equal((yield* taken(queue)).n, 1);
      yield* nothing(queue);
      const again = yield* Effect.timeoutOption(older.take(Effect.succeed), "500 millis");
      assert.equal(again._tag, "None");
    }),
  );

  test(
    "an id is free again when what is done was cleaned up; what failed stays, unless it is told",
    Effect.gen(function* () {
      const store = yield* PersistedQueueStore;
      const queue = yield* jobs("jobs", { maxAttempts: 1 });
      const clean = (failedTimeToLive?: Duration.Duration) =>
        store.cleanup({ timeToLive: Duration.zero, failedTimeToLive });
      yield* queue.offer({ n: 1 }, { id: "done" });
      yield* taken(queue);
      yield* queue.offer({ n: 2 }, { id: "failed" });
      yield* failing(queue);
      yield* queue.offer({ n: 3 }, { id: "waiting", delay: "1 second" });
      yield* store.cleanup({ timeToLive: Duration.hours(1), failedTimeToLive: Duration.hours(1) });
      yield* queue.offer({ n: 4 }, { id: "done" });
      yield* clean();
      yield* queue.offer({ n: 5 }, { id: "failed" });
      assert.equal((yield* taken(queue)).n, 3);
      yield* clean(Duration.zero);
      for (const [n, id] of [[6, "done"], [7, "failed"]] as const) {
        yield* queue.offer({ n }, { id });
        assert.deepEqual(yield* taken(queue), { n, id, attempts: 1 });
      }
    }),
  );
};
