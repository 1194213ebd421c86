/** What the outbox's store says of adding events, and of removing those that were sent. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Stream from "effect/Stream";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import {
  claim,
  claimNow,
  claimOne,
  idsOf,
  insert,
  newEvent,
  type RunOnEmptyStore,
  until,
} from "./matter.ts";

export const inserting = (run: RunOnEmptyStore): void => {
  it("an event is kept as it was added, pending and unlocked", () =>
    run(Effect.gen(function* () {
      const payload = {
        "ключ": [1, 2.5, null, true, { nested: "\u{1f600} \" \\ ' ; --" }],
        "": "",
      };
      const event = newEvent({ token: "t ✓ 'x' > *.", key: "key / 1", payload });
      const [added] = yield* insert(event);
      assert.deepEqual({ ...added, createdAt: 0 }, {
        ...event,
        createdAt: 0,
        lockedUntil: 0,
        status: "pending",
      });
      assert.ok(added!.createdAt > 1_700_000_000_000);
      const claimed = yield* claimOne();
      assert.deepEqual(claimed.event, {
        ...added,
        status: "processing",
        lockedUntil: claimed.event.lockedUntil,
      });
      assert.ok(claimed.event.lockedUntil > added!.createdAt);
      assert.equal(claimed.failures, 0);
    })));

  it("a token is taken once, whoever comes at the same moment", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const events = Array.from({ length: 20 }, () => newEvent({ token: "once" }));
      const tags = yield* Effect.forEach(events, (event) =>
        store.insert(event).pipe(
          Effect.as("added"),
          Effect.catchTag("DuplicateEvent", ({ token }) => Effect.succeed(`duplicate ${token}`)),
        ), { concurrency: "unbounded" });
      assert.deepEqual(tags.sort(), ["added", ...Array(19).fill("duplicate once")]);
      yield* claimOne();
      assert.deepEqual(yield* claimNow(), []);
    })));

  it("a token stays taken while its event is claimed, sent or dead", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const again = (token: string) =>
        Effect.map(Effect.flip(store.insert(newEvent({ token }))), ({ _tag }) => _tag);
      yield* insert(newEvent({ token: "a" }));
      const sent = yield* claimOne();
      assert.equal(yield* again("a"), "DuplicateEvent");
      yield* store.markSent([sent]);
      assert.equal(yield* again("a"), "DuplicateEvent");
      yield* insert(newEvent({ token: "b" }));
      yield* store.deadLetter(yield* claimOne(), "poison");
      assert.equal(yield* again("b"), "DuplicateEvent");
    })));

  it("events without a token are all different", () =>
    run(Effect.gen(function* () {
      const added = yield* insert(newEvent(), newEvent(), newEvent());
      assert.deepEqual(idsOf(yield* claim(3)), added.map(({ id }) => id).sort());
    })));

  it("garbage is what was sent long ago, however long ago it was added", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(newEvent({ token: "sent" }), newEvent({ token: "dead" }));
      const [first, second] = yield* claim(2);
      const sent = first!.event.idempotencyToken === "sent" ? first! : second!;
      yield* store.markSent([sent]);
      yield* store.deadLetter(sent === first ? second! : first!, "poison");
      yield* insert(newEvent({ token: "pending" }));
      assert.equal(yield* store.collectGarbage({ sentBefore: "1 hour", limit: 100 }), 0);
      yield* until(
        store.collectGarbage({ sentBefore: 0, limit: 100 }),
        (removed) => removed === 1,
      );
      assert.equal(yield* store.collectGarbage({ sentBefore: 0, limit: 100 }), 0);
      assert.equal((yield* store.deadLetters({ limit: 10 })).length, 1);
      // The token went with the event.
      yield* insert(newEvent({ token: "sent" }));
      const tokens = (yield* claim(2)).map(({ event }) => event.idempotencyToken);
      assert.deepEqual(tokens.sort(), ["pending", "sent"]);
    })));

  it("garbage goes so many at a time", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(...Array.from({ length: 5 }, () => newEvent()));
      assert.deepEqual(yield* store.markSent(yield* claim(5)), []);
      const removed: Array<number> = [];
      yield* until(
        Effect.map(store.collectGarbage({ sentBefore: 0, limit: 2 }), (count) => {
          assert.ok(count <= 2);
          removed.push(count);
          return removed.reduce((sum, more) => sum + more);
        }),
        (total) => total === 5,
      );
      assert.equal(yield* store.collectGarbage({ sentBefore: 0, limit: 2 }), 0);
    })));

  it("what is added is news, and what its owner does is not", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      let news = 0;
      let added = 0;
      const listening = yield* Effect.forkChild(
        Stream.runForEach(store.news, () => Effect.sync(() => news++)),
      );
      const add = Effect.tap(Effect.suspend(() => insert(newEvent())), () =>
        Effect.sync(() => added++));
      // What is added before it listens may escape it.
      yield* until(
        Effect.map(add, () =>
          news),
        (count) => count > 0,
      );
      let held = yield* claimOne();
      for (let i = 0; i < 100; i++) held = yield* store.renew(held, "10 minutes");
      yield* store.markFailed(held, { reason: "no", retryAfter: "1 hour" });
      const before = news;
      yield* until(Effect.map(add, () => news), (count) => count > before);
      // One more is said when it begins to listen.
      assert.ok(news <= added + 1, `${news} news of ${added} events`);
      yield* Fiber.interrupt(listening);
    })));

  it("counts say what waits, what is claimed and what is dead", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      yield* insert(...Array.from({ length: 6 }, () => newEvent()));
      const [a, b, c] = yield* claim(4);
      yield* store.markSent([a!]);
      yield* store.deadLetter(b!, "poison");
      yield* store.markFailed(c!, { reason: "no", retryAfter: "1 hour" });
      yield* until(
        store.counts,
        ({ pending, processing, dead }) => pending === 3 && processing === 1 && dead === 1,
      );
    })));
};
