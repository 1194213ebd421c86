/** What an append may demand, the last sequence, and what it may bring, the ids of its events. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import { EventId } from "../../../schema/ids.ts";
import { type Run, uniqueExecution } from "../subject_matter.ts";
import {
  assertGapless,
  custom,
  customs,
  newStore,
  said,
  type Services,
  type Subject,
  testing,
} from "./matter.ts";

const ids = (...names: ReadonlyArray<string>) => names.map((name) => EventId.make(name));

export const expectationSuite = (name: string, run: Run<Services>): void => {
  const test = testing(run);

  describe(`${name}: expected sequence`, () => {
    const conflict = (
      { store, execution, tenant }: Subject,
      expectedSequence: number,
      actual: number,
    ) =>
      Effect.gen(function* () {
        for (
          const append of [
            store.append(execution, tenant, custom("x"), { expectedSequence }),
            store.appendBatch(execution, tenant, customs("x", "y"), { expectedSequence }),
          ]
        ) {
          const error = yield* Effect.flip(append);
          assert.ok(error._tag === "SequenceConflict");
          assert.deepEqual([error.expected, error.actual], [expectedSequence, actual]);
          assert.equal(error.subject, execution);
        }
      });

    test("an append on the last sequence is stored", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const append = (expectedSequence: number) =>
          store.append(execution, tenant, custom(expectedSequence), { expectedSequence });
        assert.equal(yield* append(0), 1);
        assert.equal(yield* append(1), 2);
        const batch = { expectedSequence: 2 };
        assert.equal(yield* store.appendBatch(execution, tenant, customs("a", "b"), batch), 3);
        assert.equal(yield* append(4), 5);
      }));

    test("one on an earlier or a later sequence is refused with the event numbers", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        yield* conflict(subject, 1, 0);
        yield* store.appendBatch(execution, tenant, customs("a", "b", "c"));
        yield* conflict(subject, 0, 3);
        yield* conflict(subject, 2, 3);
        yield* conflict(subject, 4, 3);
        assert.equal(yield* store.countEvents(execution, tenant), 3);
      }));

    test("what another process appended counts", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant } = subject;
        const other = yield* newStore(surroundings.otherLog);
        yield* store.append(execution, tenant, custom("a"));
        yield* other.appendBatch(execution, tenant, customs("b", "c"));
        yield* conflict(subject, 1, 3);
        yield* other.append(execution, tenant, custom("d"));
        yield* conflict(subject, 2, 4);
        yield* other.append(execution, tenant, custom("e"));
        const at5 = { expectedSequence: 5 };
        assert.equal(yield* store.append(execution, tenant, custom("f"), at5), 6);
      }));

    test("of many that expect the same, one is stored", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant } = subject;
        const other = yield* newStore(surroundings.otherLog);
        const outcomes = yield* Effect.forEach(
          Array.from({ length: 20 }, (_, i) => i),
          (i) =>
            Effect.result(
              (i % 2 === 0 ? store : other).append(execution, tenant, custom(i), {
                expectedSequence: 0,
              }),
            ),
          { concurrency: "unbounded" },
        );
        assert.deepEqual(
          outcomes.map((outcome) =>
            outcome._tag === "Success" ? outcome.success : outcome.failure._tag
          ).sort(),
          [1, ...Array.from({ length: 19 }, () => "SequenceConflict")],
        );
        assert.equal(yield* store.countEvents(execution, tenant), 1);
      }));
  });

  describe(`${name}: event ids`, () => {
    test("an event's id is stored with it", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        yield* store.append(execution, tenant, custom("a"), { eventId: EventId.make("id 1") });
        const [event] = yield* store.loadEvents(execution, tenant);
        assert.equal(event!.eventId, "id 1");
      }));

    test("a repeated append answers as the first, in this process and in others", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant } = subject;
        const [eventId] = ids("a");
        yield* store.append(execution, tenant, custom("before"));
        assert.equal(yield* store.append(execution, tenant, custom("a"), { eventId: eventId! }), 2);
        yield* store.append(execution, tenant, custom("after"));
        for (const again of [store, yield* newStore(log), yield* newStore(surroundings.otherLog)]) {
          const options = { eventId: eventId! };
          assert.equal(yield* again.append(execution, tenant, custom("a"), options), 2);
        }
        const events = yield* store.loadEvents(execution, tenant);
        assertGapless(events, 3);
        assert.deepEqual(said(events), ["before", "a", "after"]);
      }));

    test("a repetition is found out though the expected sequence has passed", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant } = subject;
        const options = { eventId: EventId.make("a"), expectedSequence: 0 };
        for (const each of [store, store, yield* newStore(log)]) {
          assert.equal(yield* each.append(execution, tenant, custom("a"), options), 1);
          yield* each.append(execution, tenant, custom("more"));
        }
      }));

    test("a repetition is found out however late it comes", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant } = subject;
        const options = { eventId: EventId.make("a") };
        const batch = { eventIds: ids("b", "c") };
        yield* store.append(execution, tenant, custom("a"), options);
        yield* store.appendBatch(execution, tenant, customs("b", "c"), batch);
        yield* surroundings.forgetMessageIds;
        for (const each of [store, yield* newStore(log)]) {
          assert.equal(yield* each.append(execution, tenant, custom("a"), options), 1);
          assert.equal(yield* each.appendBatch(execution, tenant, customs("b", "c"), batch), 2);
        }
        assert.equal(yield* store.countEvents(execution, tenant), 3);
      }));

    test("ids are known that other processes brought after we had looked", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant } = subject;
        const other = yield* newStore(surroundings.otherLog);
        yield* store.append(execution, tenant, custom("a"), { eventId: EventId.make("a") });
        yield* other.append(execution, tenant, custom("b"), { eventId: EventId.make("b") });
        const again = { eventId: EventId.make("b") };
        assert.equal(yield* store.append(execution, tenant, custom("b"), again), 2);
        assert.equal(yield* store.countEvents(execution, tenant), 2);
      }));

    test("of many appends with one id at once, in two processes, one is stored", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant } = subject;
        const other = yield* newStore(surroundings.otherLog);
        const options = { eventId: EventId.make("a") };
        yield* Effect.forEach(Array.from({ length: 10 }, (_, i) => i), (i) =>
          Effect.all([
            store.append(execution, tenant, custom("a"), options),
            other.append(execution, tenant, custom("a"), options),
            other.append(execution, tenant, custom(i)),
          ], { concurrency: "unbounded" }), { concurrency: "unbounded" });
        const events = yield* store.loadEvents(execution, tenant);
        assertGapless(events, 11);
        assert.equal(said(events).filter((data) => data === "a").length, 1);
      }));

    test("attack 5: one id on two executions stores both", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const options = { eventId: EventId.make("same") };
        const other = uniqueExecution();
        assert.equal(yield* store.append(execution, tenant, custom("a"), options), 1);
        assert.equal(yield* store.append(other, tenant, custom("b"), options), 1);
        assert.deepEqual(said(yield* store.loadEvents(other, tenant)), ["b"]);
      }));

    test("a repeated batch answers with the first sequence of the first", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant } = subject;
        yield* store.append(execution, tenant, custom("before"));
        const batch = customs("a", "b", "c");
        const options = { eventIds: ids("a", "b", "c") };
        for (const each of [store, store, yield* newStore(log)]) {
          assert.equal(yield* each.appendBatch(execution, tenant, batch, options), 2);
        }
        assert.equal(yield* store.countEvents(execution, tenant), 4);
        const part = { eventIds: ids("b", "c") };
        assert.equal(yield* store.appendBatch(execution, tenant, customs("b", "c"), part), 3);
        const single = { eventId: EventId.make("c") };
        assert.equal(yield* store.append(execution, tenant, custom("c"), single), 4);
      }));

    test("a batch with ids that are known but not so is refused and leaves nothing", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant } = subject;
        yield* store.appendBatch(execution, tenant, customs("a", "b"), { eventIds: ids("a", "b") });
        yield* store.append(execution, tenant, custom("between"));
        yield* store.append(execution, tenant, custom("c"), { eventId: EventId.make("c") });
        const wrong = [
          ["a", "new"],
          ["new", "a"],
          ["b", "a"],
          ["a", "c"],
          ["b", "c"],
          ["a", "b", "c"],
          ["c", "new"],
        ];
        for (const each of [store, yield* newStore(log)]) {
          for (const names of wrong) {
            const options = { eventIds: ids(...names) };
            const error = yield* Effect.flip(
              each.appendBatch(execution, tenant, customs(...names), options),
            );
            assert.ok(error._tag === "InvalidInput", names.join());
            assert.equal(error.what, "event ids");
          }
        }
        assert.equal(yield* store.countEvents(execution, tenant), 4);
      }));

    test("ids that are too few, too many or alike are refused", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        for (const names of [["a"], ["a", "b", "c"], ["a", "a"], ["a", "a", "b"], []]) {
          const append = store.appendBatch(execution, tenant, customs("x", "y"), {
            eventIds: ids(...names),
          });
          assert.equal((yield* Effect.flip(append))._tag, "InvalidInput", names.join());
        }
        assert.equal(yield* store.executionExists(execution, tenant), false);
      }));

    test("a refused append's id is not known", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const eventId = EventId.make("a");
        yield* Effect.flip(
          store.append(execution, tenant, custom("a"), { eventId, expectedSequence: 7 }),
        );
        assert.equal(yield* store.append(execution, tenant, custom("a"), { eventId }), 1);
      }));
  });
};
