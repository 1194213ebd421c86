/** What the janitor removes: told where it is missing, and never where it is not. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { decodeCursor } from "../../../schema/cursor.ts";
import { CursorGap } from "../../../schema/errors.ts";
import { noFloors, raiseFloors } from "../../../streams/floor.ts";
import { Families, layerMemory } from "../../../streams/families.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { executionFilter } from "../../../streams/subjects.ts";
import { uniqueTenant } from "../subject_matter.ts";
import {
  failing,
  here,
  mail,
  own,
  type Owned,
  place,
  raiseAll,
  readAll,
  removeAll,
  type Test,
  until,
} from "./scene.ts";

const ids = (events: ReadonlyArray<{ readonly executionId: string }>) =>
  events.map(({ executionId }) => executionId).sort();

export const removalCases = (test: Test): void => {
  test("who stands below what was removed is told, and who stands above is not", () =>
    Effect.gen(function* () {
      const before = yield* here;
      const first = yield* own();
      const second = yield* own();
      const between = yield* here;
      const third = yield* own();
      yield* removeAll([second.address]);

      const { error, seen } = yield* failing("leaseHistory", { after: before });
      assert.deepEqual(seen, []);
      assert.ok(error instanceof CursorGap, String(error));
      assert.equal(error.requested, before);
      // The other shards lack nothing, and are read from where they were.
      const rest = yield* readAll("leaseHistory", { after: error.earliest });
      const shards = (yield* Log).layout.shards;
      if (shards === 1) assert.deepEqual(ids(rest), [third.execution]);
      const isApart = first.address.shard !== second.address.shard;
      assert.deepEqual(
        ids(rest),
        [...(isApart ? [first.execution] : []), third.execution].sort(),
      );
      assert.deepEqual(ids(yield* readAll("leaseHistory", { after: between })), [third.execution]);
      assert.deepEqual(yield* readAll("completions", { after: before }), []);
    }));

  test("who stands below what was removed is told at once, though nothing else has come since", () =>
    Effect.gen(function* () {
      const before = yield* here;
      yield* removeAll([(yield* own()).address]);
      const { error } = yield* failing("leaseHistory", { after: before });
      assert.ok(error instanceof CursorGap, String(error));
      assert.deepEqual(yield* readAll("leaseHistory", { after: error.earliest }), []);
    }));

  test("earliest begins where nothing is missing any more, and is no gap", () =>
    Effect.gen(function* () {
      const gone = yield* own();
      const left = yield* own();
      yield* removeAll([gone.address]);
      const all = yield* readAll("leaseHistory", { after: "earliest" });
      assert.deepEqual(ids(all), [left.execution]);
    }));

  test("earliest goes on where the janitor is ahead of a reader that has just begun", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const owned: Array<Owned> = [];
      for (let i = 0; i < 10; i++) owned.push(yield* own());
      const last = owned.at(-1)!;
      const gone = owned.slice(0, -1).map(({ address }) => address);
      // What it comes to remove may be there still, or no more.
      const removing = yield* Effect.cached(Effect.provideService(raiseAll(gone), Log, log));
      const overtaken = Layer.provide(
        layerMemory,
        Layer.succeed(Log, {
          ...log,
          follow: (filter, options) =>
            Stream.unwrap(Effect.as(Effect.orDie(removing), log.follow(filter, options))),
        }),
      );
      const events = yield* Effect.provide(
        readAll("leaseHistory", { after: "earliest" }),
        Layer.fresh(overtaken),
      );
      assert.deepEqual(ids(events), [last.execution]);
    }));

  test("an end of many leases at once is no gap", () =>
    Effect.gen(function* () {
      const leases = yield* Leases;
      const before = yield* here;
      const addresses = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => i),
        (i) => place(`order/${i}` as Owned["execution"]),
      );
      const claim = (worker: string) =>
        Effect.forEach(addresses, (address) =>
          leases.acquire(address, { worker: worker as never, ttl: "1 second" }), {
          concurrency: 8,
        });
      yield* claim("a");
      for (const address of addresses) {
        yield* until(
          "it lapses",
          Effect.map(leases.expireIfDue(address), (verdict) =>
            verdict === "expired"),
        );
      }
      yield* claim("b");
      const events = yield* readAll("leaseHistory", { after: before });
      const types = events.map(({ type }) =>
        type
      );
      assert.deepEqual(
        ["acquired", "expired", "reclaimed"].map((type) => types.filter((t) => t === type).length),
        [50, 50, 50],
      );
    }));

  test("12: a reader that is overtaken by removals learns of it, however slow it is", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      const log = yield* Log;
      const leases = yield* Leases;
      const owned = yield* own();
      const { address } = owned;
      let { lease } = owned;
      const count = 1_500;
      for (let i = 1; i < count; i++) lease = yield* leases.renew(lease);
      const gone: Array<number> = [];
      const seen: Array<number> = [];
      const error = yield* Effect.flip(
        families.read("leaseHistory", { after: "earliest" }).pipe(
          Stream.rechunk(1),
          Stream.runForEach(({ cursor }) =>
            Effect.gen(function* () {
              const { sequence } = (yield* decodeCursor(cursor)).shards[address.shard]!;
              seen.push(sequence);
              if (seen.length !== 1) return;
              // It stands still, with all its buffers full, while something in the middle goes.
              const tail = yield* log.tail(address.shard);
              gone.push(tail.sequence - 50);
              yield* raiseFloors(log, address.shard, { ...noFloors, lease: tail.sequence - 50 });
              yield* log.remove(address.shard, tail.sequence - 50);
            })
          ),
          Effect.timeout("60 seconds"),
        ),
      );
      assert.ok(error instanceof CursorGap, String(error));
      assert.ok(!seen.includes(gone[0]!));
      assert.ok(seen.at(-1)! < gone[0]!, "it went on past the gap");
      const requested = yield* decodeCursor(error.requested);
      assert.equal(requested.shards[address.shard]!.sequence, seen.at(-1));
      const rest = yield* readAll("leaseHistory", { after: error.earliest });
      assert.equal(rest.length, 50);
    }));

  test("12: what goes at the head and is no event of the family is no gap", () =>
    Effect.gen(function* () {
      const log = yield* Log;
      const owned = yield* own();
      const before = yield* here;
      const heads: Array<{ readonly shard: number; readonly sequence: number }> = [];
      for (let i = 0; i < 20; i++) {
        const { sequence } = yield* mail(owned.address, { kind: "start", seed: `${i}` });
        heads.push({ shard: owned.address.shard, sequence });
      }
      const next = yield* own();
      for (const { shard, sequence } of heads) yield* log.remove(shard, sequence);
      yield* log.purge(executionFilter(owned.address, "lease"), { upTo: heads[0]!.sequence });
      assert.deepEqual(ids(yield* readAll("leaseHistory", { after: before })), [next.execution]);
      assert.deepEqual(yield* readAll("completions", { after: before }), []);
    }));

  test("12: no tick passes what was removed before it was delivered", () =>
    Effect.gen(function* () {
      const begun = yield* here;
      const log = yield* Log;
      const slow = Layer.provide(
        layerMemory,
        Layer.succeed(Log, { ...log, follow: () => Stream.never }),
      );
      let isGone = false;
      const reading = Effect.flatMap(
        Families,
        (families) =>
          families.read("leaseHistory", { after: begun, ticks: "30 millis" }).pipe(
            Stream.runForEach(() =>
              Effect.gen(function* () {
                assert.ok(!isGone, "it went on");
                yield* removeAll([(yield* own()).address]);
                isGone = true;
              })
            ),
          ),
      );
      const error = yield* Effect.flip(Effect.provide(reading, Layer.fresh(slow)));
      assert.ok(error instanceof CursorGap, String(error));
    }));

  test("12: removals behind a reader are nothing to it", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      const log = yield* Log;
      const seen: Array<string> = [];
      yield* own();
      const expected = 30;
      yield* families.read("leaseHistory", { after: "earliest" }).pipe(
        Stream.take(expected),
        Stream.runForEach(({ executionId, tenant }) =>
          Effect.gen(function* () {
            seen.push(executionId);
            yield* removeAll([yield* place(executionId, tenant)]);
            if (seen.length < expected) yield* own();
          })
        ),
        Effect.timeout("60 seconds"),
      );
      assert.equal(new Set(seen).size, expected);
      assert.ok(log.layout.shards > 0);
    }));

  test("12: a reader of one tenant meets no gap by what others lost, as long as it ticks", () =>
    Effect.gen(function* () {
      const families = yield* Families;
      const [mine, theirs] = [uniqueTenant(), uniqueTenant()];
      const begun = yield* here;
      const other = yield* own(theirs);
      const seen: Array<string> = [];
      yield* families.read("leaseHistory", { after: begun, tenant: mine, ticks: "50 millis" }).pipe(
        Stream.takeUntil(({ type }) => type !== "tick"),
        Stream.runForEach((event) =>
          Effect.gen(function* () {
            seen.push(event.type);
            if (seen.length !== 2) return;
            yield* removeAll([other.address]);
            yield* own(mine);
          })
        ),
        Effect.timeout("60 seconds"),
      );
      assert.equal(seen.at(-1), "acquired");
      // Who stayed behind is told: it cannot know whose events they were.
      const { error } = yield* failing("leaseHistory", { after: begun, tenant: theirs });
      assert.equal(error._tag, "CursorGap");
    }));
};
