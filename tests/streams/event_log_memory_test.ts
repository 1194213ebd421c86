/** Transactions of an event log, and what other hands put into one, on the log in memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { Entry, makeEntryIdUnsafe } from "effect/eventlog/EventJournal";
import { StoreId } from "effect/eventlog/EventLogMessage";
import { Storage } from "effect/eventlog/EventLogServerUnencrypted";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import type { Scope } from "effect/Scope";
import * as Stream from "effect/Stream";
import { eventLogEntriesRecord, eventLogIndexRecord } from "../../schema/event_log_record.ts";
import { Namespace } from "../../schema/ids.ts";
import { layer as layerStorage } from "../../streams/event_log/unencrypted_storage.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { eventLogAddress, executionFilter } from "../../streams/subjects.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";

const orders = StoreId.make("orders");
const layerLog = ServerClock.layer.pipe(
  Layer.provideMerge(
    layerMemory({ layout: { namespace: Namespace.make("memory"), shards: 3, parts: 4 } }),
  ),
);

const newEntry = (primaryKey = "a") =>
  new Entry({ id: makeEntryIdUnsafe(), event: "Moved", primaryKey, payload: new Uint8Array() });

/** A storage as each process has its own. */
const storage = Effect.map(
  Layer.build(Layer.fresh(layerStorage)),
  (context) => Context.get(context, Storage),
);

const keys = (found: ReadonlyArray<{ readonly entry: Entry }>) =>
  found.map(({ entry }) => entry.primaryKey).join(" ");

/** All that is stored, as another process sees it. */
const stored = (
  { entriesAfter }: Storage["Service"],
  oldest: Entry,
  storeId = orders,
) => Effect.map(entriesAfter(storeId, oldest), keys);

const test = (
  title: string,
  effect: Effect.Effect<unknown, unknown, Layer.Success<typeof layerLog> | Scope>,
) =>
  it(title, () =>
    new VirtualClock(Date.now()).run(
      effect.pipe(
        Effect.scoped,
        Effect.provide(layerLog),
        Effect.timeout("1 hour"),
        Effect.asVoid,
        Effect.orDie,
      ),
    ));

describe("a transaction of an event log", () => {
  test(
    "sees what it wrote, which nobody else does before it has ended",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      const [one, two, three] = [newEntry("one"), newEntry("two"), newEntry("three")];
      const oldest = one;
      yield* mine.withTransaction(Effect.gen(function* () {
        yield* mine.write(orders, [one]);
        const [written] = yield* mine.write(orders, [two]);
        assert.equal(written?.remoteSequence, 2);
        assert.equal(yield* stored(mine, oldest), "one two");
        assert.equal(keys(yield* mine.entriesAfter(orders, three, [three, two])), "two");
        assert.equal(yield* stored(others, oldest), "");
      }));
      assert.equal(yield* stored(others, oldest), "one two");
    }),
  );

  test(
    "leaves nothing when it fails, dies or is interrupted",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      const oldest = newEntry();
      for (const end of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        const exit = yield* mine.write(orders, [newEntry()]).pipe(
          Effect.andThen(end),
          mine.withTransaction,
          Effect.exit,
        );
        assert.ok(Exit.isFailure(exit));
      }
      assert.equal(yield* stored(others, oldest), "");
      yield* mine.write(orders, [newEntry("next")]);
      const [next] = yield* others.entriesAfter(orders, oldest);
      assert.equal(next?.remoteSequence, 1);
    }),
  );

  test(
    "is one with those within it, of which one that fails has written nothing",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      const oldest = newEntry();
      yield* mine.withTransaction(Effect.gen(function* () {
        yield* mine.write(orders, [newEntry("one")]);
        yield* mine.withTransaction(mine.write(orders, [newEntry("two")]));
        yield* mine.write(orders, [newEntry("lost")]).pipe(
          Effect.andThen(Effect.fail("no")),
          mine.withTransaction,
          Effect.ignore,
        );
        const [written] = yield* mine.write(orders, [newEntry("three")]);
        assert.equal(written?.remoteSequence, 3);
        assert.equal(yield* stored(others, oldest), "");
      }));
      assert.equal(yield* stored(others, oldest), "one two three");
    }),
  );

  test(
    "runs again when another process was first, and is told of what that wrote",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      const entry = newEntry("a");
      const theirs = newEntry("a");
      const conflicts: Array<number> = [];
      const written = yield* mine.withTransaction(Effect.gen(function* () {
        conflicts.push((yield* mine.entriesAfter(orders, entry, [entry])).length);
        if (conflicts.length === 1) yield* others.write(orders, [theirs]);
        return yield* mine.write(orders, [entry]);
      }));
      assert.deepEqual(conflicts, [0, 1]);
      assert.deepEqual(written.map(({ remoteSequence }) => remoteSequence), [2]);
      assert.equal((yield* mine.entriesAfter(orders, entry)).length, 2);
    }),
  );

  test(
    "is given up when others are always first",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      let runs = 0;
      const exit = yield* mine.write(orders, [newEntry()]).pipe(
        Effect.tap(() => others.write(orders, [newEntry(`${runs++}`)])),
        mine.withTransaction,
        Effect.exit,
      );
      assert.ok(Exit.isFailure(exit) && Exit.hasDies(exit));
      assert.equal(runs, 21);
    }),
  );

  test(
    "does not wait for one that is about another store, and may not write to that itself",
    Effect.gen(function* () {
      const mine = yield* storage;
      const bills = StoreId.make("bills");
      const oldest = newEntry();
      const hasBegun = yield* Deferred.make<void>();
      const mayEnd = yield* Deferred.make<void>();
      const slow = yield* mine.write(orders, [newEntry("slow")]).pipe(
        Effect.andThen(Deferred.succeed(hasBegun, undefined)),
        Effect.andThen(Deferred.await(mayEnd)),
        mine.withTransaction,
        Effect.forkChild,
      );
      yield* Deferred.await(hasBegun);
      yield* mine.write(bills, [newEntry("quick")]);
      yield* Deferred.succeed(mayEnd, undefined);
      yield* Fiber.join(slow);
      const both = yield* mine.write(orders, [newEntry()]).pipe(
        Effect.andThen(mine.write(bills, [newEntry()])),
        mine.withTransaction,
        Effect.exit,
      );
      assert.ok(Exit.isFailure(both) && Exit.hasDies(both));
      assert.equal(yield* stored(mine, oldest), "slow");
      assert.equal(yield* stored(mine, oldest, bills), "quick");
    }),
  );

  test(
    "has ended for a fiber that outlives it, whose writes are its own",
    Effect.gen(function* () {
      const mine = yield* storage;
      const oldest = newEntry();
      const hasEnded = yield* Deferred.make<void>();
      const late = yield* mine.withTransaction(Effect.gen(function* () {
        yield* mine.write(orders, [newEntry("one")]);
        return yield* Deferred.await(hasEnded).pipe(
          Effect.andThen(mine.write(orders, [newEntry("late")])),
          Effect.forkDetach,
        );
      }));
      yield* Deferred.succeed(hasEnded, undefined);
      yield* Fiber.join(late);
      assert.equal(yield* stored(mine, oldest), "one late");
    }),
  );
});

describe("an event log", () => {
  test(
    "passes over what other hands put there, and says when entries are missing",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      const log = yield* Log;
      const address = eventLogAddress(log.layout, "unencrypted", [orders]);
      const put = (kind: "ids" | "entries", body: Uint8Array) =>
        log.append(address, { kind, body });
      const oldest = newEntry("one");
      yield* mine.write(orders, [oldest]);
      yield* put("ids", new TextEncoder().encode("{"));
      yield* put("entries", new TextEncoder().encode("{"));
      yield* put(
        "ids",
        eventLogIndexRecord.encode({ kind: "index", first: 2, ids: ["ff"], places: [] }),
      );
      yield* put(
        "entries",
        eventLogEntriesRecord.encode({
          kind: "entries",
          first: 1,
          entries: [{ id: "ff", event: "Moved", primaryKey: "stray", payload: "" }],
        }),
      );
      yield* mine.write(orders, [newEntry("two")]);
      assert.equal(yield* stored(others, oldest), "one two");
      const follow = (count: number) =>
        others.changes({ storeId: orders, startSequence: 1, compactors: new Map() }).pipe(
          Stream.take(count),
          Stream.runCollect,
        );
      assert.equal(keys(yield* follow(2)), "one two");
      yield* put(
        "entries",
        eventLogEntriesRecord.encode({ kind: "entries", first: 4, entries: [] }),
      );
      const gap = yield* Effect.exit(follow(3));
      assert.ok(Exit.isFailure(gap) && Exit.hasDies(gap));
    }),
  );

  test(
    "is known to who comes later by what others have read of it",
    Effect.gen(function* () {
      const [mine, others] = [yield* storage, yield* storage];
      const log = yield* Log;
      const address = eventLogAddress(log.layout, "unencrypted", [orders]);
      const index = Effect.map(
        Stream.runCollect(log.read(executionFilter(address, "ids"))),
        (found) => found.length,
      );
      const entries = Array.from({ length: 2_100 }, (_, i) => newEntry(`${i % 7}`));
      const many = (from: number, to: number) => mine.write(orders, entries.slice(from, to));
      yield* many(0, 400);
      yield* many(400, 1_100);
      assert.equal(yield* index, 0);
      // Another process has read as much, and only one of them stores it.
      yield* others.write(orders, [newEntry("theirs")]);
      yield* many(1_100, 1_101);
      assert.equal(yield* index, 1);
      yield* many(1_101, 2_100);
      yield* mine.write(orders, [newEntry("more")]);
      assert.equal(yield* index, 2);

      // Only what is in no index is still there.
      const records = yield* Stream.runCollect(log.read(executionFilter(address, "entries")));
      for (const { shard, sequence } of records.slice(0, -1)) yield* log.remove(shard, sequence);
      const late = yield* storage;
      for (const known of [entries[0]!, entries[1_100]!, entries.at(-1)!]) {
        assert.ok(Exit.hasDies(yield* Effect.exit(late.write(orders, [known]))));
      }
      const [written] = yield* late.write(orders, [newEntry()]);
      assert.equal(written?.remoteSequence, 2_103);
    }),
  );

  test(
    "is not read by a release that does not know its records",
    Effect.gen(function* () {
      const mine = yield* storage;
      const log = yield* Log;
      const body = new TextEncoder().encode(`{"v":2,"kind":"entries"}`);
      const address = eventLogAddress(log.layout, "unencrypted", [orders]);
      yield* log.append(address, { kind: "entries", body });
      assert.ok(Exit.hasDies(yield* Effect.exit(mine.write(orders, [newEntry()]))));
    }),
  );
});
