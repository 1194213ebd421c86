/** Appending and reading: numbers, batches, limits, tenants. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { decodeCursor } from "../../../schema/cursor.ts";
import { ExecutionEvent } from "../../../schema/execution_event.ts";
import { EventId, ExecutionId } from "../../../schema/ids.ts";
import { eventRecord } from "../../../schema/stored_event.ts";
import { type Run, uniqueExecution, uniqueTenant } from "../subject_matter.ts";
import {
  assertGapless,
  custom,
  customs,
  maxPayloadBytes,
  newStore,
  records,
  said,
  type Services,
  testing,
} from "./matter.ts";

export const appendSuite = (name: string, run: Run<Services>): void => {
  const test = testing(run);

  describe(`${name}: append`, () => {
    test("events are numbered 1, 2, 3 and read back as they were", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const given: ReadonlyArray<ExecutionEvent> = [
          ExecutionEvent.cases.executionStarted.make({ metadata: { by: "ana" } }),
          custom("Grüße, 世界"),
          ExecutionEvent.cases.executionCompleted.make({ durationMs: 12 }),
        ];
        const sequences = yield* Effect.forEach(
          given,
          (event) => store.append(execution, tenant, event),
        );
        assert.deepEqual(sequences, [1, 2, 3]);
        const events = yield* store.loadEvents(execution, tenant);
        assertGapless(events, 3);
        assert.deepEqual(events.map(({ event }) => event), given);
        for (const event of events) {
          assert.equal(event.executionId, execution);
          assert.equal(event.tenant, tenant);
          assert.equal("eventId" in event, false);
        }
        assert.ok(events[0]!.timestamp <= events[2]!.timestamp);
      }));

    test("executions are numbered independently of each other", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const other = uniqueExecution();
        yield* store.appendBatch(other, tenant, customs("a", "b"));
        assert.equal(yield* store.append(execution, tenant, custom("c")), 1);
        assert.equal(yield* store.append(other, tenant, custom("d")), 3);
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["c"]);
      }));

    test("an event's cursor says where in the log it is", (subject) =>
      Effect.gen(function* () {
        const { store, log, execution, tenant, address } = subject;
        yield* store.appendBatch(execution, tenant, customs("a", "b"));
        const [events, stored] = [
          yield* store.loadEvents(execution, tenant),
          yield* records(subject),
        ];
        const positions = yield* Effect.forEach(events, ({ cursor }) => decodeCursor(cursor));
        assert.deepEqual(
          positions,
          stored.map(({ sequence, at }) => ({
            incarnation: log.incarnation,
            shards: Array.from(
              { length: log.layout.shards },
              (_, i) => i === address.shard ? { sequence, at } : { sequence: 0, at: 0 },
            ),
          })),
        );
      }));

    test("fifty appends at once are stored in the order in which they were made", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const numbers = Array.from({ length: 50 }, (_, i) => i + 1);
        const sequences = yield* Effect.forEach(
          numbers,
          (i) => store.append(execution, tenant, custom(i)),
          { concurrency: "unbounded" },
        );
        assert.deepEqual(sequences, numbers);
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), numbers);
      }));

    test("a process that comes later goes on where the others are", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant } = subject;
        const other = yield* newStore(surroundings.otherLog);
        assert.equal(yield* store.append(execution, tenant, custom("a")), 1);
        assert.equal(yield* other.append(execution, tenant, custom("b")), 2);
        assert.equal(yield* other.append(execution, tenant, custom("c")), 3);
        assert.equal(yield* store.append(execution, tenant, custom("d")), 4);
        assertGapless(yield* other.loadEvents(execution, tenant), 4);
      }));

    test("interrupted appends leave whole events and no gap", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        for (let i = 0; i < 20; i++) {
          const append = yield* Effect.forkChild(
            store.appendBatch(execution, tenant, customs(`${i}a`, `${i}b`)),
          );
          for (let pause = 0; pause < i; pause++) yield* Effect.yieldNow;
          yield* Fiber.interrupt(append);
        }
        const last = yield* store.append(execution, tenant, custom("end"));
        const events = yield* store.loadEvents(execution, tenant);
        assertGapless(events, last);
        const pairs = said(events).slice(0, -1);
        for (let i = 0; i < pairs.length; i += 2) {
          assert.equal(String(pairs[i]).replace("a", "b"), pairs[i + 1]);
        }
      }));

    test("an event that is none is refused and leaves nothing", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const garbage = [
          { type: "teleported" },
          { type: "stepStarted", stepId: "s" },
          { type: "other", raw: { type: "teleported" } },
          "stepStarted",
          null,
        ] as ReadonlyArray<unknown> as ReadonlyArray<ExecutionEvent>;
        for (const event of garbage) {
          const error = yield* Effect.flip(store.append(execution, tenant, event));
          assert.equal(error._tag, "InvalidInput");
        }
        const batch = store.appendBatch(execution, tenant, [custom("fine"), garbage[0]!]);
        assert.equal((yield* Effect.flip(batch))._tag, "InvalidInput");
        assert.deepEqual(yield* records(subject), []);
        assert.equal(yield* store.executionExists(execution, tenant), false);
      }));

    test("fields that an event does not have are not stored", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const event = { ...custom("a"), secret: "b" };
        yield* store.append(execution, tenant, event);
        assert.deepEqual((yield* store.loadEvents(execution, tenant))[0]!.event, custom("a"));
      }));

    test("an event too large for a message reads back whole", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        const large = custom("x".repeat(200 * 1024));
        yield* store.append(execution, tenant, large);
        assert.equal(yield* store.appendBatch(execution, tenant, [custom("a"), large]), 2);
        const events = yield* store.loadEvents(execution, tenant);
        assert.deepEqual(events.map(({ event }) => event), [large, custom("a"), large]);
        assert.equal(yield* store.countEvents(execution, tenant), 3);
      }));

    test("an event at the limit is stored, and one byte more is not", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const empty = eventRecord.encode({ kind: "event", sequence: 1, event: custom("") });
        const room = maxPayloadBytes - empty.length;
        const tooLarge = store.append(execution, tenant, custom("x".repeat(room + 1)));
        assert.equal((yield* Effect.flip(tooLarge))._tag, "PayloadTooLarge");
        assert.equal(yield* store.append(execution, tenant, custom("x".repeat(room))), 1);
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["x".repeat(room)]);
      }));

    test("an event above the limit leaves nothing, alone or in a batch", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const tooLarge = custom("x".repeat(maxPayloadBytes));
        const alone = yield* Effect.flip(store.append(execution, tenant, tooLarge));
        assert.equal(alone._tag, "PayloadTooLarge");
        const batch = store.appendBatch(execution, tenant, [custom("a"), tooLarge]);
        assert.equal((yield* Effect.flip(batch))._tag, "PayloadTooLarge");
        assert.deepEqual(yield* records(subject), []);
        assert.deepEqual(yield* store.listExecutions(tenant, 10, 0), []);
        assert.equal(yield* store.append(execution, tenant, custom("b")), 1);
      }));

    test("hostile names are names", ({ store, tenant }) =>
      Effect.gen(function* () {
        const names = [
          "a.b",
          "*",
          ">",
          "a b",
          "order/*",
          "order/>",
          "ü/ö",
          "$KV.x",
          "=2A",
          "x".repeat(200),
        ]
          .map((name) => ExecutionId.make(name));
        for (const name of names) {
          assert.equal(yield* store.append(name, tenant, custom(name)), 1);
        }
        for (const name of names) {
          assert.deepEqual(said(yield* store.loadEvents(name, tenant)), [name]);
        }
        const listed = yield* store.listExecutions(tenant, 100, 0);
        assert.deepEqual(listed.map(({ executionId }) => executionId).sort(), [...names].sort());
      }));
  });

  describe(`${name}: batch`, () => {
    test("a batch is numbered consecutively from the sequence that it returns", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        assert.equal(yield* store.appendBatch(execution, tenant, customs("a", "b", "c")), 1);
        assert.equal(yield* store.append(execution, tenant, custom("d")), 4);
        assert.equal(yield* store.appendBatch(execution, tenant, customs("e")), 5);
        assert.equal(yield* store.appendBatch(execution, tenant, customs("f", "g")), 6);
        const events = yield* store.loadEvents(execution, tenant);
        assertGapless(events, 7);
        assert.deepEqual(said(events), ["a", "b", "c", "d", "e", "f", "g"]);
      }));

    test("a batch of none, and of more than the limit, is refused", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        for (const size of [0, 1001]) {
          const events = Array.from({ length: size }, () => custom("x"));
          const error = yield* Effect.flip(store.appendBatch(execution, tenant, events));
          assert.ok(error._tag === "InvalidBatch");
          assert.equal(error.size, size);
        }
        assert.deepEqual(yield* records(subject), []);
      }));

    test("a batch at the limit is stored, and followed", ({ store, log, execution, tenant }) =>
      Effect.gen(function* () {
        const numbers = Array.from({ length: 1000 }, (_, i) => i);
        assert.equal(yield* store.appendBatch(execution, tenant, numbers.map(custom)), 1);
        const later = yield* newStore(log);
        assert.deepEqual(yield* later.latestSequence(execution, tenant), Option.some(1000));
        assert.equal(yield* later.append(execution, tenant, custom("end")), 1001);
        assert.deepEqual(said(yield* later.loadEvents(execution, tenant)), [...numbers, "end"]);
      }));

    test("of two processes' racing batches each is whole, and a failed one leaves nothing", (subject) =>
      Effect.gen(function* () {
        const { log, surroundings, execution, tenant } = subject;
        const stores = {
          ana: yield* newStore(log),
          ben: yield* newStore(surroundings.otherLog),
        };
        const race = (who: keyof typeof stores) =>
          Effect.forEach(Array.from({ length: 100 }, (_, i) => i), (i) => {
            const size = 1 + i % 5;
            const batch = Array.from({ length: size }, (_, place) => `${who} ${i} ${place}`);
            const events = i % 10 === 9
              ? [...batch.map(custom), custom("x".repeat(maxPayloadBytes))]
              : batch.map(custom);
            return Effect.map(
              Effect.option(stores[who].appendBatch(execution, tenant, events)),
              (first) => ({ first, batch, failed: i % 10 === 9 }),
            );
          });
        const [ana, ben] = yield* Effect.all([race("ana"), race("ben")], { concurrency: 2 });
        const events = yield* stores.ben.loadEvents(execution, tenant);
        const all = [...ana, ...ben];
        assert.ok(all.every(({ first, failed }) => Option.isNone(first) === failed));
        const stored = all.filter(({ failed }) => !failed);
        assertGapless(events, stored.reduce((sum, { batch }) => sum + batch.length, 0));
        for (const { first, batch } of stored) {
          const from = Option.getOrThrow(first) - 1;
          assert.deepEqual(said(events).slice(from, from + batch.length), batch);
        }
        for (const own of [ana, ben]) {
          const firsts = own.flatMap(({ first }) => Option.toArray(first));
          assert.deepEqual(firsts, [...firsts].sort((a, b) => a - b));
        }
      }));
  });

  describe(`${name}: read`, () => {
    test("what has no events has no last sequence, and does not exist", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        assert.deepEqual(yield* store.latestSequence(execution, tenant), Option.none());
        assert.equal(yield* store.executionExists(execution, tenant), false);
        assert.equal(yield* store.countEvents(execution, tenant), 0);
        assert.deepEqual(yield* store.loadEvents(execution, tenant), []);
        assert.deepEqual(yield* store.loadEventsAfter(execution, 0, tenant), []);
      }));

    test("the last sequence and the count follow the events", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        yield* store.appendBatch(execution, tenant, customs("a", "b", "c"));
        assert.deepEqual(yield* store.latestSequence(execution, tenant), Option.some(3));
        assert.equal(yield* store.executionExists(execution, tenant), true);
        assert.equal(yield* store.countEvents(execution, tenant), 3);
      }));

    test("events after a sequence are strictly after it", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        yield* store.appendBatch(execution, tenant, customs(1, 2, 3, 4));
        const after = (sequence: number) =>
          Effect.map(store.loadEventsAfter(execution, sequence, tenant), said);
        assert.deepEqual(yield* after(0), [1, 2, 3, 4]);
        assert.deepEqual(yield* after(2), [3, 4]);
        assert.deepEqual(yield* after(3), [4]);
        assert.deepEqual(yield* after(4), []);
        assert.deepEqual(yield* after(99), []);
      }));

    test("a sequence that cannot be is refused", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        yield* store.append(execution, tenant, custom("a"));
        for (const sequence of [-1, 0.5, NaN, Infinity]) {
          const load = store.loadEventsAfter(execution, sequence, tenant);
          assert.equal((yield* Effect.flip(load))._tag, "InvalidInput");
          const append = store.append(execution, tenant, custom("b"), {
            expectedSequence: sequence,
          });
          assert.equal((yield* Effect.flip(append))._tag, "InvalidInput");
        }
        assert.equal(yield* store.countEvents(execution, tenant), 1);
      }));

    test("a stream of events is the same as the events", ({ store, execution, tenant }) =>
      Effect.gen(function* () {
        yield* store.appendBatch(execution, tenant, customs(1, 2, 3, 4));
        const streamed = yield* Stream.runCollect(store.events(execution, tenant, { after: 1 }));
        assert.deepEqual(streamed, yield* store.loadEventsAfter(execution, 1, tenant));
        const head = yield* store.events(execution, tenant).pipe(
          Stream.take(2),
          Stream.runCollect,
        );
        assert.deepEqual(said(head), [1, 2]);
      }));
  });

  describe(`${name}: tenants`, () => {
    test("one tenant sees and changes nothing of another's execution of the same id", (subject) =>
      Effect.gen(function* () {
        const { store, execution, tenant } = subject;
        const stranger = uniqueTenant();
        const eventId = EventId.make("first");
        yield* store.append(execution, tenant, custom("mine"), { eventId });
        assert.deepEqual(yield* store.loadEvents(execution, stranger), []);
        assert.deepEqual(yield* store.loadEventsAfter(execution, 0, stranger), []);
        assert.deepEqual(yield* Stream.runCollect(store.events(execution, stranger)), []);
        assert.deepEqual(yield* store.latestSequence(execution, stranger), Option.none());
        assert.equal(yield* store.executionExists(execution, stranger), false);
        assert.equal(yield* store.countEvents(execution, stranger), 0);
        assert.deepEqual(yield* store.listExecutions(stranger, 10, 0), []);
        assert.deepEqual(yield* store.pageExecutions(stranger, { limit: 10 }), { executions: [] });
        assert.equal(
          yield* store.append(execution, stranger, custom("theirs"), {
            eventId,
            expectedSequence: 0,
          }),
          1,
        );
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["mine"]);
        assert.deepEqual(said(yield* store.loadEvents(execution, stranger)), ["theirs"]);
      }));
  });
};
