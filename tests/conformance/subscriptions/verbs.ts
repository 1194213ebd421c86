/** Moving, deleting and refusing subscriptions, also under the hands of those who read. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import {
  InvalidCursor,
  SubscriptionConflict,
  SubscriptionNotFound,
} from "../../../schema/errors.ts";
import { Timestamp } from "../../../schema/ids.ts";
import { Subscriptions } from "../../../streams/subscriptions.ts";
import type { Run } from "../subject_matter.ts";
import {
  complete,
  completeAll,
  create,
  fresh,
  listed,
  readCompletions,
  type Services,
  tailOf,
} from "./matter.ts";

const family = "completions";

export const verbsSuite = (name: string, run: Run<Services>): void => {
  const test = (
    title: string,
    effect: (
      subscriptions: Subscriptions["Service"],
    ) => Effect.Effect<unknown, unknown, Services>,
  ) => it(title, () => run(Effect.asVoid(Effect.flatMap(Subscriptions, effect))));

  const readAll = (options: Parameters<typeof readCompletions>[0], count: number) =>
    Effect.scoped(Effect.gen(function* () {
      const reader = yield* readCompletions(options);
      const ids = yield* reader.ids(count);
      // The last is handled when the next is asked for, which does not come.
      const none = yield* Effect.timeoutOption(reader.next, "1 second");
      assert.equal(none._tag, "None");
      return ids;
    }));

  describe(`${name}: a durable subscription`, () => {
    test("is moved back, and hands out again what lies from there on", (subscriptions) =>
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const ids = yield* completeAll(tenant, 3);
        assert.deepEqual([...yield* readAll(options, 3)].sort(), [...ids].sort());
        yield* subscriptions.reset({ family, name }, { after: "earliest" });
        assert.equal((yield* listed(name))?.lag, 3);
        assert.deepEqual([...yield* readAll(options, 3)].sort(), [...ids].sort());
      }));

    test("is moved to a cursor, to a time and to now", (subscriptions) =>
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const first = yield* complete(tenant);
        const { cursor } = yield* Effect.scoped(
          Effect.flatMap(readCompletions(options), (reader) => reader.next),
        );
        yield* Effect.sleep("5 millis");
        const { at } = yield* tailOf(first.address.shard);
        yield* Effect.sleep("5 millis");
        const [second] = yield* completeAll(tenant, 1);
        yield* subscriptions.reset({ family, name }, { after: cursor });
        assert.deepEqual(yield* readAll(options, 1), [second]);
        yield* subscriptions.reset({ family, name }, { at: Timestamp.make(at) });
        assert.deepEqual(yield* readAll(options, 1), [second]);
        yield* subscriptions.reset({ family, name }, { at: Timestamp.make(0) });
        assert.equal((yield* listed(name))?.lag, 2);
        yield* subscriptions.reset({ family, name }, { after: "now" });
        assert.equal((yield* listed(name))?.lag, 0);
      }));

    test("is moved under the hands of its readers, who go on from there", (subscriptions) =>
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const ids = yield* completeAll(tenant, 3);
        yield* Effect.scoped(Effect.gen(function* () {
          const idle = yield* readCompletions(options);
          yield* idle.ids(3);
          const seen = yield* Effect.forkChild(idle.ids(3));
          yield* Effect.repeat(listed(name), { until: (found) => found?.lag === 0 });
          yield* subscriptions.reset({ family, name }, { after: "earliest" });
          assert.deepEqual([...yield* Fiber.join(seen)].sort(), [...ids].sort());
          // One that is at work when it happens handles what it has, and then all the rest.
          yield* subscriptions.reset({ family, name }, { after: "earliest" });
          const again = new Set<string>();
          while (again.size < 3) again.add((yield* idle.next).executionId);
        }));
      }));

    test("is refused under another filter, and stays as it is", (subscriptions) =>
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        yield* create({ durable: name, tenant });
        const before = yield* listed(name);
        const error = yield* Effect.flip(Effect.scoped(
          Effect.flatMap(
            readCompletions({ durable: name, tenant: fresh().tenant }),
            (reader) => reader.next,
          ),
        ));
        assert.ok(error instanceof SubscriptionConflict, String(error));
        assert.equal(error.stored, JSON.stringify({ tenant }));
        assert.deepEqual((yield* listed(name))?.filter, before?.filter);
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions({ durable: name, tenant });
          const [id] = yield* completeAll(tenant, 1);
          assert.deepEqual(yield* reader.ids(1), [id]);
        }));
        assert.equal((yield* subscriptions.list).filter((each) => each.name === name).length, 1);
      }));

    test("is not made by a start that is refused", () =>
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const error = yield* Effect.flip(Effect.scoped(
          Effect.flatMap(
            readCompletions({ durable: name, tenant, after: "AAAA" }),
            (reader) => reader.next,
          ),
        ));
        assert.ok(error instanceof InvalidCursor, String(error));
        assert.equal(yield* listed(name), undefined);
      }));

    test("is deleted, which its readers are told, and made anew by the next", (subscriptions) =>
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const [id] = yield* completeAll(tenant, 1);
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions(options);
          yield* reader.next;
          const next = yield* Effect.forkChild(Effect.flip(reader.next));
          yield* subscriptions.delete({ family, name });
          assert.ok((yield* Fiber.join(next)) instanceof SubscriptionNotFound);
        }));
        assert.equal(yield* listed(name), undefined);
        for (
          const verb of [
            subscriptions.delete({ family, name }),
            subscriptions.reset({ family, name }, { after: "now" }),
          ]
        ) {
          const error = yield* Effect.flip(verb);
          assert.ok(error instanceof SubscriptionNotFound, String(error));
        }
        assert.deepEqual(yield* readAll(options, 1), [id]);
      }));
  });
};
