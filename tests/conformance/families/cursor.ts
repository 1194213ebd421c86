/** Where reading begins, and which beginnings are refused. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Stream from "effect/Stream";
import {
  type CursorPosition,
  decodeCursor,
  encodeCursor,
  type ShardPosition,
} from "../../../schema/cursor.ts";
import { InvalidCursor } from "../../../schema/errors.ts";
import { Families } from "../../../streams/families.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { executionFilter } from "../../../streams/subjects.ts";
import { failing, here, own, place, readAll, take, type Test, until } from "./scene.ts";

const renewals = (count: number) =>
  Effect.gen(function* () {
    const owned = yield* own();
    let { lease } = owned;
    for (let i = 1; i < count; i++) lease = yield* (yield* Leases).renew(lease);
    return { ...owned, lease };
  });

const refused = (after: string) =>
  Effect.gen(function* () {
    const { error, seen } = yield* failing("leaseHistory", { after });
    assert.deepEqual(seen, []);
    assert.ok(error instanceof InvalidCursor, String(error));
    return error.reason;
  });

export const cursorCases = (test: Test): void => {
  test("reading goes on right behind each event's cursor", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 3; i++) yield* renewals(3);
      const all = yield* readAll("leaseHistory", { after: "earliest" });
      assert.equal(all.length, 9);
      for (const [i, { cursor }] of all.entries()) {
        const rest = yield* readAll("leaseHistory", { after: cursor });
        // Shards have no order among them, so cursors differ with the order in which they came.
        const ids = (events: typeof all) =>
          events.map(({ executionId, at, type }) => `${executionId} ${at} ${type}`).sort();
        assert.deepEqual(ids(rest), ids(all.slice(i + 1)));
      }
    }));

  test("of several shards each cursor moves one on, and none ever goes back", () =>
    Effect.gen(function* () {
      const { layout } = yield* Log;
      for (let i = 0; i < 12; i++) yield* renewals(2);
      const events = yield* readAll("leaseHistory", { after: "earliest" });
      assert.equal(events.length, 24);
      const moved = new Set<number>();
      let last: ReadonlyArray<ShardPosition> = [];
      for (const { cursor, executionId, at } of events) {
        const { shards } = yield* decodeCursor(cursor);
        const { shard: mine } = yield* place(executionId);
        for (const [shard, position] of shards.entries()) {
          if (shard !== mine) assert.deepEqual(position, last[shard] ?? position);
        }
        assert.ok(shards[mine]!.sequence > (last[mine]?.sequence ?? 0));
        assert.equal(shards[mine]!.at, at);
        moved.add(mine);
        last = shards;
        assert.equal(encodeCursor(yield* decodeCursor(cursor)), cursor);
      }
      assert.ok(layout.shards === 1 || moved.size > 1);
    }));

  test("a cursor is of the log, and serves every family", () =>
    Effect.gen(function* () {
      yield* renewals(1);
      const [event] = yield* take("leaseHistory", 1, { after: "earliest" });
      assert.deepEqual(yield* readAll("completions", { after: event!.cursor }), []);
    }));

  for (
    const [after, said] of [["now", "now"], ["", "an empty cursor"], [
      undefined,
      "nothing",
    ]] as const
  ) {
    test(`${said} means what comes from then on, however late it is asked for`, () =>
      Effect.gen(function* () {
        yield* renewals(2);
        const families = yield* Families;
        const options = { ...(after === undefined ? {} : { after }), ticks: "50 millis" } as const;
        const seen: Array<unknown> = [];
        const reading = yield* families.read("leaseHistory", options).pipe(
          Stream.runForEach((event) => Effect.sync(() => seen.push(event.type))),
          Effect.forkChild,
        );
        yield* until("it has begun", Effect.sync(() => seen.length > 2));
        assert.deepEqual([...new Set(seen)], ["tick"]);
        yield* renewals(2);
        yield* until("they come", Effect.sync(() => seen.includes("renewed")));
        assert.deepEqual(seen.filter((type) => type !== "tick"), ["acquired", "renewed"]);
        yield* Fiber.interrupt(reading);
      }));
  }

  test("now is where the log ended when reading began, not when the first event came", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      yield* Effect.scoped(Effect.gen(function* () {
        // The stream is opened by the first pull, which waits; what is written meanwhile is its.
        const pull = yield* Stream.toPull(
          families.read("leaseHistory", { after: "now", ticks: "50 millis" }),
        );
        const [tick] = yield* pull;
        assert.equal(tick.type, "tick");
        yield* renewals(3);
        const types: Array<string> = [];
        while (types.length < 3) {
          for (const event of yield* pull) if (event.type !== "tick") types.push(event.type);
        }
        assert.deepEqual(types, ["acquired", "renewed", "renewed"]);
      }));
    }));

  test("a cursor that is none, or of another product or release, is refused", () =>
    Effect.gen(function* () {
      const bytes = (...all: ReadonlyArray<number>) =>
        btoa(String.fromCharCode(...all)).replace(/=+$/, "");
      assert.equal(yield* refused("!"), "malformed");
      assert.equal(yield* refused(bytes(3, 1, 0)), "malformed");
      assert.equal(yield* refused(bytes(1, ...new Array(16).fill(0))), "foreign");
      assert.equal(yield* refused(bytes(3, 2, 0)), "newer-layout");
    }));

  test("a cursor that this log has not issued is refused", () =>
    Effect.gen(function* () {
      yield* renewals(3);
      const position = yield* decodeCursor(yield* here);
      const but = (change: Partial<CursorPosition>) => encodeCursor({ ...position, ...change });
      const moved = (change: (shard: ShardPosition) => Partial<ShardPosition>) =>
        but({ shards: position.shards.map((shard) => ({ ...shard, ...change(shard) })) });
      assert.equal(yield* refused(but({ incarnation: "0123456789abcdef" })), "other-incarnation");
      const shards = [...position.shards, { sequence: 0, at: 0 }];
      assert.equal(yield* refused(but({ shards })), "shard-mismatch");
      assert.equal(
        yield* refused(moved(({ sequence }) => ({ sequence: sequence + 1 }))),
        "newer-than-tail",
      );
      assert.deepEqual(yield* readAll("leaseHistory", { after: moved(() => ({})) }), []);
    }));

  test("a cursor from before the log was damaged is refused, whatever was removed since", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const others = yield* renewals(2);
      const { address } = yield* renewals(40);
      const position = yield* decodeCursor(yield* here);
      const places = yield* Stream.runCollect(log.read(executionFilter(address, "lease")));
      const [first, last] = [places[0]!, places.at(-1)!];
      /** The last record, as if another had been there when it was read. */
      const before = (at: number) =>
        encodeCursor({
          ...position,
          shards: position.shards.map((known, shard) =>
            shard === address.shard ? { sequence: last.sequence, at } : known
          ),
        });
      assert.equal(yield* refused(before(last.at - 1)), "reissued");
      assert.deepEqual(yield* readAll("leaseHistory", { after: before(last.at) }), []);
      // Without most of what is around it, the nearest record that is left decides.
      for (const { sequence } of places.slice(1)) yield* log.remove(address.shard, sequence);
      assert.equal(yield* refused(before(first.at - 1)), "reissued");
      assert.deepEqual(yield* readAll("leaseHistory", { after: before(first.at) }), []);
      yield* log.remove(address.shard, first.sequence);
      if (others.address.shard === address.shard) {
        const before = yield* log.next(executionFilter(others.address, "lease"), 0);
        assert.equal(before._tag, "Some");
      }
    }));

  test("an execution without its tenant, and ticks that never come, are refused", () =>
    Effect.gen(function* () {
      const { execution } = yield* own();
      const families = yield* Families;
      for (
        const read of [
          families.read("completions", { executionId: execution }),
          families.read("completions", { ticks: "0 millis" }),
          families.read("completions", { ticks: "Infinity" as "1 second" }),
        ]
      ) assert.equal((yield* Effect.flip(Stream.runDrain(read)))._tag, "InvalidInput");
    }));
};
