import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Latch from "effect/Latch";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { Namespace } from "../../../schema/ids.ts";
import { NoSpace, Unavailable } from "../../../schema/errors.ts";
import { Log } from "../../../streams/log.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import { type IdempotencyStrategy, payloadHash } from "../../../streams/outbox/idempotency.ts";
import * as LogStore from "../../../streams/outbox/log_store.ts";
import * as Outbox from "../../../streams/outbox/service.ts";
import { OutboxStore } from "../../../streams/outbox/store.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import { newEvent, until } from "../../conformance/outbox/matter.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };

type Append = Log["Service"]["append"];

/** The outbox in memory, with appends as the test has them. */
const run = <A>(
  effect: Effect.Effect<A, unknown, OutboxStore | Outbox.OutboxService>,
  strategy: IdempotencyStrategy = { type: "provided" },
  appends: (append: Append) => Append = (append) => append,
): Promise<A> => {
  const log = Layer.effect(
    Log,
    Effect.map(Log, (log) => Log.of({ ...log, append: appends(log.append) })),
  ).pipe(Layer.provide(layerMemory({ layout })));
  const layer = Outbox.layer({ strategy }).pipe(
    Layer.provideMerge(LogStore.layer()),
    Layer.provide(ServerClock.layer),
    Layer.provide(log),
  );
  return Effect.runPromise(Effect.provide(effect, layer));
};

const add = (payload: unknown, token?: string) =>
  Effect.flatMap(Outbox.OutboxService, (outbox) => outbox.add("order.paid", payload, token));

const tokenBy = (strategy: IdempotencyStrategy, token?: string) =>
  run(Effect.map(add({ b: 1, a: [2] }, token), (event) => event.idempotencyToken), strategy);

describe("an event's token", () => {
  it("is the caller's, and there may be none", async () => {
    assert.equal(await tokenBy({ type: "provided" }, "t"), "t");
    assert.equal(await tokenBy({ type: "provided" }), undefined);
  });

  it("is derived from the event", async () => {
    const derive: IdempotencyStrategy = {
      type: "custom",
      derive: ({ eventType, payload }) => `${eventType}/${JSON.stringify(payload)}`,
    };
    assert.equal(await tokenBy(derive, "ignored"), 'order.paid/{"b":1,"a":[2]}');
  });

  it("is a hash of type and payload, whatever the order of fields", async () => {
    const hash = await tokenBy({ type: "payloadHash" });
    const { id, eventType } = newEvent();
    assert.equal(hash, payloadHash({ id, eventType, payload: { a: [2], b: 1 } }));
    assert.notEqual(hash, payloadHash({ id, eventType, payload: { a: [2], b: "1" } }));
    assert.notEqual(hash, payloadHash({ id, eventType, payload: [{ a: [2], b: 1 }] }));
  });

  it("is a UUID of version 7, whatever the caller says", async () => {
    const uuid = await tokenBy({ type: "uuid" }, "ignored");
    assert.match(uuid!, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.notEqual(uuid, await tokenBy({ type: "uuid" }));
  });

  it("is none, whatever the caller says", async () => {
    assert.equal(await tokenBy({ type: "none" }, "ignored"), undefined);
  });
});

describe("adding an event", () => {
  const strategy = { type: "provided" } as const;

  it("that failed has not taken the token", () => {
    let isFull = true;
    return run(
      Effect.gen(function* () {
        assert.equal((yield* Effect.flip(add(1, "t")))._tag, "NoSpace");
        isFull = false;
        yield* add(2, "t");
        const store = yield* OutboxStore;
        const claims = yield* until(
          store.claim({ owner: "o", limit: 10, lock: "1 minute" }),
          ({ length }) => length > 0,
        );
        assert.deepEqual(claims.map(({ event }) => event.payload), [2]);
      }),
      strategy,
      (append) => (to, message) =>
        isFull && message.kind === "outbox"
          ? Effect.fail(new NoSpace({ stream: "s", reason: "full" }))
          : append(to, message),
    );
  });

  it("whose outcome is unknown is found out by adding it again", () => {
    let isLost = true;
    return run(
      Effect.gen(function* () {
        const store = yield* OutboxStore;
        assert.equal((yield* Effect.flip(add(1, "t")))._tag, "Unavailable");
        isLost = false;
        assert.equal((yield* Effect.flip(add(1, "t")))._tag, "DuplicateEvent");
        assert.equal((yield* store.counts).pending, 1);
      }),
      strategy,
      (append) => (to, message) =>
        Effect.tap(
          append(to, message),
          () =>
            isLost && message.kind === "outbox"
              ? Effect.fail(
                new Unavailable({ operation: "append", reason: "away", landed: "unknown" }),
              )
              : Effect.void,
        ),
    );
  });

  it("that no store could keep is refused, and stores nothing", () =>
    run(Effect.gen(function* () {
      const store = yield* OutboxStore;
      const outbox = yield* Outbox.OutboxService;
      for (
        const [eventType, payload, token, key] of [
          ["", {}],
          ["t", undefined],
          ["t", () => 1],
          ["t", {}, "x".repeat(300)],
          ["t", {}, "t", ""],
        ] as const
      ) {
        const options = key === undefined ? {} : { key };
        const error = yield* Effect.flip(outbox.add(eventType, payload, token, options));
        assert.equal(error._tag, "InvalidInput");
      }
      const error = yield* Effect.flip(add("x".repeat(70_000)));
      assert.equal(error._tag, "PayloadTooLarge");
      assert.equal((yield* store.counts).pending, 0);
    })));

  it("with a strategy that throws stores nothing", () =>
    run(
      Effect.gen(function* () {
        assert.equal((yield* Effect.flip(add(1)))._tag, "InvalidInput");
        assert.equal((yield* (yield* OutboxStore).counts).pending, 0);
      }),
      {
        type: "custom",
        derive: () => {
          throw new Error("a bug");
        },
      },
    ));
});

it("what was claimed before the store failed is not left to lapse", () => {
  let room = Infinity;
  return run(
    Effect.gen(function* () {
      const store = yield* OutboxStore;
      for (let i = 0; i < 6; i++) yield* add(i);
      const claim = store.claim({ owner: "o", limit: 6, lock: "1 hour" });
      room = 2;
      const payloads: Array<unknown> = [];
      const claimMore = Effect.map(
        claim,
        (claims) => payloads.push(...claims.map(({ event }) => event.payload)),
      );
      const error = yield* Effect.flip(until(claimMore, () => false));
      assert.deepEqual([error._tag, payloads.length], ["Unavailable", 2]);
      room = Infinity;
      yield* until(claimMore, (count) => count === 6);
      assert.deepEqual(payloads.sort(), [0, 1, 2, 3, 4, 5]);
    }),
    { type: "none" },
    (append) => (to, message) =>
      message.kind === "outbox" && room-- <= 0
        ? Effect.fail(new Unavailable({ operation: "append", reason: "away", landed: "no" }))
        : append(to, message),
  );
});

it("what was requeued comes behind those of its key that its reader has yet to learn of", () =>
  Effect.gen(function* () {
    const log = yield* Log;
    const turn = Latch.makeUnsafe(true);
    const slow = Log.of({
      ...log,
      follow: (...of) => Stream.tap(log.follow(...of), () => turn.await),
    });
    const storeOn = (log: Log["Service"]) =>
      Effect.map(
        Layer.build(
          Layer.fresh(LogStore.layer()).pipe(Layer.provide(Layer.succeed(Log, log))),
        ),
        Context.get(OutboxStore),
      );
    const [store, late] = [yield* storeOn(log), yield* storeOn(slow)];
    const [first, second] = [newEvent({ key: "k" }), newEvent({ key: "k" })];
    const claimBy = (store: OutboxStore["Service"]) =>
      store.claim({ owner: "o", limit: 10, lock: "10 minutes" });
    const claimOneBy = (store: OutboxStore["Service"]) =>
      Effect.map(until(claimBy(store), ({ length }) => length > 0), ([claim]) => claim!);

    yield* store.insert(first);
    yield* late.release(yield* claimOneBy(late));
    yield* Latch.close(turn);
    yield* store.deadLetter(yield* claimOneBy(store), "no");
    yield* store.insert(second);
    assert.ok(yield* store.requeue(first.id));

    // It learns that the first is dead as it tries to claim it.
    assert.deepEqual(yield* claimBy(late), []);
    yield* Latch.open(turn);
    for (const { id } of [second, first]) {
      const claim = yield* claimOneBy(late);
      assert.equal(claim.event.id, id);
      assert.deepEqual(yield* late.markSent([claim]), []);
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(ServerClock.layer.pipe(Layer.provideMerge(layerMemory({ layout })))),
    Effect.runPromise,
  ));

describe("a backlog that does not fit into memory", () => {
  const lock = "10 minutes";

  /** Two who publish, of whom each has room for ten events. */
  const twoReaders = (
    play: (a: OutboxStore["Service"], b: OutboxStore["Service"]) => Effect.Effect<void, unknown>,
  ) =>
    Effect.gen(function* () {
      const reader = Layer.build(Layer.fresh(LogStore.layer({ maxEventsInMemory: 10 })));
      const [a, b] = [yield* reader, yield* reader];
      yield* play(Context.get(a, OutboxStore), Context.get(b, OutboxStore));
    }).pipe(
      Effect.scoped,
      Effect.provide(ServerClock.layer.pipe(Layer.provideMerge(layerMemory({ layout })))),
      Effect.runPromise,
    );

  const fill = (store: OutboxStore["Service"], count: number) =>
    Effect.forEach(
      Array.from({ length: count }, (_, payload) => newEvent({ payload })),
      store.insert,
      { discard: true },
    );

  it("is published to its end, by two who each see a part of it", () =>
    twoReaders((a, b) =>
      Effect.gen(function* () {
        yield* fill(a, 300);
        const done: Array<unknown> = [];
        yield* Effect.forEach([a, b], (store, i) =>
          until(
            Effect.gen(function* () {
              const claims = yield* store.claim({ owner: `${i}`, limit: 7, lock });
              assert.deepEqual(yield* store.markSent(claims), []);
              done.push(...claims.map(({ event }) => event.payload));
              return done.length;
            }),
            (count) => count >= 300,
          ), { concurrency: "unbounded" });
        assert.deepEqual(new Set(done).size, 300);
        assert.equal(done.length, 300);
      })
    ));

  it("goes on for who saw nothing but what another held, and has sent", () =>
    twoReaders((a, b) =>
      Effect.gen(function* () {
        yield* fill(a, 30);
        const held = yield* until(
          a.claim({ owner: "a", limit: 10, lock }),
          ({ length }) => length === 10,
        );
        const claimAndMark = Effect.gen(function* () {
          const claims = yield* b.claim({ owner: "b", limit: 10, lock });
          assert.deepEqual(yield* b.markSent(claims), []);
          return claims.length;
        });
        // It learns that the ten which it sees are taken.
        const looks = yield* Effect.forEach(
          [1, 2, 3, 4, 5],
          () => Effect.delay(claimAndMark, "20 millis"),
        );
        assert.deepEqual(looks, [0, 0, 0, 0, 0]);
        assert.deepEqual(yield* a.markSent(held), []);
        let count = 0;
        yield* until(
          Effect.map(claimAndMark, (claimed) => count += claimed),
          (total) => total === 20,
        );
      })
    ));
});
