/** What is asked of Effect's `RateLimiterStore`, whoever implements it. */
import assert from "node:assert/strict";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";
import { RateLimiterStore } from "effect/persistence/RateLimiter";
import * as Schedule from "effect/Schedule";
import { cases, type SuiteOptions } from "./suite.ts";

const slow = Duration.hours(1);
const quick = Duration.seconds(1);

const refusal = {
  status: 429,
  tokens: 1,
  retryAfter: Duration.hours(1),
};
const ask = { tokens: 1, fallbackLimit: 10, fallbackWindow: Duration.minutes(1) };

export const rateLimiterStoreSuite = (
  name: string,
  makeLayer: () => Layer.Layer<RateLimiterStore, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases(name, makeLayer, options);

  test(
    "a window counts what was taken, and nothing above its limit",
    Effect.gen(function* () {
      const store = yield* RateLimiterStore;
      const take = (key: string, tokens: number) =>
        store.fixedWindow({ key, tokens, refillRate: slow, limit: 5 });
      const [first, firstMs] = yield* take("a", 2);
      assert.equal(first, 2);
      assert.ok(firstMs > 1.9 * Duration.toMillis(slow) && firstMs <= 2 * Duration.toMillis(slow));
      assert.equal((yield* take("a", 3))[0], 5);
      const [refused, refusedMs] = yield* take("a", 1);
      assert.equal(refused, 6);
      assert.ok(refusedMs <= 5 * Duration.toMillis(slow));
      // What was refused was not counted, nor is another key's.
      assert.equal((yield* take("a", 2))[0], 7);
      assert.equal((yield* take("b", 5))[0], 5);
      const unlimited = yield* store.fixedWindow({
        key: "c",
        tokens: 1_000,
        refillRate: slow,
        limit: undefined,
      });
      assert.equal(unlimited[0], 1_000);
    }),
  );

  test(
    "a window that has passed is begun anew",
    Effect.gen(function* () {
      const store = yield* RateLimiterStore;
      const take = store.fixedWindow({ key: "a", tokens: 2, refillRate: quick, limit: 3 });
      assert.equal((yield* take)[0], 2);
      const [count] = yield* take.pipe(
        Effect.repeat({
          until: ([count]) => count <= 3,
          schedule: Schedule.spaced("20 millis"),
        }),
        Effect.timeout("20 seconds"),
      );
      assert.equal(count, 2);
    }),
  );

  test(
    "a bucket gives what it has, owes only where that is allowed, and fills up to its limit",
    Effect.gen(function* () {
      const store = yield* RateLimiterStore;
      const take = (tokens: number, allowOverflow = false) =>
        Effect.map(
          store.tokenBucket({ key: "a", tokens, limit: 5, refillRate: slow, allowOverflow }),
          ([left]) => left,
        );
      assert.equal(yield* take(2), 3);
      assert.equal(yield* take(4), -1);
      assert.equal(yield* take(3), 0);
      assert.equal(yield* take(2, true), -2);
      assert.equal(yield* take(1, true), -3);

      const sip = store.tokenBucket({
        key: "b",
        tokens: 1,
        limit: 2,
        refillRate: quick,
        allowOverflow: false,
      });
      const [full, elapsed] = yield* sip;
      assert.deepEqual([full, elapsed], [1, 0]);
      assert.equal((yield* sip)[0], 0);
      const [left, since] = yield* sip.pipe(
        Effect.repeat({ until: ([left]) => left >= 0, schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("20 seconds"),
      );
      assert.ok(left <= 1);
      assert.ok(since >= 0 && since < Duration.toMillis(quick));
    }),
  );

  test(
    "of many who take at once no two take the same",
    Effect.gen(function* () {
      const store = yield* RateLimiterStore;
      const each = Array.from({ length: 20 });
      const counts = yield* Effect.forEach(
        each,
        () => store.fixedWindow({ key: "a", tokens: 1, refillRate: slow, limit: undefined }),
        { concurrency: "unbounded" },
      );
      const left = yield* Effect.forEach(
        each,
        () =>
          store.tokenBucket({
            key: "a",
            tokens: 1,
            limit: 20,
            refillRate: slow,
            allowOverflow: false,
          }),
        { concurrency: "unbounded" },
      );
      const byValue = (a: number, b: number) => a - b;
      assert.deepEqual(counts.map(([count]) => count).sort(byValue), each.map((_, i) => i + 1));
      assert.deepEqual(left.map(([count]) => count).sort(byValue), each.map((_, i) => i));
    }),
  );

  test(
    "a rate is learned from refusals, each of which counts for the guess that it answers",
    Effect.gen(function* () {
      const store = yield* RateLimiterStore;
      const consume = store.adaptiveConsume({ key: "a", ...ask });
      const refuse = (epoch: number, retryAfter: Duration.Duration | undefined) =>
        store.adaptiveFeedback({ ...refusal, key: "a", epoch, retryAfter });
      const inactive = yield* consume;
      assert.deepEqual([inactive.phase, inactive.epoch], ["inactive", 0]);
      // Neither says anything of a rate.
      yield* store.adaptiveFeedback({ ...refusal, key: "a", epoch: 0, status: 503 });
      yield* refuse(0, undefined);
      yield* refuse(7, Duration.hours(1));
      assert.equal((yield* consume).phase, "inactive");

      yield* refuse(0, Duration.seconds(2));
      const cooling = yield* consume;
      assert.equal(cooling.phase, "cooldown");
      assert.ok(Duration.toSeconds(cooling.delay) <= 2);
      const learning = yield* consume.pipe(
        Effect.repeat({
          until: ({ phase }) => phase !== "cooldown",
          schedule: Schedule.spaced("20 millis"),
        }),
        Effect.timeout("20 seconds"),
      );
      assert.deepEqual([learning.phase, learning.epoch], ["learning", 1]);
      for (let i = 0; i < 3; i++) assert.equal((yield* consume).phase, "learning");

      // The fourth was refused, so three are allowed in this time.
      yield* refuse(0, Duration.hours(1));
      assert.equal((yield* consume).phase, "learning");
      yield* refuse(1, Duration.minutes(30));
      const learned = yield* consume;
      assert.deepEqual([learned.phase, learned.epoch], ["learned", 2]);
      assert.ok(Duration.toMinutes(learned.delay) > 25 && Duration.toMinutes(learned.delay) <= 30);

      yield* refuse(2, Duration.hours(1));
      const again = yield* consume;
      assert.equal(again.phase, "cooldown");
      assert.ok(Duration.toMinutes(again.delay) > 55);
    }),
  );
};
