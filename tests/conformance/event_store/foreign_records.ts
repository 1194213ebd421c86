/** What other hands put under the store's subjects, and what a later release did. */
import assert from "node:assert/strict";
import { describe } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { eventRecord } from "../../../schema/stored_event.ts";
import { placementId } from "../../../streams/event_store/placement.ts";
import { body, type Run } from "../subject_matter.ts";
import {
  assertGapless,
  countSkipped,
  custom,
  customs,
  newStore,
  records,
  said,
  type Services,
  type Subject,
  testing,
} from "./matter.ts";

const json = (value: unknown) => body(JSON.stringify(value));
const numbered = (sequence: number, text: string) =>
  eventRecord.encode({ kind: "event", sequence, event: custom(text) });

const malformed = {
  "of no bytes": new Uint8Array(),
  "that is no JSON": body("hello"),
  "that is no UTF-8": new Uint8Array([0x22, 0xff, 0x22]),
  "that is no object": json([1, 2]),
  "of another kind": json({ v: 1, kind: "lease", sequence: 1, event: custom("x") }),
  "without an event": json({ v: 1, kind: "event", sequence: 1 }),
  "with number 0": json({ v: 1, kind: "event", sequence: 0, event: custom("x") }),
  "with a number too high": numbered(99, "x"),
  "with the number of the last event": numbered(2, "x"),
};

export const foreignRecordsSuite = (name: string, run: Run<Services>): void => {
  const test = testing(run);

  describe(`${name}: records of other hands`, () => {
    for (const [what, record] of Object.entries(malformed)) {
      test(`a record ${what} is passed over and counted, and appends go on`, (subject) =>
        Effect.gen(function* () {
          const { log, store, surroundings, execution, tenant, address } = subject;
          const publish = surroundings.publish(address, "event", record);
          yield* store.appendBatch(execution, tenant, customs("a", "b"));
          yield* publish;
          const { value, skipped } = yield* countSkipped(store.loadEvents(execution, tenant));
          assert.deepEqual(said(value), ["a", "b"]);
          assert.equal(skipped, 1);
          assert.deepEqual(yield* store.latestSequence(execution, tenant), Option.some(2));
          assert.equal(yield* store.append(execution, tenant, custom("c")), 3);
          yield* publish;
          const later = yield* newStore(log);
          assert.equal(yield* later.append(execution, tenant, custom("d")), 4);
          yield* publish;
          assert.equal(yield* later.appendBatch(execution, tenant, customs("e", "f")), 5);
          const events = yield* store.loadEvents(execution, tenant);
          assertGapless(events, 6);
          assert.deepEqual(said(events), ["a", "b", "c", "d", "e", "f"]);
          assert.equal((yield* records(subject)).length, 9);
        }));
    }

    test("a copy of an event is passed over, also as the last record", (subject) =>
      Effect.gen(function* () {
        const { log, store, execution, tenant, address } = subject;
        yield* store.append(execution, tenant, custom("a"));
        yield* store.appendBatch(execution, tenant, customs("b", "c"));
        for (const { body, id } of yield* records(subject)) {
          yield* log.append(address, { kind: "event", body, id: `${id}-copy` });
          const later = yield* newStore(log);
          assert.deepEqual(yield* later.latestSequence(execution, tenant), Option.some(3));
        }
        assert.equal(yield* (yield* newStore(log)).append(execution, tenant, custom("d")), 4);
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["a", "b", "c", "d"]);
      }));

    test("only malformed records are no events, and the first event is number 1", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant, address } = subject;
        yield* surroundings.publish(address, "event", body("hello"));
        yield* surroundings.publish(address, "event", numbered(7, "x"));
        assert.deepEqual(yield* store.latestSequence(execution, tenant), Option.none());
        assert.equal(yield* store.executionExists(execution, tenant), false);
        assert.equal(
          yield* store.append(execution, tenant, custom("a"), { expectedSequence: 0 }),
          1,
        );
        assert.deepEqual(said(yield* store.loadEvents(execution, tenant)), ["a"]);
      }));

    test("an event of a type that we do not know is read whole", (subject) =>
      Effect.gen(function* () {
        const { store, surroundings, execution, tenant, address } = subject;
        const event = { type: "teleported", to: { x: 1 } };
        yield* store.append(execution, tenant, custom("a"));
        yield* surroundings.publish(
          address,
          "event",
          json({ v: 1, kind: "event", sequence: 2, event, eventId: "e", later: true }),
        );
        assert.equal(yield* store.append(execution, tenant, custom("b")), 3);
        const events = yield* store.loadEvents(execution, tenant);
        assertGapless(events, 3);
        assert.deepEqual(events[1]!.event, { type: "other", raw: event });
        assert.equal(events[1]!.eventId, "e");
      }));

    test("a record of a later version fails whoever meets it", (subject) =>
      Effect.gen(function* () {
        const { log, store, surroundings, execution, tenant, address } = subject;
        yield* store.append(execution, tenant, custom("a"));
        yield* surroundings.publish(address, "event", json({ v: 99, kind: "event" }));
        const fresh = yield* newStore(log);
        for (
          const attempt of [
            store.loadEvents(execution, tenant),
            store.loadEventsAfter(execution, 1, tenant),
            store.latestSequence(execution, tenant),
            store.append(execution, tenant, custom("b")),
            fresh.append(execution, tenant, custom("b")),
          ]
        ) {
          const error = yield* Effect.flip<unknown, { readonly _tag: string }, never>(attempt);
          assert.equal(error._tag, "UnsupportedRecordVersion");
        }
        assert.equal((yield* records(subject)).length, 2);
      }));
  });

  describe(`${name}: damage`, () => {
    /** Puts a record there as the store itself would, behind the last one. */
    const damage = (subject: Subject, record: Uint8Array) =>
      Effect.gen(function* () {
        const { log, address } = subject;
        const last = (yield* records(subject)).at(-1)!.sequence;
        const id = placementId({ after: last, place: 0 });
        yield* log.append(address, { kind: "event", body: record, id });
      });

    for (
      const [what, record] of [
        ["cannot be read", body("hello")],
        ["is preceded by one that is missing", numbered(3, "c")],
      ] as const
    ) {
      test(`a history with an event of the store's own that ${what} is not cut short`, (subject) =>
        Effect.gen(function* () {
          const { store, execution, tenant } = subject;
          yield* store.append(execution, tenant, custom("a"));
          yield* damage(subject, record);
          const error = yield* Effect.flip(store.loadEvents(execution, tenant));
          assert.equal(error._tag, "CorruptRecord");
        }));
    }
  });
};
