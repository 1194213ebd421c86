/** What the outbox's store says of dead letters. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import { OutboxEventId } from "../../../streams/outbox/event.ts";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import { claim, claimNow, claimOne, insert, newEvent, type RunOnEmptyStore } from "./matter.ts";

export const dying = (run: RunOnEmptyStore): void => {
  it("a dead letter says what it was, why it died, and how often it had failed", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const event = newEvent({ token: "t", key: "k", payload: { cents: 1 } });
      const [added] = yield* insert(event);
      yield* store.markFailed(yield* claimOne(), { reason: "first", retryAfter: 0 });
      yield* store.deadLetter(yield* claimOne(), "it is poison");
      const [letter, ...others] = yield* store.deadLetters({ limit: 10 });
      assert.deepEqual(others, []);
      assert.deepEqual(letter, {
        ...event,
        createdAt: added!.createdAt,
        failures: 2,
        reason: "it is poison",
        diedAt: letter!.diedAt,
      });
      assert.ok(letter!.diedAt >= added!.createdAt);
      assert.deepEqual(yield* claimNow(), []);
    })));

  it("dead letters are listed by their deaths, page by page", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(...Array.from({ length: 5 }, () => newEvent()));
      const claims = yield* claim(5);
      for (const each of claims) yield* store.deadLetter(each, "poison");
      const first = yield* store.deadLetters({ limit: 2 });
      const after = first.at(-1)!.id;
      const rest = yield* store.deadLetters({ limit: 10, after });
      assert.deepEqual(
        [...first, ...rest].map(({ id }) => id),
        claims.map(({ event }) => event.id),
      );
    })));

  it("a dead letter comes back once, as it was and without failures", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const [added] = yield* insert(newEvent({ token: "t", payload: [1] }));
      yield* store.markFailed(yield* claimOne(), { reason: "no", retryAfter: 0 });
      yield* store.deadLetter(yield* claimOne(), "poison");
      const answers = yield* Effect.all([store.requeue(added!.id), store.requeue(added!.id)], {
        concurrency: "unbounded",
      });
      assert.deepEqual(answers.sort(), [false, true]);
      assert.deepEqual(yield* store.deadLetters({ limit: 10 }), []);
      const again = yield* claimOne();
      assert.equal(again.failures, 0);
      assert.deepEqual(
        [again.event.id, again.event.idempotencyToken, again.event.payload],
        [added!.id, "t", [1]],
      );
      assert.equal(again.event.createdAt, added!.createdAt);
      yield* store.deadLetter(again, "again");
      assert.equal((yield* store.deadLetters({ limit: 10 }))[0]?.reason, "again");
    })));

  it("a dead letter can be removed, and only a dead letter", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const [dead, alive] = yield* insert(newEvent(), newEvent());
      const claims = yield* claim(2);
      const doomed = claims.find(({ event }) => event.id === dead!.id)!;
      yield* store.deadLetter(doomed, "poison");
      assert.equal(yield* store.deleteDeadLetter(alive!.id), false);
      assert.equal(yield* store.requeue(alive!.id), false);
      assert.equal(yield* store.requeue(OutboxEventId.make(randomUUID())), false);
      assert.equal(yield* store.deleteDeadLetter(dead!.id), true);
      assert.equal(yield* store.deleteDeadLetter(dead!.id), false);
      assert.deepEqual(yield* store.deadLetters({ limit: 10 }), []);
      assert.deepEqual(yield* claimNow(), []);
      const survivor = claims.find(({ event }) => event.id === alive!.id)!;
      assert.deepEqual(yield* store.markSent([survivor]), []);
    })));
};
