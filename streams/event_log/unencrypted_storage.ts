/**
 * Effect's `EventLogServerUnencrypted.Storage` in the log: entries under numbers that count within
 * their store, each id once for ever. What handlers are told of conflicts is all there is when their
 * entries are stored, also of other processes.
 */
import * as Effect from "effect/Effect";
import { Entry, type RemoteEntry } from "effect/eventlog/EventJournal";
import { compactBacklog, Storage } from "effect/eventlog/EventLogServerUnencrypted";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { type AppendError, Log, type ReadError } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { idText } from "./bytes.ts";
import { entriesOf, format, topicOf } from "./entries.ts";
import * as Identities from "./identities.ts";
import type { StoreIndex } from "./store_index.ts";
import * as Stores from "./stores.ts";
import * as Transaction from "./transaction.ts";

const use = "unencrypted";

/** How many records of a store are read at once. */
const together = 16;
/** How many entries are compacted with each other at most. */
const compactedTogether = 10_000;

type Batch = ReadonlyArray<Entry> | undefined;

/** Which stored entries a batch has to do with, or all that are not before one. */
const relatedTo = (index: StoreIndex, oldest: Entry, batch: Batch): ReadonlySet<number> => {
  const from = idText(oldest.id);
  if (batch === undefined) return new Set(index.from(from));
  const known = batch.flatMap(({ id }) => index.numberOf(idText(id)) ?? []);
  const topics = new Set(batch.map(topicOf));
  return new Set([...known, ...[...topics].flatMap((topic) => index.from(from, topic))]);
};

/** The same of what is not stored yet. */
const isRelated = (oldest: Entry, batch: Batch): (remote: RemoteEntry) => boolean => {
  const ids = new Set(batch?.map(({ idString }) => idString));
  const topics = new Set(batch?.map(topicOf));
  return ({ entry }) =>
    ids.has(entry.idString) ||
    (Entry.Order(entry, oldest) >= 0 && (batch === undefined || topics.has(topicOf(entry))));
};

const make = Effect.gen(function* () {
  const log = yield* Log;
  const { remoteId, signingKey } = yield* Identities.make(log, yield* ServerClock, use);
  const storeOf = yield* Stores.make(log, use, format);
  const { within, write, view } = Transaction.make(storeOf);

  const readNumbers = Effect.fnUntraced(function* (
    { store }: Transaction.View,
    numbers: ReadonlySet<number>,
  ) {
    const places = new Set([...numbers].flatMap((number) => store.index.placeOf(number) ?? []));
    const records = yield* Effect.forEach(places, store.read, { concurrency: together });
    return records.flatMap(entriesOf)
      .filter(({ remoteSequence }) => numbers.has(remoteSequence))
      .sort((a, b) => a.remoteSequence - b.remoteSequence);
  });

  const following = (storeId: string, from: number) =>
    storeOf(storeId).pipe(
      Effect.map(({ follow }) => follow(from)),
      Stream.unwrap,
      Stream.map(entriesOf),
      Stream.flattenIterable,
      Stream.filter(({ remoteSequence }) => remoteSequence >= from),
    );

  return Storage.of({
    getId: Effect.succeed(remoteId),
    firstSequence: 1,
    getOrCreateSessionAuthBinding: (publicKey, signingPublicKey) =>
      Stores.failing(signingKey(publicKey, signingPublicKey)),
    withTransaction: within,
    write,

    entriesAfter: (storeId, oldest, batch) =>
      view(storeId, (view) =>
        Effect.map(
          readNumbers(view, relatedTo(view.store.index, oldest, batch)),
          (stored) => [...stored, ...view.written.filter(isRelated(oldest, batch))],
        )).pipe(Stores.failing),

    changes: ({ storeId, startSequence, compactors }) =>
      Effect.gen(function* () {
        if (compactors.size === 0) return following(storeId, startSequence);
        const { index, refresh } = yield* storeOf(storeId);
        yield* refresh;
        const { head } = index;
        if (head < startSequence) return following(storeId, startSequence);
        const backlog = following(storeId, startSequence).pipe(
          Stream.takeUntil(({ remoteSequence }) => remoteSequence === head),
          Stream.grouped(compactedTogether),
          Stream.mapEffect((remoteEntries) => compactBacklog({ remoteEntries, compactors })),
          Stream.flattenIterable,
        );
        return Stream.concat(backlog, following(storeId, head + 1));
      }).pipe(Stream.unwrap, Stores.failingStream),
  });
});

/** Stores of the namespace, by their ids. */
export const layer: Layer.Layer<Storage, AppendError | ReadError, Log | ServerClock> = Layer.effect(
  Storage,
  make,
);
