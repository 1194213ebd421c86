import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import * as TestClock from "effect/testing/TestClock";
import { Namespace } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { type Address, executionAddress, executionFilter } from "../../streams/subjects.ts";
import { collect } from "../conformance/log_suite/log_case.ts";
import { logSuite } from "../conformance/log_suite.ts";
import { body, tenant, text, uniqueExecution } from "../conformance/subject_matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 2, parts: 4 };
const layer = layerMemory({ layout, maxPayloadBytes: 2 * 1024 * 1024 });

logSuite("memory", (effect) => Effect.runPromise(Effect.provide(effect, layer)));

describe("memory under a clock of the test", () => {
  const test = (
    title: string,
    effect: (log: Log["Service"], address: Address) => Effect.Effect<void, unknown>,
  ) =>
    it(title, () => {
      const run = Effect.gen(function* () {
        const log = yield* Log;
        yield* effect(log, executionAddress(layout, tenant, uniqueExecution()));
      });
      return Effect.runPromise(
        Effect.provide(run, Layer.provideMerge(layer, TestClock.layer())),
      );
    });

  const schedule = (key: string, at: number) =>
    ({ kind: "timer", key, body: body(key), schedule: { at } }) as const;
  const mail = (log: Log["Service"], address: Address) =>
    Effect.map(
      collect(log.read(executionFilter(address, "mail"))),
      (entries) => entries.map((entry) => [text(entry), entry.at]),
    );

  test(
    "timers come at their time and in its order, not sooner",
    (log, address) =>
      Effect.gen(function* () {
        const day = 86_400_000;
        yield* log.append(address, schedule("month", 30 * day));
        yield* log.append(address, schedule("second", 1_000));
        yield* log.append(address, schedule("hour", 3_600_000));
        yield* TestClock.adjust("999 millis");
        assert.deepEqual(yield* mail(log, address), []);
        yield* TestClock.adjust("1 milli");
        assert.deepEqual(yield* mail(log, address), [["second", 1_000]]);
        yield* TestClock.adjust("31 days");
        assert.deepEqual((yield* mail(log, address)).map(([key]) => key), [
          "second",
          "hour",
          "month",
        ]);
      }),
  );

  test("who follows a mailbox is woken by a timer", (log, address) =>
    Effect.gen(function* () {
      const following = yield* log.follow(executionFilter(address, "mail")).pipe(
        Stream.take(1),
        collect,
        Effect.forkChild({ startImmediately: true }),
      );
      yield* log.append(address, schedule("hour", 3_600_000));
      yield* TestClock.adjust("1 hour");
      assert.deepEqual((yield* Fiber.join(following)).map(text), ["hour"]);
    }));

  test("of 10,000 timers each comes to its own execution", (log) =>
    Effect.gen(function* () {
      const addresses = Array.from(
        { length: 10_000 },
        () => executionAddress(layout, tenant, uniqueExecution()),
      );
      for (const [i, address] of addresses.entries()) {
        yield* log.append(address, { kind: "mail", body: body("start") });
        yield* log.append(address, schedule("due", 1 + i));
      }
      yield* TestClock.adjust("10 seconds");
      for (const address of addresses) {
        assert.deepEqual((yield* mail(log, address)).map(([what]) => what), ["start", "due"]);
      }
    }));
});
