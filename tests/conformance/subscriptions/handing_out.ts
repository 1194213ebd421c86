/** What a subscription hands out, to whom, and when it counts as handled. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Cause from "effect/Cause";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { ackWaitMs } from "../../../streams/mailbox.ts";
import type { Run } from "../subject_matter.ts";
import {
  complete,
  completeAll,
  completeInOrder,
  create,
  fresh,
  listed,
  readCompletions,
  type Services,
  until,
} from "./matter.ts";

const lagOf = (name: ReturnType<typeof fresh>["name"]) =>
  Effect.map(listed(name), (found) => found?.lag);

export const handingOutSuite = (name: string, run: Run<Services>): void => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));

  describe(`${name}: a durable subscription`, () => {
    test(
      "hands out what is there and what comes, in order, and then only what was not handled",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const end = Effect.map(completeInOrder(tenant), ({ execution }) => execution as string);
        const ids = [yield* end, yield* end, yield* end];
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions(options);
          const first = yield* reader.next;
          assert.equal(first.executionId, ids[0]);
          assert.equal(first.outcome, "success");
          assert.equal(first.tenant, tenant);
          ids.push(yield* end, yield* end);
          assert.deepEqual(yield* reader.ids(3), ids.slice(1, 4));
        }));
        // The fourth was in hand.
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions(options);
          assert.deepEqual(yield* reader.ids(2), ids.slice(3));
        }));
      }),
    );

    test(
      "begins where it was told to when it was new, whatever is said later",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        yield* completeAll(tenant, 1);
        yield* create({ durable: name, tenant });
        const ids = yield* completeAll(tenant, 2);
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions({ durable: name, tenant, after: "earliest" });
          assert.deepEqual([...yield* reader.ids(2)].sort(), ids.sort());
        }));
      }),
    );

    test(
      "begins behind a cursor of plain reading, and gives such cursors",
      Effect.gen(function* () {
        const [one, two] = [fresh(), fresh()];
        const { tenant } = one;
        const ids = yield* completeAll(tenant, 3);
        const { cursor, executionId } = yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions({ durable: one.name, tenant, after: "earliest" });
          return yield* reader.next;
        }));
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions({ durable: two.name, tenant, after: cursor });
          const rest = yield* reader.ids(2);
          assert.deepEqual([executionId as string, ...rest].sort(), ids.sort());
        }));
      }),
    );

    test(
      "shares the work of those who read under its name, and a slow one holds up nobody",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const ids = yield* completeAll(tenant, 12);
        yield* Effect.scoped(Effect.gen(function* () {
          const slow = yield* readCompletions(options);
          // By now it is given several at once.
          const done = yield* slow.ids(3);
          const quick = yield* readCompletions(options);
          // Given back by the slow one, and not only by the server when its patience is over.
          const others = yield* Effect.timeout(quick.ids(9), ackWaitMs - 2_000);
          assert.deepEqual([...done, ...others].sort(), [...ids].sort());
          const nothing = yield* Effect.forkChild(quick.next);
          yield* until(lagOf(name), 1);
          yield* Fiber.interrupt(nothing);
        }));
      }),
    );

    test(
      "gives what somebody had in hand to the others, at once if that one leaves",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const [id] = yield* completeAll(tenant, 1);
        yield* Effect.scoped(Effect.gen(function* () {
          const other = yield* Effect.scoped(Effect.gen(function* () {
            const leaving = yield* readCompletions(options);
            assert.deepEqual(yield* leaving.ids(1), [id]);
            const staying = yield* Effect.forkDetach(Effect.scoped(
              Effect.flatMap(readCompletions(options), (reader) => reader.ids(1)),
            ));
            return staying;
          }));
          assert.deepEqual(yield* Fiber.join(other), [id]);
        }));
      }),
    );

    test(
      "means only what its filter says",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const other = fresh();
        const [tagged, one] = [fresh().name, fresh().name];
        yield* complete(other.tenant);
        const plain = yield* complete(tenant);
        const team = yield* complete(tenant, { "team.name": "checkout" });
        const foreign = yield* complete(tenant, { "team.name": "search" });
        const read = (options: Parameters<typeof readCompletions>[0], count: number) =>
          Effect.scoped(
            Effect.flatMap(
              readCompletions({ ...options, after: "earliest" }),
              (reader) => reader.ids(count),
            ),
          );
        const [first, second, third] = [plain, team, foreign].map(({ execution }) => execution);
        assert.deepEqual(
          [...yield* read({ durable: name, tenant }, 3)].sort(),
          [first, second, third].sort(),
        );
        const tag = { name: "team.name", value: "checkout" };
        assert.deepEqual(yield* read({ durable: tagged, tenant, tag }, 1), [second]);
        assert.deepEqual(
          yield* read({ durable: one, tenant, executionId: third! }, 1),
          [third],
        );
      }),
    );

    test(
      "has handled its last event when it is told to end",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const ids = yield* completeAll(tenant, 2);
        const told = yield* Deferred.make<void>();
        const options = { durable: name, tenant, after: "earliest" };
        const reader = yield* readCompletions({ ...options, until: Deferred.await(told) });
        const [first] = yield* reader.ids(1);
        yield* Deferred.succeed(told, undefined);
        assert.ok(Cause.isDone(yield* Effect.flip(reader.next)));
        yield* until(lagOf(name), 1);
        const rest = yield* Effect.scoped(
          Effect.flatMap(readCompletions(options), (other) => other.ids(1)),
        );
        assert.deepEqual([first, ...rest].sort(), ids.sort());
      }).pipe(Effect.scoped),
    );

    test(
      "is listed with what it means and how far it is behind",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        assert.equal(yield* listed(name), undefined);
        yield* completeAll(tenant, 4);
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions(options);
          yield* reader.next;
          yield* until(lagOf(name), 4);
          yield* reader.next;
          yield* until(lagOf(name), 3);
        }));
        const { pending, unacknowledged, cursor: _, lastActiveAt, ...rest } =
          (yield* listed(name))!;
        assert.equal(pending + unacknowledged, 3);
        assert.ok(unacknowledged > 0);
        assert.deepEqual(rest, {
          family: "completions",
          name,
          filter: { tenant },
          lag: 3,
          waiting: 0,
        });
        assert.ok(Math.abs(lastActiveAt! - Date.now()) < 600_000);
      }),
    );
  });
};
