/** What a subscription says of events that were removed before it handed them out. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import { CursorGap } from "../../../schema/errors.ts";
import { noFloors, raiseFloors } from "../../../streams/floor.ts";
import { Log } from "../../../streams/log.ts";
import type { Subject } from "../execution_index/matter.ts";
import type { Run } from "../subject_matter.ts";
import {
  complete,
  completeAll,
  completeInOrder,
  create,
  fresh,
  listed,
  readCompletions,
  type Services,
  until,
} from "./matter.ts";

/** Removes the end of an execution as the janitor does. */
const removeEnd = ({ address }: Subject) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const done = Option.getOrThrow(yield* log.last(address, "done"));
    yield* raiseFloors(log, address.shard, { ...noFloors, done: done.sequence });
    assert.ok(yield* log.remove(address.shard, done.sequence));
  });

const earliestOf = (error: unknown) => error instanceof CursorGap ? error.earliest : undefined;

export const gapsSuite = (name: string, run: Run<Services>): void => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));

  describe(`${name}: a durable subscription`, () => {
    test(
      "says that events were removed to each who reads, until one has taken note of it",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant };
        yield* create(options);
        const [first, second] = [yield* completeInOrder(tenant), yield* completeInOrder(tenant)];
        yield* removeEnd(first);
        const ids = yield* completeAll(tenant, 1);
        const read = (after?: string) =>
          Effect.scoped(Effect.flatMap(
            readCompletions(after === undefined ? options : { ...options, after }),
            (reader) => reader.ids(1),
          ));
        const gap = yield* Effect.flip(read());
        assert.ok(gap instanceof CursorGap, String(gap));
        assert.equal(yield* Effect.map(Effect.flip(read()), earliestOf), gap.earliest);
        // Who reads now was not told, and may be anybody.
        assert.ok((yield* Effect.flip(read("earliest"))) instanceof CursorGap);
        // The position that a plain reader is told to go on from is good.
        const plain = fresh().name;
        yield* create({ durable: plain, tenant, after: gap.earliest });
        // What goes while stock is taken is not told again.
        yield* removeEnd(second);
        assert.deepEqual(yield* read(gap.earliest), ids);
        assert.deepEqual(yield* read(), ids);
      }),
    );

    test(
      "says so also of what was in hand when its reader left, whose cursor is no word of the gap",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        const lost = yield* complete(tenant);
        const { cursor } = yield* Effect.scoped(
          Effect.flatMap(readCompletions(options), (reader) => reader.next),
        );
        yield* removeEnd(lost);
        const later = Effect.scoped(
          Effect.flatMap(readCompletions({ ...options, after: cursor }), (reader) => reader.next),
        );
        assert.ok((yield* Effect.flip(later)) instanceof CursorGap);
        const gap = yield* Effect.flip(Effect.scoped(
          Effect.flatMap(readCompletions(options), (reader) => reader.next),
        ));
        assert.ok(gap instanceof CursorGap, String(gap));
      }),
    );

    test(
      "says so to a reader that is far behind",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const ends = yield* Effect.forEach(
          Array.from({ length: 4 }),
          () => completeInOrder(tenant),
        );
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions({ durable: name, tenant, after: "earliest" });
          yield* reader.next;
          yield* Effect.forEach(ends.slice(1), removeEnd);
          const gap = yield* Effect.flip(
            Effect.andThen(completeInOrder(tenant), reader.next).pipe(
              Effect.repeat(Schedule.spaced("20 millis")),
              Effect.timeout("30 seconds"),
            ),
          );
          assert.ok(gap instanceof CursorGap, String(gap));
        }));
      }),
    );

    test(
      "says nothing of what it handed out, however soon after that it was removed",
      Effect.gen(function* () {
        const { tenant, name } = fresh();
        const options = { durable: name, tenant, after: "earliest" };
        yield* Effect.scoped(Effect.gen(function* () {
          const reader = yield* readCompletions(options);
          for (let i = 0; i < 3; i++) {
            const seen = yield* complete(tenant);
            assert.equal((yield* reader.next).executionId, seen.execution);
            // It is handled, and kept for three seconds.
            yield* Effect.timeoutOption(reader.next, "3 seconds");
            yield* removeEnd(seen);
          }
        }));
      }),
    );

    for (const stay of ["100 millis", "5 seconds"] as const) {
      test(
        `says nothing of what was removed behind a reader that had handled it, and stayed for ${stay}`,
        Effect.gen(function* () {
          const { tenant, name } = fresh();
          const options = { durable: name, tenant, after: "earliest" };
          const seen = yield* complete(tenant);
          yield* Effect.scoped(Effect.gen(function* () {
            const reader = yield* readCompletions(options);
            yield* reader.next;
            yield* Effect.timeoutOption(reader.next, stay);
            yield* until(Effect.map(listed(name), (found) => found?.lag), 0);
          }));
          yield* removeEnd(seen);
          const ids = yield* completeAll(tenant, 1);
          yield* Effect.scoped(Effect.gen(function* () {
            const reader = yield* readCompletions(options);
            assert.deepEqual(yield* reader.ids(1), ids);
          }));
        }),
      );
    }
  });
};
