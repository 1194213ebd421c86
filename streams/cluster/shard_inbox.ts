/**
 * The messages of the shards that this process has: each shard is read once when it is taken and
 * followed from there, so that what is new, or falls due, is known without asking. What is read here
 * contains all that was stored before the question. Locks are taken elsewhere; a shard whose lock has
 * gone is forgotten, and read anew if it comes back.
 */
import type * as Envelope from "effect/cluster/Envelope";
import type * as Reply from "effect/cluster/Reply";
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import {
  type ClusterCallRecord,
  clusterCallRecord,
  clusterReplyRecord,
} from "../../schema/cluster_message_record.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { type Address, subjectOf } from "../subjects.ts";
import { removeCleared } from "./cleared.ts";
import { make as makeDueCalls } from "./due_calls.ts";
import {
  callsFilter,
  entityOfSubject,
  lockAddress,
  replyAddress,
  requestOfReply,
  shardFilter,
  shardKeyOf,
} from "./places.ts";
import { type Call, ShardCalls } from "./shard_calls.ts";
import type { ShardLocks } from "./shard_locks.ts";
import { machineOf } from "./stored_replies.ts";

export class ShardInbox extends Context.Service<ShardInbox, {
  /**
   * Waits until there is something new to read for the shards of this process, or something fell due.
   * Only one may wait.
   */
  readonly news: Effect.Effect<void>;
}>()("@weir/weir/streams/ShardInbox") {}

/** Where a message was stored. */
type Stored = Pick<Entry, "shard" | "subject" | "sequence">;

/** How far one shard of the log has been read. */
interface Position {
  readonly shard: number;
  /** Who reads on does so after the others. */
  readonly turn: Semaphore.Semaphore;
  seen: number;
  /** Own messages that are known from the server's answer, and have not been read yet. */
  readonly ahead: Set<number>;
}

const readAtOnce = 16;
const readAgain = "1 second";
/** So long does whoever clears an entity have to remove what it was asked. */
const removeAfter = "10 seconds";

export type Inbox = Effect.Success<ReturnType<typeof make>>;

export const make = Effect.fnUntraced(function* (
  log: Log["Service"],
  locks: ShardLocks["Service"],
) {
  const { layout } = log;
  const scope = yield* Effect.scope;
  const news = yield* Queue.sliding<void>(1);
  const loading = yield* Semaphore.make(1);
  const positions = new Map<number, Position>();
  const shards = new Map<string, ShardCalls>();
  const calls = new Map<string, Call>();
  /** What came for a shard while it was being read. */
  const waiting = new Map<
    ShardCalls,
    Array<readonly [stored: Stored, record: ClusterCallRecord]>
  >();

  const tell = (): void => {
    Queue.offerUnsafe(news, undefined);
  };
  const delay = yield* makeDueCalls(
    (call) => calls.get(call.envelope.requestId) === call,
    tell,
  );

  /** Removes what entities were asked before they were cleared; if that fails, again. */
  const removeLater = (cleared: Iterable<readonly [entity: Address, before: number]>) =>
    Effect.forEach(
      cleared,
      ([entity, before]) =>
        Effect.retry(removeCleared(log, entity, before), Schedule.spaced(removeAfter)),
      { discard: true },
    ).pipe(Effect.delay(removeAfter), Effect.ignore, Effect.forkIn(scope), Effect.asVoid);

  const isCurrent = ({ key, fence }: ShardCalls): boolean =>
    fence?.lost !== true && locks.fenceOf(key) === fence;

  const entityOf = ({ shard, subject }: Pick<Stored, "shard" | "subject">): Address =>
    entityOfSubject(layout, shard, subject);

  const skip = ({ subject, sequence }: Entry, error: unknown) =>
    Effect.andThen(
      Metric.update(skippedRecords, 1),
      Effect.logWarning(
        `message ${sequence} at ${subject} is passed over: nobody can read it`,
        error,
      ),
    );

  const callOf = (entry: Entry) =>
    entry.removed ? Effect.undefined : clusterCallRecord.decode(entry.body, entry).pipe(
      // Also what a newer release wrote: that it does not know it is no reason to stop for all others.
      Effect.catch((error) => Effect.as(skip(entry, error), undefined)),
    );

  const addRequest = (
    shard: ShardCalls,
    entry: Stored,
    record: ClusterCallRecord & { readonly kind: "request" },
    now: number,
  ): void => {
    const { envelope, deliverAt = 0 } = record;
    const entity = entityOf(entry);
    const request = envelope as unknown as Envelope.PartialRequestEncoded;
    delay(shard.add(entity, request, entry.sequence, deliverAt), now);
  };

  /** A request that had its exit, and is to be processed again. */
  const addAgain = Effect.fnUntraced(function* (shard: ShardCalls, at: number, sequence: number) {
    const filter = callsFilter(layout, at);
    const found = yield* Stream.runHead(
      log.read(filter, { after: sequence - 1, upTo: sequence, withLost: true }),
    );
    if (Option.isNone(found)) return;
    const record = yield* callOf(found.value);
    const now = yield* Clock.currentTimeMillis;
    if (record?.kind === "request") addRequest(shard, found.value, record, now);
  });

  const apply = Effect.fnUntraced(function* (
    shard: ShardCalls,
    entry: Stored,
    record: ClusterCallRecord,
  ) {
    const { sequence } = entry;
    switch (record.kind) {
      case "request":
        addRequest(shard, entry, record, yield* Clock.currentTimeMillis);
        break;
      case "ack":
        shard.ack(sequence, record.envelope as unknown as Envelope.AckChunkEncoded);
        break;
      case "interrupt":
        shard.interrupt(sequence, record.envelope as unknown as Envelope.InterruptEncoded);
        break;
      case "reset":
        if (!shard.reset(record.requestId)) yield* addAgain(shard, entry.shard, record.request);
        break;
      case "cleared":
        shard.clear(entityOf(entry), sequence);
    }
  });

  const receiveAs = (
    shard: ShardCalls,
    entry: Stored,
    record: ClusterCallRecord,
  ): Effect.Effect<void, ReadError> => {
    const later = waiting.get(shard);
    if (later !== undefined) return Effect.sync(() => later.push([entry, record]));
    if (entry.sequence <= shard.through) return Effect.void;
    return Effect.andThen(
      apply(shard, entry, record),
      Effect.sync(tell),
    );
  };

  /** The shard that an entry belongs to, if it is one of this process. */
  const shardOf = ({ shard, subject }: Pick<Stored, "shard" | "subject">) => {
    const found = shards.get(shardKeyOf(entityOf({ shard, subject })));
    if (found === undefined || isCurrent(found)) return found;
    shards.delete(found.key);
    found.leave();
    return undefined;
  };

  const receive = Effect.fnUntraced(function* (position: Position, entry: Entry) {
    if (entry.sequence <= position.seen) return;
    const shard = shardOf(entry);
    if (shard !== undefined && !position.ahead.has(entry.sequence)) {
      const record = yield* callOf(entry);
      if (record !== undefined) yield* receiveAs(shard, entry, record);
      if (record?.kind === "cleared") {
        yield* removeLater([[entityOf(entry), entry.sequence]]);
      }
    }
    position.ahead.delete(entry.sequence);
    position.seen = entry.sequence;
  });

  const follow = (position: Position) =>
    Effect.suspend(() =>
      Stream.runForEach(
        log.follow(callsFilter(layout, position.shard), {
          after: position.seen,
          withLost: true,
        }),
        (entry) => position.turn.withPermit(receive(position, entry)),
      )
    ).pipe(
      Effect.catch((error) =>
        Effect.logWarning("messages of the cluster were not followed", error)
      ),
      Effect.andThen(Effect.sleep(readAgain)),
      Effect.forever,
    );

  const positionOf = Effect.fnUntraced(function* (shard: number) {
    const known = positions.get(shard);
    if (known !== undefined) return known;
    const { sequence: seen } = yield* log.tail(shard);
    const turn = Semaphore.makeUnsafe(1);
    const position: Position = { shard, turn, seen, ahead: new Set() };
    positions.set(shard, position);
    yield* Effect.forkIn(follow(position), scope);
    return position;
  });

  /** Reads what has been stored and was not delivered yet: 1 request to the leader, if there is none. */
  const catchUp = (position: Position) =>
    position.turn.withPermit(Effect.gen(function* () {
      const filter = callsFilter(layout, position.shard);
      for (;;) {
        const after = position.seen;
        const place = yield* log.next(filter, after);
        if (Option.isNone(place)) return;
        const through = place.value.sequence;
        if (position.ahead.delete(through)) {
          position.seen = through;
          continue;
        }
        const entries = yield* log.readThrough(filter, { after, through, withLost: true });
        for (const entry of entries) yield* receive(position, entry);
        // It may have been removed since.
        position.seen = Math.max(position.seen, through);
      }
    }));

  /** The requests that have an exit, where they are, and the chunks of those that have none. */
  const repliesOf = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>) {
    const done = new Set<string>();
    const places = new Set<number>();
    const chunks = new Map<string, ReadonlyArray<Reply.ChunkEncoded>>();
    for (const entry of entries) {
      const requestId = requestOfReply(entry.subject);
      const record = yield* clusterReplyRecord.decode(entry.body, entry).pipe(
        // Nobody knows what it was, and what was done is not done again.
        Effect.catchTag(
          "CorruptRecord",
          (error) => Effect.as(skip(entry, error), { kind: "retired", request: 0 } as const),
        ),
      );
      if (record.kind === "chunk") {
        const chunk = record.reply as unknown as Reply.ChunkEncoded;
        chunks.set(requestId, [...chunks.get(requestId) ?? [], chunk]);
      } else if (record.kind === "cleared") {
        done.delete(requestId);
        places.delete(record.request);
        chunks.delete(requestId);
      } else {
        done.add(requestId);
        places.add(record.request);
      }
    }
    return { done, places, chunks };
  });

  /** Reads all that a shard has, apart from what it is done with: 2 requests, if it has little. */
  const read = Effect.fnUntraced(function* (shard: ShardCalls, through: number) {
    const [replies, messages] = yield* Effect.all([
      log.readThrough(shardFilter(layout, shard.key, "reply"), { through, withLost: true }),
      log.readThrough(shardFilter(layout, shard.key, "call"), { through, withLost: true }),
    ], { concurrency: 2 });
    const { done, places, chunks } = yield* repliesOf(replies);
    const cleared = new Map<string, number>();
    for (const entry of messages) {
      if (entry.sequence > through) break;
      // Also that of which a sweep has removed the payload already.
      if (places.has(entry.sequence)) continue;
      const record = yield* callOf(entry);
      if (record === undefined || (record.kind !== "cleared" && done.has(record.requestId))) {
        continue;
      }
      if (record.kind === "cleared") cleared.set(entityOf(entry).tail, entry.sequence);
      // What was reset is there, since it is not done with.
      if (record.kind === "reset") shard.reset(record.requestId);
      else yield* apply(shard, entry, record);
      if (record.kind === "request" || record.kind === "reset") {
        for (const chunk of chunks.get(record.requestId) ?? []) {
          shard.chunk(record.requestId, chunk);
        }
      }
    }
    const left = new Map<string, readonly [entity: Address, before: number]>();
    for (const entry of cleared.size === 0 ? [] : [...messages, ...replies]) {
      const entity = entityOf(entry);
      const before = cleared.get(entity.tail) ?? 0;
      if (entry.sequence < before) left.set(entity.tail, [entity, before]);
    }
    if (left.size > 0) yield* removeLater(left.values());
  });

  const forget = (shard: ShardCalls): void => {
    waiting.delete(shard);
    if (shards.get(shard.key) === shard) shards.delete(shard.key);
    shard.empty();
  };

  const begin = (key: string): ShardCalls => {
    const shard = new ShardCalls(key, locks.fenceOf(key), calls);
    shards.get(key)?.empty();
    shards.set(key, shard);
    waiting.set(shard, []);
    return shard;
  };

  const finish = Effect.fnUntraced(function* (shard: ShardCalls, through: number) {
    yield* read(shard, through);
    shard.through = through;
    const later = waiting.get(shard) ?? [];
    for (let next = later.shift(); next !== undefined; next = later.shift()) {
      const [entry, record] = next;
      if (entry.sequence > through) yield* apply(shard, entry, record);
    }
    waiting.delete(shard);
  });

  /** Whatever is stored meanwhile is kept back for those that are being read. */
  const load = Effect.fnUntraced(function* (at: number, keys: ReadonlyArray<string>) {
    yield* positionOf(at);
    const begun = keys.map(begin);
    yield* Effect.flatMap(
      log.tail(at),
      ({ sequence }) =>
        Effect.forEach(begun, (shard) => finish(shard, sequence), {
          concurrency: readAtOnce,
          discard: true,
        }),
    ).pipe(
      Effect.onError(() =>
        Effect.sync(() => begun.filter((shard) => waiting.has(shard)).forEach(forget))
      ),
    );
  });

  const logShardsOf = (keys: ReadonlyArray<string>): ReadonlyMap<number, ReadonlyArray<string>> => {
    const found = new Map<number, Array<string>>();
    for (const key of keys) {
      const { shard } = lockAddress(layout, key);
      const others = found.get(shard);
      if (others === undefined) found.set(shard, [key]);
      else others.push(key);
    }
    return found;
  };

  const isLoaded = (key: string): boolean => {
    const shard = shards.get(key);
    return shard !== undefined && shard.fence === locks.fenceOf(key) && !waiting.has(shard);
  };

  /** Makes sure that the shards have been read under the locks of now. */
  const ensure = (keys: ReadonlyArray<string>): Effect.Effect<void, ReadError> =>
    Effect.suspend(() =>
      keys.every(isLoaded) ? Effect.void : loading.withPermit(Effect.suspend(() =>
        Effect.forEach(
          logShardsOf(keys.filter((key) => !isLoaded(key))),
          ([at, missing]) => load(at, missing),
          { discard: true },
        )
      ))
    );

  /** Those of some calls that have no exit: 1 read for each that may have one nobody heard of. */
  const open = (some: ReadonlyArray<Call>): Effect.Effect<ReadonlyArray<Call>, ReadError> =>
    Effect.filter(
      some,
      Effect.fnUntraced(function* (call) {
        if (!call.uncertain) return true;
        const { entity, envelope: { requestId } } = call;
        const position = yield* positionOf(entity.shard);
        // What clears the exit meanwhile is heard of afterwards, and reads the request again.
        return yield* position.turn.withPermit(Effect.gen(function* () {
          const of = replyAddress(entity, machineOf(requestId), requestId);
          const { done } = yield* repliesOf(Option.toArray(yield* log.last(of, "reply")));
          if (done.has(requestId) && calls.get(requestId) === call) call.shard.end(requestId);
          return calls.get(requestId) === call;
        }));
      }),
    );

  /** What is to be processed in some shards, in the order in which it was stored. */
  const unprocessed = Effect.fnUntraced(function* (
    keys: ReadonlyArray<string>,
    now: number,
    which: (call: Call) => boolean,
    limit: number,
  ) {
    yield* ensure(keys);
    yield* Effect.forEach(
      logShardsOf(keys).keys(),
      (at) => Effect.flatMap(positionOf(at), catchUp),
      { concurrency: "unbounded", discard: true },
    );
    const readable = () => keys.flatMap((key) => [...shards.get(key)?.readable(now, which) ?? []]);
    let found = readable();
    const inDoubt = found.flatMap(({ call }) => call.uncertain ? [call] : []);
    if (inDoubt.length > 0) {
      yield* open(inDoubt);
      found = readable();
    }
    found.sort((one, other) => one.readable.sequence - other.readable.sequence);
    const claimed = found.slice(0, limit);
    for (const { readable } of claimed) readable.claimedAt = now;
    return claimed;
  });

  /** Takes note of a message that this process stored, before it comes back. */
  const stored = Effect.fnUntraced(function* (
    to: Address,
    sequence: number,
    record: ClusterCallRecord,
  ) {
    const position = positions.get(to.shard);
    if (position === undefined) return;
    yield* position.turn.withPermit(Effect.suspend(() => {
      if (sequence <= position.seen) return Effect.void;
      const entry = { shard: to.shard, subject: subjectOf(to, "call"), sequence };
      const shard = shardOf(entry);
      // If this fails, it comes back as another's would.
      return Effect.andThen(
        shard === undefined ? Effect.void : receiveAs(shard, entry, record),
        Effect.sync(() => position.ahead.add(sequence)),
      );
    }));
  }, (effect) => Effect.ignore(effect));

  return {
    news: Queue.take(news),
    ensure,
    unprocessed,
    open,
    removeLater,
    stored,
    /** A request that has no exit, of a shard that has been read. */
    call: (requestId: string): Call | undefined => calls.get(requestId),
    /** Gives the claims of some calls back. */
    release: (which: (call: Call) => boolean): void => {
      for (const shard of shards.values()) shard.release(which);
    },
  };
});
