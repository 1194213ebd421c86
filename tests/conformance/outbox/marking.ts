/** What the outbox's store says of events that were published, failed, or were given back. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import {
  claim,
  claimNow,
  claimOne,
  insert,
  marks,
  newEvent,
  type RunOnEmptyStore,
  short,
} from "./matter.ts";

export const marking = (run: RunOnEmptyStore): void => {
  it("events are marked as sent each by itself, whatever becomes of the others", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(newEvent(), newEvent(), newEvent());
      const [a, b] = yield* claim(2, { owner: "slow", lock: short });
      const [c] = yield* claim(1, { owner: "slow" });
      const moved = yield* claim(2, { owner: "next" });
      const refused = yield* store.markSent([a!, c!, b!]);
      assert.deepEqual(
        refused.map(({ event, owner }) => [event, owner]).sort(),
        [a!, b!].map(({ event }) => [event.id, "slow"]).sort(),
      );
      assert.deepEqual(yield* store.markSent(moved), []);
      assert.deepEqual(yield* claimNow(), []);
    })));

  it("no mark changes what is sent", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      for (const [name, mark] of Object.entries(marks(store))) {
        yield* insert(newEvent());
        const sent = yield* claimOne();
        assert.deepEqual(yield* store.markSent([sent]), []);
        assert.equal(yield* mark(sent), "EventLockLost", name);
      }
      assert.deepEqual(yield* claimNow(), []);
      assert.deepEqual(yield* store.deadLetters({ limit: 10 }), []);
    })));

  it("a failure is counted, and puts the event off", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(newEvent());
      yield* store.markFailed(yield* claimOne(), { reason: "no", retryAfter: 0 });
      const again = yield* claimOne();
      assert.equal(again.failures, 1);
      yield* store.markFailed(again, { reason: "no", retryAfter: "300 millis" });
      const late = yield* claimOne();
      assert.equal(late.failures, 2);
      assert.ok(late.event.lockedUntil > again.event.lockedUntil);
      yield* store.markFailed(late, { reason: "no", retryAfter: "1 hour" });
      assert.deepEqual(yield* claimNow(), []);
    })));

  it("what is given back can be claimed at once, and has not failed", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(newEvent());
      const first = yield* claimOne();
      yield* store.release(first);
      const second = yield* claimOne({ owner: "next" });
      assert.deepEqual([second.event.id, second.failures], [first.event.id, 0]);
    })));
};
