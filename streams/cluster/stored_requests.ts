/**
 * What entities are asked, as it is stored: each request once, under its id or its primary key, and
 * the acknowledgements and interrupts that belong to it, of which the last counts. It also knows where
 * the requests are that this process had to do with. It hands nothing to anybody.
 */
import type * as Envelope from "effect/cluster/Envelope";
import { type SaveResult, SaveResultEncoded } from "effect/cluster/MessageStorage";
import { Snowflake } from "effect/cluster/Snowflake";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { type ClusterCallRecord, clusterCallRecord } from "../../schema/cluster_message_record.ts";
import { Timestamp } from "../../schema/ids.ts";
import type { AppendError, Entry, Log, ReadError } from "../log.ts";
import type { Address } from "../subjects.ts";
import { removeCleared } from "./cleared.ts";
import {
  callAddress,
  clearedAddress,
  entityAddress,
  type EntityName,
  entityOfSubject,
  keyedCallAddress,
  machineRepliesFilter,
  primaryKeyFilter,
  requestFilter,
} from "./places.ts";
import type { Inbox } from "./shard_inbox.ts";
import { machineOf, type StoredReplies } from "./stored_replies.ts";
import * as Transaction from "./transaction.ts";

/** How many requests it is known of where they are; of all others it is looked up. */
const maxKnown = 100_000;
/** So long does a process that was cut off still hear that an entity was cleared. */
const clearedForSeconds = 60 * 60;

export type StoredRequests = ReturnType<typeof make>;

export const make = (log: Log["Service"], inbox: Inbox, replies: StoredReplies) => {
  const { layout } = log;
  const logShards = Array.from({ length: layout.shards }, (_, shard) => shard);
  const known = new Map<string, Address>();

  const remember = (requestId: string, entity: Address): void => {
    if (known.size >= maxKnown) known.delete(known.keys().next().value!);
    known.set(requestId, entity);
  };

  /** The entity of a request: 2 reads for each shard of the log, unless it is known. */
  const locate = Effect.fnUntraced(function* (requestId: string) {
    const entity = inbox.call(requestId)?.entity ?? known.get(requestId);
    if (entity !== undefined) return entity;
    for (const shard of logShards) {
      for (
        const filter of [
          requestFilter(layout, shard, requestId),
          machineRepliesFilter(layout, shard, machineOf(requestId), requestId),
        ]
      ) {
        const found = yield* Stream.runHead(log.read(filter));
        if (Option.isNone(found)) continue;
        const entity = entityOfSubject(layout, shard, found.value.subject);
        remember(requestId, entity);
        return entity;
      }
    }
    return undefined;
  });

  /** Whether a request is there that nobody processes any more, since its entity was cleared. */
  const isCleared = (entity: Address, { sequence }: Entry) =>
    Effect.map(
      log.lastSequences(clearedAddress(entity), ["call"]),
      (last) => (last.get("call") ?? 0) > sequence,
    );

  /** The request that is there, and is not void: 3 reads, and 1 more if it has chunks. */
  const duplicate = Effect.fnUntraced(function* (entity: Address, to: Address) {
    const found = Option.getOrUndefined(yield* log.last(to, "call"));
    if (found === undefined) return undefined;
    const record = yield* clusterCallRecord.decode(found.body, found);
    if (record.kind !== "request") return undefined;
    if (yield* isCleared(entity, found)) {
      yield* log.remove(found.shard, found.sequence);
      return undefined;
    }
    const { requestId } = record;
    remember(requestId, entity);
    return SaveResultEncoded.Duplicate({
      originalId: Snowflake(requestId),
      lastReceivedReply: yield* replies.received(entity, requestId),
    });
  });

  const saveRequest = Effect.fnUntraced(function* (
    envelope: Envelope.PartialRequestEncoded,
    primaryKey: string | null,
    deliverAt: number | null,
  ): Effect.fn.Return<SaveResult.Encoded, AppendError | ReadError> {
    const { requestId } = envelope;
    const entity = entityAddress(layout, envelope.address);
    const to = primaryKey === null
      ? callAddress(entity, "request", requestId)
      : keyedCallAddress(entity, primaryKey);
    const inside = yield* Transaction.inside(to);
    if (inside?.write?.requestId !== undefined) {
      return SaveResultEncoded.Duplicate({
        originalId: Snowflake(inside.write.requestId),
        lastReceivedReply: Option.none(),
      });
    }
    const earlier = inside && (yield* duplicate(entity, to));
    if (earlier !== undefined) return earlier;
    const record: ClusterCallRecord = {
      kind: "request",
      requestId,
      envelope: envelope as unknown as Schema.Json,
      ...(deliverAt === null ? {} : { deliverAt: Timestamp.make(Math.ceil(deliverAt)) }),
    };
    const store = Transaction.store(log, {
      to,
      requestId,
      messages: [{ kind: "call", body: clusterCallRecord.encode(record), guard: { after: 0 } }],
      onStored: (sequence) => {
        remember(requestId, entity);
        return inbox.stored(to, sequence, record);
      },
    }).pipe(Effect.as<SaveResult.Encoded>(SaveResultEncoded.Success()));
    return yield* Effect.catchTag(store, "AlreadyExists", () =>
      Effect.flatMap(
        duplicate(entity, to),
        (found): typeof store => found === undefined ? store : Effect.succeed(found),
      ));
  });

  const saveControl = (
    sort: "ack" | "interrupt",
    envelope: Envelope.AckChunkEncoded | Envelope.InterruptEncoded,
  ) => {
    const { requestId } = envelope;
    const to = callAddress(entityAddress(layout, envelope.address), sort, requestId);
    const record: ClusterCallRecord = {
      kind: sort,
      requestId,
      envelope: envelope as unknown as Schema.Json,
    };
    return Effect.as(
      Transaction.store(log, {
        to,
        messages: [{ kind: "call", body: clusterCallRecord.encode(record), replaces: true }],
        onStored: (sequence) => inbox.stored(to, sequence, record),
      }),
      SaveResultEncoded.Success(),
    );
  };

  /** 1 write; 3 or 4 reads more for a duplicate. */
  const save = (
    envelope: Envelope.Encoded,
    primaryKey: string | null,
    deliverAt: number | null,
  ): Effect.Effect<SaveResult.Encoded, AppendError | ReadError> => {
    switch (envelope._tag) {
      case "Request":
        return saveRequest(envelope, primaryKey, deliverAt);
      case "AckChunk":
        return saveControl("ack", envelope);
      case "Interrupt":
        return saveControl("interrupt", envelope);
    }
  };

  /** 1 read for each shard of the log. */
  const withPrimaryKey = Effect.fnUntraced(function* (primaryKey: string) {
    for (const shard of logShards) {
      const found = yield* Stream.runHead(log.read(primaryKeyFilter(layout, shard, primaryKey)));
      if (Option.isNone(found)) continue;
      const record = yield* clusterCallRecord.decode(found.value.body, found.value);
      if (record.kind === "request") return Option.some(Snowflake(record.requestId));
    }
    return Option.none();
  });

  /** 1 write, and what it takes to remove the records. */
  const clear = (name: EntityName) => {
    const entity = entityAddress(layout, name);
    const to = clearedAddress(entity);
    const record: ClusterCallRecord = { kind: "cleared" };
    return Transaction.store(log, {
      to,
      messages: [{
        kind: "call",
        body: clusterCallRecord.encode(record),
        replaces: true,
        ttlSeconds: clearedForSeconds,
      }],
      onStored: (sequence) =>
        Effect.andThen(
          inbox.stored(to, sequence, record),
          Effect.onError(
            removeCleared(log, entity, sequence),
            () => inbox.removeLater([[entity, sequence]]),
          ),
        ),
    });
  };

  return { locate, save, withPrimaryKey, clear };
};
