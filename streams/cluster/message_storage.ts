/**
 * Effect's `MessageStorage` on the log. A request is stored once, under its id or its primary key; a
 * reply is appended under the lock of its shard; and what a shard has to do is in the memory of
 * whoever has the lock, since nobody else may process it. It takes no lock itself.
 */
import { PersistenceError } from "effect/cluster/ClusterError";
import { makeEncoded, MessageStorage } from "effect/cluster/MessageStorage";
import { fromStringEncoded } from "effect/cluster/ShardId";
import * as Snowflake from "effect/cluster/Snowflake";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schedule from "effect/Schedule";
import { Log } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { entityAddress, type EntityName, shardKey } from "./places.ts";
import { make as makeProcessed } from "./processed.ts";
import { make as makeReplying } from "./replying.ts";
import { type Call, readyOf, unprocessedOf } from "./shard_calls.ts";
import { make as makeInbox, ShardInbox } from "./shard_inbox.ts";
import { ShardLocks } from "./shard_locks.ts";
import { make as makeRequests } from "./stored_requests.ts";
import * as Transaction from "./transaction.ts";
import { make as makeWaiting } from "./waiting.ts";

export interface MessageStorageOptions {
  /**
   * How long a request is kept after its exit; for ever unless said otherwise. Its primary key may be
   * used again afterwards.
   */
  readonly keepProcessed?: Duration.Input;
}

const failed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (cause) => new PersistenceError({ cause }));

const keyOf = (shard: string): string => shardKey(fromStringEncoded(shard));

/** How often it is looked for what is to be removed. */
const sweepEvery = (keep: Duration.Duration): Duration.Duration =>
  Duration.clamp(Duration.divideUnsafe(keep, 10), {
    minimum: Duration.seconds(1),
    maximum: Duration.hours(1),
  });

const make = Effect.fnUntraced(function* (options: MessageStorageOptions) {
  const log = yield* Log;
  const locks = yield* ShardLocks;
  const clock = yield* ServerClock;
  const { layout } = log;
  const inbox = yield* makeInbox(log, locks);
  const waiting = yield* makeWaiting(log, locks, (entry) => replying.isOwn(entry));
  const { replies } = waiting;
  const requests = makeRequests(log, inbox, replies);
  const replying = makeReplying(log, inbox, replies, requests);

  const isOf = (addresses: ReadonlyArray<EntityName>) => {
    const entities = new Set(addresses.map((address) => entityAddress(layout, address).tail));
    return ({ entity }: Call) => entities.has(entity.tail);
  };
  const release = (which: (call: Call) => boolean) => Effect.sync(() => inbox.release(which));

  const storage = yield* makeEncoded({
    saveEnvelope: ({ envelope, primaryKey, deliverAt }) =>
      failed(requests.save(envelope, primaryKey, deliverAt)),
    saveReply: (reply) => waiting.isHeard(reply) ? Effect.void : failed(replying.save(reply)),
    clearReplies: (requestId, options) =>
      failed(replying.clear(`${requestId}`, options?.expectedReplyId?.toString())),
    requestIdForPrimaryKey: (primaryKey) => failed(requests.withPrimaryKey(primaryKey)),
    repliesFor: (requestIds) =>
      Effect.forEach(
        requestIds,
        (requestId) =>
          Effect.flatMap(
            requests.locate(requestId),
            (entity) => replies.unreceived(entity, requestId),
          ),
        { concurrency: "unbounded" },
      ).pipe(Effect.map((found) => found.flat().map(({ reply }) => reply)), failed),
    repliesForUnfiltered: (requestIds) =>
      Effect.forEach(
        requestIds,
        (requestId) =>
          Effect.flatMap(requests.locate(requestId), (entity) => replies.all(entity, requestId)),
        { concurrency: "unbounded" },
      ).pipe(Effect.map((found) => found.flat().map(({ reply }) => reply)), failed),
    unprocessedMessages: (shardIds, now, options) => {
      const addresses = options?.addresses;
      if (addresses?.length === 0) return Effect.succeed([]);
      const which = addresses === undefined ? () => true : isOf(addresses);
      return inbox.unprocessed(shardIds.map(keyOf), now, which, options?.limit ?? Infinity).pipe(
        Effect.map((found) => found.map(unprocessedOf)),
        failed,
      );
    },
    unprocessedMessagesById: (ids, now) =>
      Effect.suspend(() => inbox.open(ids.flatMap((id) => inbox.call(`${id}`) ?? []))).pipe(
        Effect.map((calls) =>
          calls.toSorted((one, other) => one.sequence - other.sequence)
            .flatMap((call) => readyOf(call, now) ?? [])
            .map(unprocessedOf)
        ),
        failed,
      ),
    resetRequests: (ids) => {
      const requestIds = new Set(ids.map(String));
      return release(({ envelope }) => requestIds.has(envelope.requestId));
    },
    resetAddresses: (addresses) => release(isOf(addresses)),
    resetShards: (shardIds) => {
      const keys = new Set(shardIds.map(keyOf));
      return release(({ shard }) => keys.has(shard.key));
    },
    clearAddress: (address) => failed(requests.clear(address)),
    withTransaction: Transaction.withTransaction(log),
  });
  waiting.serve(storage.saveReply);

  if (options.keepProcessed !== undefined) {
    const keep = Duration.fromInputUnsafe(options.keepProcessed);
    const removeProcessed = makeProcessed(log);
    const sweep = Effect.gen(function* () {
      const upTo = (yield* clock.now) - Duration.toMillis(keep);
      for (const key of [...locks.held().keys()]) yield* removeProcessed(key, upTo);
    });
    yield* sweep.pipe(
      Effect.catch((error) => Effect.logWarning("processed requests were not removed", error)),
      Effect.schedule(Schedule.spaced(sweepEvery(keep))),
      Effect.forkScoped,
    );
  }

  const service = MessageStorage.of({
    ...storage,
    registerReplyHandler: (message) =>
      message._tag === "OutgoingRequest"
        ? waiting.during(message, storage.registerReplyHandler(message))
        : storage.registerReplyHandler(message),
  });
  return Context.make(MessageStorage, service).pipe(
    Context.add(ShardInbox, { news: inbox.news }),
  );
});

/** The messages of the namespace. */
export const layer = (
  options: MessageStorageOptions = {},
): Layer.Layer<MessageStorage | ShardInbox, never, Log | ServerClock | ShardLocks> =>
  Layer.effectContext(make(options)).pipe(Layer.provide(Snowflake.layerGenerator));
