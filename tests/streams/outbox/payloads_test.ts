/** Events whose payloads lie in the object store: what goes with them, and what goes on without. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Connection } from "../../../streams/connection.ts";
import { Log } from "../../../streams/log.ts";
import type { OutboxEvent } from "../../../streams/outbox/event.ts";
import * as LogStore from "../../../streams/outbox/log_store.ts";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import { outboxFilter, shardRoot } from "../../../streams/subjects.ts";
import {
  claim,
  claimOne,
  idsOf,
  insert,
  newEvent,
  until,
} from "../../conformance/outbox/matter.ts";
import { collect } from "../../conformance/log_suite/log_case.ts";
import { countSkipped } from "../../conformance/event_store/matter.ts";
import { scratchNamespace } from "../../fixtures/scratch_namespace.ts";
import { leftovers } from "../../fixtures/server.ts";

const large = (text: string) => newEvent({ payload: text.repeat(2_000) });

const payloads = Effect.gen(function* () {
  const { manager } = yield* Connection;
  const stream = `OBJ_${shardRoot((yield* Log).layout, 0)}`;
  const { state } = yield* Effect.promise(() => manager.streams.info(stream));
  return state.messages;
});

/** As if the object store had never had them. */
const losePayloads = Effect.gen(function* () {
  const { manager } = yield* Connection;
  const stream = `OBJ_${shardRoot((yield* Log).layout, 0)}`;
  yield* Effect.promise(() => manager.streams.purge(stream));
});

/** What a test has to itself: other events would be in its way. */
const onEmptyOutbox = (test: Effect.Effect<unknown, unknown, OutboxStore | Connection | Log>) =>
  Effect.gen(function* () {
    const log = yield* Log;
    for (const kind of ["outbox", "dead"] as const) {
      yield* log.purge(outboxFilter(log.layout, 0, kind), { upTo: Infinity });
    }
    const store = LogStore.layer().pipe(Layer.provide(ServerClock.layer));
    return yield* Effect.provide(test, store);
  });

describe("an event whose payload is gone", () => {
  const { test } = scratchNamespace({ spillThresholdBytes: 1_024, giveUpAfter: "1 second" });

  const lost = Effect.gen(function* () {
    const before = yield* insert(newEvent());
    yield* insert(large("a"));
    yield* losePayloads;
    return [...before, ...(yield* insert(newEvent(), newEvent()))];
  });
  const ids = (events: ReadonlyArray<OutboxEvent>) => events.map(({ id }) => id).sort();

  test("holds up none of the others, and is counted as passed over", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const others = yield* lost;
      const { value, skipped } = yield* countSkipped(claim(others.length));
      assert.deepEqual(idsOf(value), ids(others));
      assert.ok(skipped > 0);
    })));

  test("hides none of the others from who counts them", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const others = yield* lost;
      const { counts } = yield* OutboxStore;
      assert.deepEqual(yield* counts, { pending: others.length, processing: 0, dead: 0 });
    })));

  test("keeps none of the others from being removed, and goes itself when it is over", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const log = yield* Log;
      const store = yield* OutboxStore;
      yield* insert(newEvent(), large("a"), newEvent());
      yield* store.markSent(yield* claim(3));
      yield* losePayloads;
      assert.equal(yield* store.collectGarbage({ sentBefore: 0, limit: 100 }), 3);
      assert.deepEqual(yield* collect(log.read(outboxFilter(log.layout, 0, "outbox"))), []);
    })));

  test("is a dead letter that nobody sees, and hides no other", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(large("a"));
      yield* store.deadLetter(yield* claimOne(), "no");
      yield* losePayloads;
      const [other] = yield* insert(newEvent());
      yield* store.deadLetter(yield* claimOne(), "no");
      const letters = yield* store.deadLetters({ limit: 10 });
      assert.deepEqual(letters.map(({ id }) => id), [other!.id]);
      yield* store.collectGarbage({ sentBefore: 0, limit: 100 });
    })));
});

describe("a large payload", () => {
  const { test } = scratchNamespace({ spillThresholdBytes: 1_024, giveUpAfter: "1 second" });

  /** What is left, once so many events were removed. */
  const collected = (count: number) =>
    Effect.gen(function* () {
      const log = yield* Log;
      const store = yield* OutboxStore;
      let removed = 0;
      yield* until(
        Effect.map(
          store.collectGarbage({ sentBefore: 0, limit: 100 }),
          (more) => removed += more,
        ),
        (removed) => removed >= count,
      );
      assert.equal(removed, count);
      assert.deepEqual(yield* collect(log.read(outboxFilter(log.layout, 0, "outbox"))), []);
      return yield* payloads;
    });

  test("goes with its event, which stays until it can", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(large("a"), newEvent());
      yield* store.markSent(yield* claim(2));
      assert.ok((yield* payloads) > 0);
      assert.equal(yield* store.collectGarbage({ sentBefore: 0, limit: 100 }), 1);
      assert.equal(yield* collected(1), 0);
    })));

  test("of a dead letter goes when that was removed, or came back and was sent", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const [removed, requeued] = yield* insert(large("a"), large("b"));
      for (const each of yield* claim(2)) yield* store.deadLetter(each, "no");
      assert.ok(yield* store.deleteDeadLetter(removed!.id));
      assert.ok(yield* store.requeue(requeued!.id));
      const claimed = yield* claimOne();
      assert.deepEqual(claimed.event.payload, requeued!.payload);
      yield* store.markSent([claimed]);
      assert.equal(yield* collected(2), 0);
    })));
});

describe("an event as large as is let in", () => {
  const maxPayloadBytes = 200_000;
  const { test } = scratchNamespace({ maxPayloadBytes });

  /** The event before the first that is too large. */
  const largest = (key: string) => {
    const insertOf = (size: number): Effect.Effect<OutboxEvent, unknown, OutboxStore> =>
      Effect.flatMap(
        OutboxStore,
        (store) =>
          store.insert(newEvent({ key, payload: "x".repeat(size) })).pipe(
            Effect.catchTag(
              "PayloadTooLarge",
              ({ sizeBytes, limitBytes }) => insertOf(size - (sizeBytes - limitBytes)),
            ),
          ),
      );
    return insertOf(maxPayloadBytes);
  };

  test("can be a dead letter, whatever the reason, and come back", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const event = yield* largest("k");
      const [next] = yield* insert(newEvent({ key: "k" }));
      yield* store.deadLetter(yield* claimOne(), "\u0001".repeat(10_000));
      const [letter] = yield* store.deadLetters({ limit: 10 });
      assert.deepEqual([letter?.id, letter?.payload], [event.id, event.payload]);
      const claimed = yield* claimOne();
      assert.equal(claimed.event.id, next!.id);
      yield* store.markSent([claimed]);
      assert.ok(yield* store.requeue(event.id));
      assert.equal((yield* claimOne()).event.id, event.id);
    })));

  test("is refused as a letter, and stays, where less is let in", () =>
    onEmptyOutbox(Effect.gen(function* () {
      const log = yield* Log;
      const more = Layer.succeed(
        Log,
        Log.of({ ...log, maxPayloadBytes: maxPayloadBytes + LogStore.letterBytes }),
      );
      const of = LogStore.layer().pipe(Layer.provide(ServerClock.layer), Layer.provide(more));
      yield* Effect.provide(largest("k"), of);
      const store = yield* OutboxStore;
      const error = yield* Effect.flip(store.deadLetter(yield* claimOne(), "no"));
      assert.equal(error._tag, "PayloadTooLarge");
      assert.deepEqual(yield* store.counts, { pending: 0, processing: 1, dead: 0 });
    })));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
