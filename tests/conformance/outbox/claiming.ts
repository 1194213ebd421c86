/** What the outbox's store says of claims: who may publish an event, and for how long. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import {
  claim,
  claimNow,
  claimOne,
  idsOf,
  insert,
  long,
  marks,
  newEvent,
  type RunOnEmptyStore,
  short,
  until,
} from "./matter.ts";

export const claiming = (run: RunOnEmptyStore): void => {
  it("no event is claimed by two at once, and none is left out", () =>
    run(Effect.gen(function* () {
      const added = yield* insert(...Array.from({ length: 60 }, () => newEvent()));
      const claims = new Array<string>();
      const owner = (name: string) =>
        until(
          Effect.map(
            claimNow({ owner: name, limit: 7 }),
            (more) => claims.push(...more.map(({ event }) => event.id)),
          ),
          () => claims.length >= added.length,
        );
      yield* Effect.all(["a", "b", "c", "d"].map(owner), { concurrency: "unbounded" });
      assert.deepEqual(claims.sort(), added.map(({ id }) => id).sort());
    })));

  it("a claim takes no more than it was asked for, and nothing that is held", () =>
    run(Effect.gen(function* () {
      yield* insert(newEvent(), newEvent(), newEvent());
      const first = yield* claim(2, { limit: 2 });
      const rest = yield* claim(1, { owner: "other", limit: 10 });
      assert.equal(new Set(idsOf([...first, ...rest])).size, 3);
      assert.deepEqual(yield* claimNow({ owner: "third" }), []);
    })));

  it("a lock that has lapsed gives way, and all that its owner still does is refused", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      for (const [name, mark] of Object.entries(marks(store))) {
        yield* insert(newEvent());
        const stale = yield* claimOne({ owner: "slow", lock: short });
        const fresh = yield* claimOne({ owner: "next" });
        assert.equal(fresh.event.id, stale.event.id);
        assert.notEqual(fresh.lock, stale.lock);
        assert.equal(yield* mark(stale), "EventLockLost", name);
        // The successor's lock is as it was.
        assert.deepEqual(yield* claimNow({ owner: "third" }), [], name);
        assert.deepEqual(yield* store.markSent([fresh]), [], name);
      }
      assert.deepEqual(yield* store.deadLetters({ limit: 10 }), []);
      assert.deepEqual(yield* claimNow(), []);
    })));

  it("an owner that comes back to its own event has a lock of its own", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(newEvent());
      const before = yield* claimOne({ owner: "same", lock: short });
      const after = yield* claimOne({ owner: "same" });
      assert.equal((yield* store.markSent([before]))[0]?._tag, "EventLockLost");
      assert.deepEqual(yield* store.markSent([after]), []);
    })));

  it("a renewed lock outlasts its first end, and the claim before it is refused", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const [held, left] = yield* insert(newEvent(), newEvent());
      const claims = yield* claim(2, { lock: "1 second" });
      const first = claims.find(({ event }) => event.id === held!.id)!;
      const renewed = yield* store.renew(first, long);
      assert.ok(renewed.event.lockedUntil > first.event.lockedUntil);
      assert.equal((yield* claimOne({ owner: "next" })).event.id, left!.id);
      assert.deepEqual(yield* claimNow({ owner: "third" }), []);
      assert.equal((yield* store.markSent([first]))[0]?._tag, "EventLockLost");
      assert.deepEqual(yield* store.markSent([renewed]), []);
    })));
};
