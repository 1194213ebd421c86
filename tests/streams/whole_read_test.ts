import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Stream from "effect/Stream";
import * as TestClock from "effect/testing/TestClock";
import type { Entry } from "../../streams/log.ts";
import * as WholeRead from "../../streams/log/whole_read.ts";

const filter = { shard: 0, subject: "weir.*.0.order.acme.o-1" };

const entry = (sequence: number): Entry => ({
  shard: 0,
  subject: "weir.log.0.order.acme.o-1",
  sequence,
  at: 0,
  id: undefined,
  removed: false,
  body: new Uint8Array(),
});

interface Replicas {
  readonly replicas?: number;
  /** What the replicas answer, in turn; the last one for ever. */
  readonly answers: ReadonlyArray<ReadonlyArray<number>>;
  /** What lies under the filter on the leader, and its last sequence at all. */
  readonly leader?: ReadonlyArray<number>;
  readonly tail?: number;
}

const make = ({ replicas = 3, answers, leader = [], tail = Infinity }: Replicas) => {
  let reads = 0;
  const readThrough = WholeRead.make({
    replicas,
    tail: () => Effect.succeed({ sequence: tail, at: 0 }),
    lastSequence: () => Effect.succeed(leader.at(-1) ?? 0),
  })((_, { after = 0 } = {}) =>
    Stream.suspend(() => {
      const answer = answers[Math.min(reads++, answers.length - 1)]!;
      return Stream.fromIterable(answer.filter((sequence) => sequence > after).map(entry));
    })
  );
  const read = (options: { readonly after?: number; readonly through: number }) =>
    Effect.map(
      readThrough(filter, options),
      (entries) => entries.map(({ sequence }) => sequence),
    );
  return { read, reads: () => reads };
};

const run = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.provide(effect, TestClock.layer()));

/** Runs while the time passes that the reading waits. */
const passing = <A, E>(effect: Effect.Effect<A, E>, duration: "1 second" | "11 seconds") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true });
    yield* TestClock.adjust(duration);
    return yield* Fiber.join(fiber);
  });

describe("a whole read", () => {
  it("is repeated whole until the answer has the record that must be in it", () =>
    run(Effect.gen(function* () {
      const { read, reads } = make({ answers: [[1], [2], [1, 2, 3]], leader: [1, 2, 3] });
      assert.deepEqual(yield* passing(read({ through: 3 }), "1 second"), [1, 2, 3]);
      assert.equal(reads(), 3);
    })));

  it("takes an answer that reaches further", () =>
    run(Effect.gen(function* () {
      const { read, reads } = make({ answers: [[1, 4]], leader: [1, 4] });
      assert.deepEqual(yield* read({ through: 3 }), [1, 4]);
      assert.equal(reads(), 1);
    })));

  it("takes an answer that lacks the record if the leader has none there, nor behind", () =>
    run(Effect.gen(function* () {
      const { read } = make({ answers: [[1]], leader: [1], tail: 3 });
      assert.deepEqual(yield* read({ through: 3 }), [1]);
      const { read: readNothing } = make({ answers: [[]], leader: [1], tail: 3 });
      assert.deepEqual(yield* readNothing({ after: 1, through: 3 }), []);
    })));

  it("takes no answer that lacks what the leader has before the record", () =>
    run(Effect.gen(function* () {
      const { read, reads } = make({ answers: [[1], [1, 2]], leader: [1, 2] });
      assert.deepEqual(yield* passing(read({ through: 3 }), "1 second"), [1, 2]);
      assert.equal(reads(), 2);
    })));

  it("gives up when whoever leads lacks what was acknowledged", () =>
    run(Effect.gen(function* () {
      const { read } = make({ answers: [[1]], leader: [1], tail: 2 });
      const error = yield* passing(Effect.flip(read({ through: 3 })), "11 seconds");
      assert.ok(error._tag === "Unavailable");
      assert.equal(error.landed, "no");
    })));

  it("asks a single server once", () =>
    run(Effect.gen(function* () {
      const { read, reads } = make({ replicas: 1, answers: [[1]], tail: 2 });
      assert.deepEqual(yield* read({ through: 3 }), [1]);
      assert.equal(reads(), 1);
    })));
});
