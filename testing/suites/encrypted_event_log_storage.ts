/** What is asked of Effect's `EventLogServerEncrypted.Storage`, whoever implements it. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { type EntryId, makeEntryIdUnsafe } from "effect/eventlog/EventJournal";
import type { EncryptedBatch, EncryptedRemoteBatch } from "effect/eventlog/EventLogEncryption";
import { StoreId } from "effect/eventlog/EventLogMessage";
import { Storage } from "effect/eventlog/EventLogServerEncrypted";
import * as Fiber from "effect/Fiber";
import type * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { hostileTexts } from "./hostile_texts.ts";
import { cases, type SuiteOptions } from "./suite.ts";

const ana = "ana";
const orders = StoreId.make("orders");

const newBatch = (
  ids: readonly [EntryId, ...ReadonlyArray<EntryId>],
  sizeBytes = 10,
): EncryptedBatch => ({
  entryIds: ids,
  iv: new Uint8Array(randomBytes(12)),
  encryptedBatch: new Uint8Array(randomBytes(sizeBytes)),
});

/** A batch of so many new entries. */
const batchOf = (count: number, sizeBytes?: number): EncryptedBatch =>
  newBatch(
    [makeEntryIdUnsafe(), ...Array.from({ length: count - 1 }, () => makeEntryIdUnsafe())],
    sizeBytes,
  );

const following = (
  { changes }: Storage["Service"],
  count: number,
  startSequence: number,
  publicKey = ana,
  storeId = orders,
) => changes(publicKey, storeId, startSequence).pipe(Stream.take(count), Stream.runCollect);

const sequences = (batches: ReadonlyArray<EncryptedRemoteBatch>) =>
  batches.map(({ sequence }) => sequence);

export const encryptedEventLogStorageSuite = (
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
    "batches are there as they were written, and each entry has its number",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const batches = [batchOf(1, 0), batchOf(3), batchOf(2, 300_000), batchOf(1, 2 ** 21)];
        const written = [
          ...yield* storage.write(ana, orders, batches.slice(0, 2)),
          ...yield* storage.write(ana, orders, batches.slice(2)),
        ];
        assert.deepEqual(yield* storage.write(ana, orders, []), []);
        const numbers = [0, 1, 4, 6].map((i) => first + i);
        assert.deepEqual(sequences(written), numbers);
        const found = yield* following(storage, 4, first);
        assert.deepEqual(found, batches.map((batch, i) => ({ sequence: numbers[i], ...batch })));
      })
    ),
  );

  test(
    "any texts are who writes and a store, and no two are one",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const places = [
          ...hostileTexts.map((text) => [text, orders] as const),
          ...hostileTexts.map((text) => [ana, StoreId.make(text)] as const),
        ];
        const batches = places.map(() => batchOf(1));
        for (const [i, [publicKey, storeId]] of places.entries()) {
          const written = yield* storage.write(publicKey, storeId, [batches[i]!]);
          assert.deepEqual(sequences(written), [first], JSON.stringify([publicKey, storeId]));
        }
        for (const [i, [publicKey, storeId]] of places.entries()) {
          const [found] = yield* following(storage, 1, first, publicKey, storeId);
          assert.deepEqual(found?.iv, batches[i]!.iv, JSON.stringify([publicKey, storeId]));
        }
      })
    ),
  );

  test(
    "a batch is not stored again, but one of which an entry is new is",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const known = batchOf(2);
        const [one, two] = known.entryIds;
        const three = makeEntryIdUnsafe();
        yield* storage.write(ana, orders, [known]);
        const partlyNew = newBatch([two!, three]);
        const written = yield* storage.write(ana, orders, [
          newBatch([two!, one]),
          partlyNew,
          newBatch([three]),
        ]);
        assert.deepEqual(written, [{ sequence: first + 2, ...partlyNew }]);
        const acks = yield* storage.entrySequences(ana, orders, [
          three,
          makeEntryIdUnsafe(),
          one,
          two!,
        ]);
        assert.deepEqual(
          new Map(acks.map(({ entryId, sequence }) => [entryId, sequence])),
          new Map([[three, first + 3], [one, first], [two!, first + 1]]),
        );
        assert.deepEqual(yield* storage.entrySequences("ben", orders, [one]), []);
        assert.deepEqual(sequences(yield* following(storage, 2, first)), [first, first + 2]);
      })
    ),
  );

  test(
    "who follows is given what comes, from the batch on whose number it asked for",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const [one, two, three] = [batchOf(2), batchOf(3), batchOf(1)];
        yield* storage.write(ana, orders, [one]);
        yield* storage.write(ana, orders, [two]);
        const hasBegun = yield* Deferred.make<void>();
        const live = yield* storage.changes(ana, orders, first + 3).pipe(
          Stream.tap(() => Deferred.succeed(hasBegun, undefined)),
          Stream.take(2),
          Stream.runCollect,
          Effect.forkChild,
        );
        yield* Deferred.await(hasBegun);
        yield* storage.write(ana, orders, [three]);
        assert.deepEqual(yield* Fiber.join(live), [
          { sequence: first + 2, ...two },
          { sequence: first + 5, ...three },
        ]);
      })
    ),
  );

  test(
    "of many who write at once nobody's batch is lost, nor numbered twice",
    withStorage((storage, first) =>
      Effect.gen(function* () {
        const same = batchOf(1);
        const batches = Array.from({ length: 10 }, () => batchOf(2));
        const written = yield* Effect.forEach(
          batches,
          (batch) => storage.write(ana, orders, [same, batch]),
          { concurrency: "unbounded" },
        );
        assert.equal(written.flat().length, 11);
        const found = yield* following(storage, 11, first);
        assert.deepEqual(new Set(found), new Set(written.flat()));
        let next = first;
        for (const { sequence, entryIds } of found) {
          assert.equal(sequence, next);
          next += entryIds.length;
        }
        assert.equal(next, first + 21);
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
        const bind = (key: Uint8Array<ArrayBuffer>) =>
          storage.getOrCreateSessionAuthBinding(ana, key);
        const bound = yield* Effect.forEach(keys, bind, { concurrency: "unbounded" });
        for (const key of bound) assert.deepEqual(key, bound[0]);
      })
    ),
  );
};
