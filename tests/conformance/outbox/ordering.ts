/** What the outbox's store says of events that share a key. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import { claim, claimNow, claimOne, insert, newEvent, type RunOnEmptyStore } from "./matter.ts";

export const ordering = (run: RunOnEmptyStore): void => {
  it("of a key only the oldest event can be claimed, until it is sent", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const added = yield* insert(
        ...[1, 2, 3].map((payload) => newEvent({ key: "k", payload })),
        newEvent({ key: "other", payload: 9 }),
        newEvent({ payload: 10 }),
      );
      const heads = yield* claim(3);
      assert.deepEqual(heads.map(({ event }) => event.payload).sort(), [1, 10, 9]);
      assert.deepEqual(yield* claimNow(), []);
      yield* store.markSent(heads);
      for (const { id } of added.slice(1, 3)) {
        const next = yield* claimOne();
        assert.equal(next.event.id, id);
        assert.deepEqual(yield* claimNow(), []);
        yield* store.markSent([next]);
      }
    })));

  it("an event that failed holds back what shares its key, until it is dead", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const [head, next] = yield* insert(newEvent({ key: "k" }), newEvent({ key: "k" }));
      yield* store.markFailed(yield* claimOne(), { reason: "no", retryAfter: "500 millis" });
      const again = yield* claimOne();
      assert.equal(again.event.id, head!.id);
      yield* store.deadLetter(again, "poison");
      assert.equal((yield* claimOne()).event.id, next!.id);
    })));

  it("events of one key that are added at once are claimed one after another", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const events = Array.from({ length: 12 }, () => newEvent({ key: "k" }));
      yield* Effect.forEach(events, store.insert, { concurrency: "unbounded", discard: true });
      for (const _ of events) {
        const [only, ...others] = yield* claim(1, { limit: 12 });
        assert.deepEqual(others, []);
        assert.deepEqual(yield* claimNow(), []);
        yield* store.markSent([only!]);
      }
    })));
};
