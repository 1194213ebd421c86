/**
 * Values under keys, in a named store of the namespace: the last value of each key, for a time if one
 * is given. Whoever changes a value does so from what is there, and from nothing else, however many
 * change it at once. It knows nothing of what the values mean.
 */
import * as Effect from "effect/Effect";
import * as Hash from "effect/Hash";
import * as Option from "effect/Option";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { Timestamp } from "../../schema/ids.ts";
import { type KeyedValueRecord, keyedValueRecord } from "../../schema/keyed_value_record.ts";
import type { AppendError, Entry, Log, ReadError } from "../log.ts";
import type { ServerClock } from "../server_clock.ts";
import { type Address, storeAddress, storeFilter } from "../subjects.ts";

export type Content = KeyedValueRecord["content"];

/** What is kept, and until when, if not for good. */
export interface Kept {
  readonly content: Content;
  readonly until?: number;
}

export interface KeyedValues {
  readonly get: (key: string) => Effect.Effect<Content | undefined, ReadError>;
  readonly set: (key: string, kept: Kept) => Effect.Effect<void, AppendError | ReadError>;
  /**
   * Replaces what is there by what follows from it, and gives what else was found; leaves it as it is
   * if nothing follows. The function may be asked again, and must do nothing else.
   */
  readonly update: <A>(
    key: string,
    change: (now: Kept | undefined, ms: number) => readonly [result: A, next: Kept | undefined],
  ) => Effect.Effect<A, AppendError | ReadError>;
  readonly remove: (key: string) => Effect.Effect<void, AppendError>;
  readonly clear: Effect.Effect<void, ReadError>;
  readonly keys: Effect.Effect<ReadonlyArray<string>, ReadError>;
}

/** How long the mark of a removal stays, which is as short as the server allows. */
const markSeconds = 1;

/** How many keys of a process may be changed at once. */
const changedAtOnce = 64;

export const make = (
  log: Log["Service"],
  clock: ServerClock["Service"],
  use: string,
  store: string,
): KeyedValues => {
  const turns = Array.from({ length: changedAtOnce }, () => Semaphore.makeUnsafe(1));
  /** Within a process one after the other: each would only be in the others' way. */
  const inTurn = <A, E>(key: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    turns[(Hash.string(key) >>> 0) % changedAtOnce]!.withPermit(effect);

  const addressOf = (key: string) => storeAddress(log.layout, use, store, key);
  const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);

  const kept = Effect.fnUntraced(function* (entry: Entry, now: number) {
    if (entry.removed) return undefined;
    const { key, content, until } = yield* keyedValueRecord.decode(entry.body, entry);
    if (until !== undefined && until <= now) return undefined;
    return { key, content, ...(until === undefined ? {} : { until }) };
  });

  const look = Effect.fnUntraced(function* (address: Address, now: number) {
    const found = Option.getOrUndefined(yield* log.last(address, "store"));
    const value = found === undefined ? undefined : yield* kept(found, now);
    return { value, revision: found?.sequence ?? 0 };
  });

  const put = (
    address: Address,
    key: string,
    { content, until }: Kept,
    now: number,
    after?: number,
  ) =>
    log.append(address, {
      kind: "store",
      body: keyedValueRecord.encode({
        kind: "value",
        key,
        content,
        ...(until === undefined ? {} : { until: Timestamp.make(Math.ceil(until)) }),
      }),
      replaces: true,
      ...(until === undefined
        ? {}
        : { ttlSeconds: Math.max(markSeconds, Math.ceil((until - now) / 1_000)) }),
      ...(after === undefined ? {} : { guard: { after } }),
    });

  return {
    get: (key) =>
      Effect.flatMap(
        clock.now,
        (now) => Effect.map(look(addressOf(key), now), ({ value }) => value?.content),
      ),
    set: (key, value) =>
      Effect.flatMap(clock.now, (now) => Effect.asVoid(put(addressOf(key), key, value, now))),
    update: (key, change) => {
      const address = addressOf(key);
      const attempt = Effect.gen(function* () {
        const now = yield* clock.now;
        const { value, revision } = yield* look(address, now);
        const [result, next] = change(value, now);
        if (next !== undefined) yield* put(address, key, next, now, revision);
        return result;
      }).pipe(
        // Of all who are in each other's way, one gets through.
        Effect.retry({
          while: ({ _tag }) => _tag === "AlreadyExists" || _tag === "SequenceConflict",
        }),
      );
      return inTurn(key, attempt);
    },
    remove: (key) =>
      Effect.asVoid(log.append(addressOf(key), {
        kind: "store",
        body: new Uint8Array(),
        replaces: true,
        removes: true,
        ttlSeconds: markSeconds,
      })),
    clear: Effect.forEach(
      shards,
      (shard) =>
        Effect.flatMap(
          log.tail(shard),
          ({ sequence: upTo }) => log.purge(storeFilter(log.layout, shard, use, store), { upTo }),
        ),
      {
        concurrency: "unbounded",
        discard: true,
      },
    ),
    keys: Effect.gen(function* () {
      const now = yield* clock.now;
      const found = yield* Effect.forEach(
        shards,
        (shard) =>
          log.read(storeFilter(log.layout, shard, use, store)).pipe(
            Stream.mapEffect((entry) => kept(entry, now)),
            Stream.filter((value) => value !== undefined),
            Stream.map(({ key }) => key),
            Stream.runCollect,
          ),
        { concurrency: "unbounded" },
      );
      return found.flat();
    }),
  };
};
