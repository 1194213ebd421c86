/**
 * Writing replies. Each is appended under the lock of its shard, as this process took it: the log
 * refuses whoever lost it, however late that is noticed, so that nobody ends a request that another
 * is at. Without a lock it is written only where there never was one. What was replied is taken back
 * by whoever still finds it to be the last.
 */
import { randomUUID } from "node:crypto";
import type * as Reply from "effect/cluster/Reply";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import {
  type ClusterCallRecord,
  clusterCallRecord,
  clusterReplyRecord,
} from "../../schema/cluster_message_record.ts";
import { AlreadyExists, InvalidInput } from "../../schema/errors.ts";
import { nonceOfId } from "../fence.ts";
import type { AppendError, Entry, Log, ReadError } from "../log.ts";
import { type Address, subjectOf } from "../subjects.ts";
import { callAddress, lockAddress, replyAddress, shardKeyOf } from "./places.ts";
import type { Call } from "./shard_calls.ts";
import type { Inbox } from "./shard_inbox.ts";
import { machineOf, type StoredReplies } from "./stored_replies.ts";
import type { StoredRequests } from "./stored_requests.ts";
import * as Transaction from "./transaction.ts";

/**
 * Larger ones do not go through the lane of their lock, so that the payload is stored under their own
 * name. With replicas the server takes one append under a fence at a time, and the lane spares it the
 * others; it may also refuse one for now, which is then sent again.
 */
const ownLaneBytes = 16 * 1024;

type WriteError = AppendError | ReadError | InvalidInput;

export const make = (
  log: Log["Service"],
  inbox: Inbox,
  replies: StoredReplies,
  requests: StoredRequests,
) => {
  const { layout } = log;
  /** What the ids of this process's replies begin with. */
  const instance = randomUUID();
  const nonces = new Set<string>([instance]);
  let written = 0;

  const idFor = ({ shard: { fence } }: Call): string => {
    if (fence === undefined) return `${instance}.${written++}`;
    nonces.add(fence.nonce);
    return fence.nextId();
  };

  const repliesAddress = (entity: Address, requestId: string): Address =>
    replyAddress(entity, machineOf(requestId), requestId);

  /** Nothing, if the reply is stored already, or else that there is another exit. */
  const settled = Effect.fnUntraced(function* (
    entity: Address,
    reply: Reply.Encoded,
  ): Effect.fn.Return<boolean, WriteError> {
    // A replica that lags behind would say of what is stored that it is not.
    const { sequence: through } = yield* log.tail(entity.shard);
    const found = yield* replies.all(entity, reply.requestId, through);
    if (found.some((stored) => stored.reply.id === reply.id)) return true;
    const exit = found.find((stored) => stored.reply._tag === "WithExit");
    if (exit === undefined) return false;
    const subject = subjectOf(repliesAddress(entity, reply.requestId), "reply");
    return yield* new AlreadyExists({ subject, sequence: exit.sequence });
  });

  const note = (call: Call, reply: Reply.Encoded): void => {
    if (reply._tag === "WithExit") call.shard.end(reply.requestId);
    else call.shard.chunk(reply.requestId, reply);
    replies.changed(reply.requestId);
  };

  const append = Effect.fnUntraced(function* (call: Call, reply: Reply.Encoded) {
    const { entity, shard } = call;
    if (call.ending === reply.id || call.lastSent?.id === reply.id) return;
    if (call.ending !== undefined) {
      const rule = "a request has one exit, and another is about to be committed";
      return yield* new InvalidInput({ what: "reply", value: reply.id, rule });
    }
    if (call.uncertain) {
      const isStored = yield* settled(entity, reply).pipe(
        Effect.tapErrorTag("AlreadyExists", () => inbox.open([call])),
      );
      if (isStored) return note(call, reply);
      call.uncertain = false;
    }
    const lock = lockAddress(layout, shard.key);
    const of = repliesAddress(entity, reply.requestId);
    const body = clusterReplyRecord.encode({
      kind: reply._tag === "WithExit" ? "exit" : "chunk",
      request: call.sequence,
      reply: reply as unknown as Schema.Json,
    });
    if (reply._tag === "WithExit") call.ending = reply.id;
    yield* Transaction.store(log, {
      to: body.length > ownLaneBytes ? of : lock,
      messages: [{
        kind: "reply",
        of,
        body,
        guard: shard.fence ?? { after: 0, subject: subjectOf(lock, "lock") },
        id: idFor(call),
      }],
      onStored: () => Effect.sync(() => note(call, reply)),
      onFailed: () => {
        call.ending = undefined;
        call.uncertain = true;
        if (shard.fence?.lost === true) shard.end(reply.requestId);
      },
    });
  });

  /** 1 write. */
  const save = Effect.fnUntraced(function* (reply: Reply.Encoded) {
    const { requestId } = reply;
    if (inbox.call(requestId) === undefined) {
      const entity = yield* requests.locate(requestId);
      if (entity === undefined) return;
      yield* inbox.ensure([shardKeyOf(entity)]);
      if (inbox.call(requestId) === undefined) {
        yield* settled(entity, reply);
        return;
      }
    }
    const call = inbox.call(requestId)!;
    yield* call.shard.turn.withPermit(
      Effect.suspend((): Effect.Effect<unknown, WriteError> =>
        inbox.call(requestId) === call ? append(call, reply) : settled(call.entity, reply)
      ),
    );
  });

  /** 1 read and 1 batch. */
  const clear = Effect.fnUntraced(function* (requestId: string, expectedReplyId?: string) {
    const entity = yield* requests.locate(requestId);
    if (entity === undefined) return;
    const of = repliesAddress(entity, requestId);
    const last = Option.getOrUndefined(yield* log.last(of, "reply"));
    const record = last && (yield* clusterReplyRecord.decode(last.body, last));
    if (last === undefined || record === undefined || !("reply" in record)) {
      if (expectedReplyId === undefined) {
        inbox.release((call) => call.envelope.requestId === requestId);
      }
      return;
    }
    const { id } = record.reply as unknown as Reply.Encoded;
    if (expectedReplyId !== undefined && id !== expectedReplyId) return;
    const { request } = record;
    const to = callAddress(entity, "reset", requestId);
    const reset: ClusterCallRecord = { kind: "reset", requestId, request };
    yield* Transaction.store(log, {
      to,
      messages: [
        {
          kind: "reply",
          of,
          body: clusterReplyRecord.encode({ kind: "cleared", request }),
          guard: { after: last.sequence },
          replaces: true,
        },
        { kind: "call", body: clusterCallRecord.encode(reset), replaces: true },
      ],
      onStored: (sequence) => {
        replies.changed(requestId);
        return inbox.stored(to, sequence + 1, reset);
      },
    });
  }, Effect.retry({ while: ({ _tag }) => _tag === "SequenceConflict" }));

  return {
    save,
    clear,
    /** Whether this process wrote a reply, and has told whoever waits here. */
    isOwn: ({ id }: Entry): boolean => nonces.has(nonceOfId(id ?? "") ?? ""),
  };
};
