/**
 * One store of an event log: numbered entries that are never changed, on one subject. Whoever writes
 * does so behind what it has read, so that numbers have no gaps and an id that was looked for is not
 * there twice, however many processes write. It knows nothing of what the entries say.
 */
import * as Data from "effect/Data";
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { CorruptRecord, Unavailable } from "../../schema/errors.ts";
import { eventLogIndexRecord } from "../../schema/event_log_record.ts";
import type { RecordCodec } from "../../schema/record.ts";
import { sharedRead } from "../families/shared_read.ts";
import type { AppendError, Entry, Log, ReadError } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { type Address, executionFilter } from "../subjects.ts";
import { type Place, StoreIndex, type Written } from "./store_index.ts";

/** What a record of entries says whatever is in it. */
interface Numbered {
  readonly first: number;
}

/** Something was stored behind what the writer had read; nothing of the writer's was. */
export class Overtaken extends Data.TaggedError("Overtaken")<{ readonly store: string }> {
  override get message(): string {
    return `Something was written to ${this.store} first, each time. Send it again.`;
  }
}

/** How the entries of a store are written. */
export interface Format<Read extends Numbered> {
  readonly codec: RecordCodec<Read, never>;
  readonly ids: (record: Read) => ReadonlyArray<string>;
  /** What each entry is about, where that can be said. */
  readonly topics?: (record: Read) => ReadonlyArray<string>;
}

export interface StoreLog<Read extends Numbered> {
  readonly index: StoreIndex;
  /** For those of one process who would only be in each other's way. */
  readonly turn: Semaphore.Semaphore;
  /** Learns of all that was stored before. */
  readonly refresh: Effect.Effect<void, ReadError>;
  /** Stores entries, unless something was stored since `after`, a sequence of the index. */
  readonly write: (
    after: number,
    entries: Uint8Array,
  ) => Effect.Effect<void, Overtaken | AppendError>;
  /** What was written at once. */
  readonly read: (place: Place) => Effect.Effect<Read, ReadError>;
  /** What was written and what will be, from that on which has a number; ends only with an error. */
  readonly follow: (number: number) => Stream.Stream<Read, ReadError>;
}

/** How much who comes later reads beside what another has, about; then that is stored. */
const unindexedEntries = 1_000;
const unindexedBytes = 4 * 1024 * 1024;

/** Until a replica has what its leader acknowledged. */
const lookAgain = Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }));

/** What other hands have put there says nothing; what a later release has, must not be missed. */
const decode = <A>({ decode }: RecordCodec<A, never>, entry: Entry) =>
  decode(entry.body, entry).pipe(
    Effect.catchTag(
      "CorruptRecord",
      () => Effect.as(Metric.update(skippedRecords, 1), undefined),
    ),
  );

export const make = <Read extends Numbered>(
  log: Log["Service"],
  address: Address,
  { codec, ids, topics }: Format<Read>,
): StoreLog<Read> => {
  const index = new StoreIndex();
  const entries = executionFilter(address, "entries");
  /** What is stored of the index, and how much was read that is not in it. */
  const indexed = { head: 0, sequence: 0, missingBytes: 0 };

  const written = (record: Read): Written => ({
    first: record.first,
    ids: ids(record),
    ...(topics === undefined ? {} : { topics: topics(record) }),
  });

  const readIndex = Stream.suspend(() =>
    log.read(executionFilter(address, "ids"), { after: indexed.sequence })
  ).pipe(
    Stream.runForEach(Effect.fnUntraced(function* (entry) {
      const record = yield* decode(eventLogIndexRecord, entry);
      indexed.sequence = entry.sequence;
      if (record?.first !== indexed.head + 1) return;
      indexed.head += record.ids.length;
      index.addRead(record);
    })),
  );

  const refresh = sharedRead(Effect.gen(function* () {
    if (index.head === 0) yield* readIndex;
    const through = (yield* log.lastSequences(address, ["entries"])).get("entries") ?? 0;
    if (through <= index.sequence) return;
    for (const entry of yield* log.readThrough(entries, { after: index.sequence, through })) {
      // The index may have been read meanwhile.
      if (entry.sequence <= index.sequence) continue;
      const record = yield* decode(codec, entry);
      indexed.missingBytes += entry.body.length;
      if (record === undefined) index.skip(entry.sequence);
      else if (!index.add(written(record), entry.sequence)) yield* Metric.update(skippedRecords, 1);
    }
  }));

  /** Saves others reading what this process has read; nothing is wrong without it. */
  const storeIndex = Effect.gen(function* () {
    const { head, missingBytes } = indexed;
    if (index.head - head < unindexedEntries && missingBytes < unindexedBytes) return;
    indexed.missingBytes = 0;
    yield* readIndex;
    // Another process was first, or there is nothing to say.
    if (indexed.head > head || index.head === head) return;
    const body = eventLogIndexRecord.encode({ kind: "index", ...index.readAfter(indexed.head) });
    yield* log.append(address, { kind: "ids", body, guard: { after: indexed.sequence } });
  }).pipe(
    Effect.catch((error) => Effect.logDebug(`The index of ${address.label} is not stored`, error)),
  );

  const read = Effect.fnUntraced(function* ({ first, sequence }: Place) {
    const place = { after: sequence - 1, upTo: sequence };
    const operation = `read ${address.label} from ${first}`;
    const behind = new Unavailable({ operation, reason: "a replica lags", landed: "no" });
    const [entry] = yield* Stream.runCollect(log.read(entries, place)).pipe(
      Effect.filterOrFail((found) => found.length > 0, () => behind),
      Effect.retry({ while: (error) => error === behind, schedule: lookAgain }),
    );
    return yield* codec.decode(entry!.body, entry!);
  });

  /** Records from a number on, of which none comes twice or is left out. */
  const following = (number: number, after: number) =>
    Stream.suspend(() => {
      let next = number;
      return log.follow(entries, { after }).pipe(
        Stream.mapEffect(Effect.fnUntraced(function* (entry) {
          const record = yield* decode(codec, entry);
          if (record === undefined || record.first < next) return undefined;
          if (record.first > next) {
            const reason = `it begins with number ${record.first}, and ${next} is missing`;
            return yield* new CorruptRecord({ ...entry, reason });
          }
          next += ids(record).length;
          return record;
        })),
        Stream.filter((record) => record !== undefined),
      );
    });

  return {
    index,
    turn: Semaphore.makeUnsafe(1),
    refresh,
    read,
    write: (after, body) =>
      log.append(address, { kind: "entries", body, guard: { after } }).pipe(
        Effect.catchTags({
          AlreadyExists: () => new Overtaken({ store: address.label }),
          SequenceConflict: () => new Overtaken({ store: address.label }),
        }),
        Effect.andThen(storeIndex),
      ),
    follow: (number) =>
      Stream.unwrap(Effect.map(refresh, () => {
        const place = index.placeOf(Math.max(number, 1));
        return place === undefined
          ? following(index.head + 1, index.sequence)
          : following(place.first, place.sequence - 1);
      })),
  };
};
