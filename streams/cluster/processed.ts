/**
 * Removing requests that have had their exit for long, by whoever has their shard. The exit is first
 * replaced by a mark, on condition that it still is the last reply, and the mark goes last: so a
 * request is never there without either, and one that was reset meanwhile stays. With a request goes
 * the knowledge that its primary key was used.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { clusterReplyRecord } from "../../schema/cluster_message_record.ts";
import type { Entry, Log } from "../log.ts";
import { type Address, executionFilter } from "../subjects.ts";
import {
  addressOfSubject,
  callAddress,
  callsFilter,
  entityOfSubject,
  lockAddress,
  replyAddress,
  requestOfReply,
  shardFilter,
} from "./places.ts";
import { machineOf } from "./stored_replies.ts";

const sorts = ["ack", "interrupt", "reset"] as const;

export const make = (log: Log["Service"]) => {
  const { layout } = log;

  const remove = Effect.fnUntraced(function* (entity: Address, entry: Entry, request: number) {
    const requestId = requestOfReply(entry.subject);
    const found = yield* Stream.runHead(
      // Whoever began may have ended when only its payload was gone.
      log.read(callsFilter(layout, entry.shard), {
        after: request - 1,
        upTo: request,
        withLost: true,
      }),
    );
    if (Option.isSome(found)) {
      if (!(yield* log.dropPayloads(addressOfSubject(entity, found.value.subject)))) return;
      yield* log.remove(entry.shard, request);
    }
    for (const sort of sorts) {
      const filter = executionFilter(callAddress(entity, sort, requestId), "call");
      yield* log.purge(filter, { upTo: entry.sequence });
    }
    const replies = replyAddress(entity, machineOf(requestId), requestId);
    if (!(yield* log.dropPayloads(replies))) return;
    yield* log.purge(executionFilter(replies, "reply"), { upTo: entry.sequence });
  });

  const retire = Effect.fnUntraced(function* (entry: Entry) {
    const record = yield* clusterReplyRecord.decode(entry.body, entry);
    if (record.kind !== "exit" && record.kind !== "retired") return;
    const entity = entityOfSubject(layout, entry.shard, entry.subject);
    if (record.kind === "retired") return yield* remove(entity, entry, record.request);
    const { request } = record;
    const { sequence } = yield* log.append(addressOfSubject(entity, entry.subject), {
      kind: "reply",
      body: clusterReplyRecord.encode({ kind: "retired", request }),
      guard: { after: entry.sequence },
      replaces: true,
    });
    yield* remove(entity, { ...entry, sequence }, request);
    // What cannot be read stays.
  }, Effect.catchTag(["SequenceConflict", "CorruptRecord"], () => Effect.void));

  /** Removes what ended up to a time, in the shard with a key. What fails comes when its mark is as old. */
  return (key: string, upTo: number) =>
    log.read(shardFilter(layout, key, "reply"), { withLost: true }).pipe(
      Stream.takeWhile(({ at }) => at <= upTo),
      Stream.runForEach(retire),
      Effect.catch((error) => Effect.logWarning("processed requests were not removed", error)),
      Effect.annotateLogs("shard", lockAddress(layout, key).label),
    );
};
