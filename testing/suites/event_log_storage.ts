/** What is asked of Effect's `EventLogServerUnencrypted.Storage`, whoever implements it. */
import assert from "node:assert/strict";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { Entry, makeEntryIdUnsafe } from "effect/eventlog/EventJournal";
import { StoreId } from "effect/eventlog/EventLogMessage";
import { Storage } from "effect/eventlog/EventLogServerUnencrypted";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import type * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { hostileTexts } from "./hostile_texts.ts";
import { cases, type SuiteOptions } from "./suite.ts";

const everyByte = Uint8Array.from({ length: 256 }, (_, i) => i);
const orders = StoreId.make("orders");

const newEntry = (primaryKey: string, payload = new Uint8Array(), event = "Moved"): Entry =>
  new Entry({ id: makeEntryIdUnsafe(), event, primaryKey, payload });

const newEntries = (count: number, primaryKey = "a"): ReadonlyArray<Entry> =>
  Array.from({ length: count }, () => newEntry(primaryKey));

/** What a store gives to who follows it from a number on. */
const following = (
  { changes }: Storage["Service"],
  count: number,
  startSequence: number,
  storeId = orders,
) =>
  changes({ storeId, startSequence, compactors: new Map() }).pipe(
    Stream.take(count),
    Stream.runCollect,
  );

const fieldsOf = ({ id, event, primaryKey, payload }: Entry) => ({
  id,
  event,
  primaryKey,
  payload,
});

/** A compactor that leaves the last of each key. */
const lastOfEach = (events: ReadonlyArray<string>) => {
  const compactor = {
    events: new Set(events),
    effect: ({ entries, write }: {
      readonly entries: ReadonlyArray<Entry>;
      readonly write: (entry: Entry, source?: Entry) => Effect.Effect<void>;
    }) =>
      Effect.forEach(
        new Map(entries.map((entry) => [entry.primaryKey, entry])).values(),
        (entry) => write(entry),
        { discard: true },
      ),
  };
  return new Map(events.map((event) => [event, compactor]));
};

export const eventLogStorageSuite = (
  name: string,
  makeLayer: () => Layer.Layer<Storage, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases(name, makeLayer, options);
  const withStorage = <A, E>(
    use: (storage: Storage["Service"], first: number) => Effect.Effect<A, E>,
  ): Effect.Effect<A, E, Storage> =>
    Effect.flatMap(Storage, (storage) => use(storage, storage.firstSequence ?? 0));

  test(
    "entries are there as they were written, under numbers without a gap",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const entries = [
          newEntry("a", everyByte),
          newEntry("", new Uint8Array(), ""),
          newEntry("käse 🎉", new Uint8Array(300_000).fill(7)),
          newEntry("\ud800", Uint8Array.of(0), "line\nline\0"),
        ];
        const written = [
          ...yield* storage.write(orders, entries.slice(0, 1)),
          ...yield* storage.write(orders, entries.slice(1)),
        ];
        assert.deepEqual(yield* storage.write(orders, []), []);
        const numbers = entries.map((_, i) => first + i);
        assert.deepEqual(written.map(({ remoteSequence }) => remoteSequence), numbers);
        const found = yield* following(storage, 4, first);
        assert.deepEqual(found.map(({ remoteSequence }) => remoteSequence), numbers);
        assert.deepEqual(found.map(({ entry }) => fieldsOf(entry)), entries.map(fieldsOf));
      })
    ),
  );

  test(
    "any text is a store, and no two are one",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const stores = hostileTexts.map((text) => StoreId.make(text));
        const entries = new Map(stores.map((store, i) => [store, newEntry(`${i}`)]));
        for (const [store, entry] of entries) {
          const [written] = yield* storage.write(store, [entry]);
          assert.equal(written?.remoteSequence, first, JSON.stringify(store));
        }
        for (const [store, entry] of entries) {
          const [found] = yield* following(storage, 1, first, store);
          assert.equal(found?.entry.idString, entry.idString, JSON.stringify(store));
        }
      })
    ),
  );

  test(
    "more than a thousand entries are written at once, and one of two megabytes",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const entries = newEntries(1_500);
        const written = yield* storage.withTransaction(storage.write(orders, entries));
        assert.equal(written.at(-1)?.remoteSequence, first + 1_499);
        const large = newEntry("large", new Uint8Array(2 * 1024 * 1024).fill(1));
        yield* storage.write(orders, [large]);
        const found = yield* following(storage, 501, first + 1_000);
        assert.deepEqual(
          found.map(({ entry }) => entry.idString),
          [...entries.slice(1_000), large].map(({ idString }) => idString),
        );
        assert.equal(found.at(-1)?.entry.payload.length, 2 * 1024 * 1024);
      })
    ),
  );

  test(
    "what is not before an entry is found, and what has to do with a batch",
    withStorage((storage) =>
      Effect.gen(function* () {
        const [one, two, three, four] = ["a", "b", "a", "a"].map((key) => newEntry(key));
        const other = newEntry("a", new Uint8Array(), "Renamed");
        // Not in the order of their ids.
        yield* storage.write(orders, [three!, one!]);
        yield* storage.write(orders, [two!, other]);
        const after = (entry: Entry, batch?: readonly [Entry, ...Array<Entry>]) =>
          Effect.map(
            storage.entriesAfter(orders, entry, batch),
            (found) => found.map(({ entry }) => entry.idString),
          );
        const ids = (...entries: ReadonlyArray<Entry>) => entries.map(({ idString }) => idString);
        assert.deepEqual(yield* after(two!), ids(three!, two!, other));
        assert.deepEqual(yield* after(newEntry("z")), []);
        // More may be given, which the batch has nothing to do with.
        const related = yield* after(one!, [one!, four!]);
        assert.deepEqual(
          related.filter((id) => ids(one!, three!).includes(id)),
          ids(three!, one!),
        );
        assert.deepEqual(
          (yield* after(two!, [two!])).filter((id) => id === two!.idString),
          ids(two!),
        );
        assert.deepEqual(yield* storage.entriesAfter(StoreId.make("none"), one!, [one!]), []);
      })
    ),
  );

  test(
    "an entry that is there already is not written again, and nothing with it",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const known = newEntry("a");
        yield* storage.write(orders, [known]);
        const again = yield* Effect.exit(storage.write(orders, [newEntry("b"), known]));
        assert.ok(Exit.isFailure(again));
        const moved = new Entry({ ...fieldsOf(known), primaryKey: "elsewhere" });
        assert.ok(Exit.isFailure(yield* Effect.exit(storage.write(orders, [moved]))));
        const next = newEntry("c");
        const [written] = yield* storage.write(orders, [next]);
        assert.equal(written?.remoteSequence, first + 1);
        // In another store it is new.
        yield* storage.write(StoreId.make("other"), [known]);
      })
    ),
  );

  test(
    "who follows is given what comes, from the number on which it asked for",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const [one, two, three, four] = newEntries(4);
        yield* storage.write(orders, [one!, two!]);
        const hasBegun = yield* Deferred.make<void>();
        const live = yield* storage.changes({
          storeId: orders,
          startSequence: first + 1,
          compactors: new Map(),
        }).pipe(
          Stream.tap(() => Deferred.succeed(hasBegun, undefined)),
          Stream.take(3),
          Stream.runCollect,
          Effect.forkChild,
        );
        const ahead = yield* Effect.forkChild(following(storage, 1, first + 3));
        yield* Deferred.await(hasBegun);
        yield* storage.write(orders, [three!]);
        yield* storage.write(orders, [four!]);
        const found = yield* Fiber.join(live);
        assert.deepEqual(
          found.map(({ entry, remoteSequence }) => [entry.idString, remoteSequence]),
          [two!, three!, four!].map(({ idString }, i) => [idString, first + 1 + i]),
        );
        const [last] = yield* Fiber.join(ahead);
        assert.equal(last?.remoteSequence, first + 3);
      })
    ),
  );

  test(
    "what was there is compacted for who follows, and what comes is not",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const entry = (key: string, event: string) => newEntry(key, new Uint8Array(), event);
        const entries = [
          entry("a", "Moved"),
          entry("b", "Moved"),
          entry("a", "Moved"),
          entry("a", "Paid"),
          entry("a", "Moved"),
          entry("a", "Moved"),
        ];
        yield* storage.write(orders, entries);
        const hasBacklog = yield* Deferred.make<void>();
        const live = yield* storage.changes({
          storeId: orders,
          startSequence: first,
          compactors: lastOfEach(["Moved", "Renamed"]),
        }).pipe(
          Stream.tap(({ remoteSequence }) =>
            Effect.when(
              Deferred.succeed(hasBacklog, undefined),
              Effect.sync(() => remoteSequence === first + 5),
            )
          ),
          Stream.take(6),
          Stream.runCollect,
          Effect.forkChild,
        );
        yield* Deferred.await(hasBacklog);
        const more = [entry("a", "Moved"), entry("a", "Moved")];
        yield* storage.write(orders, more);
        const found = yield* Fiber.join(live);
        const [, b, a, paid, , last] = entries;
        assert.deepEqual(
          found.map(({ entry }) => entry.idString),
          [b, a, paid, last, ...more].map((entry) => entry!.idString),
        );
        const numbers = found.map(({ remoteSequence }) => remoteSequence);
        assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
        assert.deepEqual(numbers.slice(2), [3, 5, 6, 7].map((i) => first + i));
      })
    ),
  );

  test(
    "of many who write at once nobody's entry is lost, nor numbered twice",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const writer = (entry: Entry) =>
          Effect.gen(function* () {
            const found = yield* storage.entriesAfter(orders, entry, [entry]);
            const [written] = yield* storage.write(orders, [entry]);
            return { found: found.length, number: written!.remoteSequence };
          }).pipe(storage.withTransaction);
        const done = yield* Effect.forEach(newEntries(20), writer, { concurrency: "unbounded" });
        assert.deepEqual(
          done.map(({ number }) => number).sort((a, b) => a - b),
          Array.from({ length: 20 }, (_, i) => first + i),
        );
        assert.equal((yield* following(storage, 20, first)).length, 20);
      })
    ),
  );

  test(
    "a transaction gives what its program gives, and fails as it fails",
    withStorage((storage) =>
      Effect.gen(function* () {
        assert.equal(yield* storage.withTransaction(Effect.succeed("done")), "done");
        const failed = yield* Effect.flip(storage.withTransaction(Effect.fail("no")));
        assert.equal(failed, "no");
        const stopped = yield* Effect.exit(storage.withTransaction(Effect.interrupt));
        assert.ok(Exit.isFailure(stopped) && Exit.hasInterrupts(stopped));
      })
    ),
  );

  test(
    "the remote keeps its id, and a client the key that it came with first",
    withStorage((storage) =>
      Effect.gen(function* () {
        const id = yield* storage.getId;
        assert.equal(id.length, 16);
        assert.deepEqual(yield* storage.getId, id);
        const keys = Array.from({ length: 8 }, (_, i) => new Uint8Array(32).fill(i));
        for (const publicKey of ["ana", "id", ...hostileTexts]) {
          const bind = (key: Uint8Array<ArrayBuffer>) =>
            storage.getOrCreateSessionAuthBinding(publicKey, key);
          const bound = yield* Effect.forEach(keys, bind, { concurrency: "unbounded" });
          for (const key of bound) assert.deepEqual(key, bound[0], publicKey);
          assert.deepEqual(yield* bind(new Uint8Array(32).fill(99)), bound[0]);
        }
      })
    ),
  );
};
