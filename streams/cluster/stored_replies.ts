/**
 * The replies to requests, for whoever asked. Those for a machine are followed while somebody waits
 * for one, so that asking again costs nothing as long as there is no news, and a reply that another
 * process wrote is heard of at once. It writes nothing.
 */
import type * as Envelope from "effect/cluster/Envelope";
import type * as Reply from "effect/cluster/Reply";
import { machineId, Snowflake } from "effect/cluster/Snowflake";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as RcMap from "effect/RcMap";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { clusterCallRecord, clusterReplyRecord } from "../../schema/cluster_message_record.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import { type Address, subjectOf } from "../subjects.ts";
import { callAddress, machineRepliesFilter, replyAddress, requestOfReply } from "./places.ts";

/** A reply, and where it is. */
export interface StoredReply {
  readonly sequence: number;
  readonly reply: Reply.Encoded;
}

/** What is known of the replies for one machine in one shard of the log, while they are followed. */
export interface Followed {
  /** From where on nothing is missed. */
  readonly from: number;
  /** Requests that had no further reply when they were read, and have had none since. */
  readonly quiet: Set<string>;
}

const followedFor = "2 minutes";
const readAgain = "1 second";
/** Beyond, they are forgotten, and read again. */
const maxQuiet = 100_000;

export const machineOf = (requestId: string): number => machineId(Snowflake(requestId));

/** What a subject of replies says: all chunks and the exit, since they were last cleared. */
export const repliesIn = Effect.fnUntraced(function* (entries: ReadonlyArray<Entry>) {
  let replies: Array<StoredReply> = [];
  for (const entry of entries) {
    const record = yield* clusterReplyRecord.decode(entry.body, entry);
    if (record.kind === "cleared") replies = [];
    else if (record.kind !== "retired") {
      const reply = record.reply as unknown as Reply.Encoded;
      replies.push({ sequence: entry.sequence, reply });
    }
  }
  return replies;
});

export type StoredReplies = Effect.Success<ReturnType<typeof make>>;

export const make = Effect.fnUntraced(function* (
  log: Log["Service"],
  hear: (entry: Entry) => Effect.Effect<void>,
) {
  const { layout } = log;
  const open = new Set<Followed>();

  const followed = yield* RcMap.make({
    lookup: Effect.fnUntraced(function* (name: string) {
      const [shard = 0, machine = 0] = name.split(":").map(Number);
      let { sequence } = yield* log.tail(shard);
      const state: Followed = { from: sequence, quiet: new Set() };
      yield* Effect.acquireRelease(
        Effect.sync(() => open.add(state)),
        () => Effect.sync(() => open.delete(state)),
      );
      yield* Effect.suspend(() =>
        Stream.runForEach(
          log.follow(machineRepliesFilter(layout, shard, machine), { after: sequence }),
          (entry) =>
            Effect.suspend(() => {
              sequence = entry.sequence;
              state.quiet.delete(requestOfReply(entry.subject));
              return hear(entry);
            }),
        )
      ).pipe(
        Effect.catch((error) => Effect.logWarning("replies were not followed", error)),
        Effect.andThen(Effect.sleep(readAgain)),
        Effect.forever,
        Effect.forkScoped,
      );
      return state;
    }),
    idleTimeToLive: followedFor,
  });

  const followedOf = ({ shard }: Address, requestId: string) =>
    RcMap.get(followed, `${shard}:${machineOf(requestId)}`);

  /** 1 read, or 1 for each shard of the log if it is not known where the entity is. */
  const all = Effect.fnUntraced(function* (
    entity: Address | undefined,
    requestId: string,
    through = 0,
  ) {
    const machine = machineOf(requestId);
    if (entity !== undefined) {
      const subject = subjectOf(replyAddress(entity, machine, requestId), "reply");
      return yield* repliesIn(
        yield* log.readThrough({ shard: entity.shard, subject }, { through }),
      );
    }
    for (let shard = 0; shard < layout.shards; shard++) {
      const filter = machineRepliesFilter(layout, shard, machine, requestId);
      const found = yield* repliesIn(yield* log.readThrough(filter, { through: 0 }));
      if (found.length > 0) return found;
    }
    return [];
  });

  /** How many of the chunks the client has: 1 read, if there are chunks. */
  const ackedOf = Effect.fnUntraced(function* (
    entity: Address,
    requestId: string,
    replies: ReadonlyArray<StoredReply>,
  ) {
    if (!replies.some(({ reply }) => reply._tag === "Chunk")) return 0;
    const found = yield* log.last(callAddress(entity, "ack", requestId), "call");
    if (Option.isNone(found)) return 0;
    const record = yield* clusterCallRecord.decode(found.value.body, found.value);
    if (record.kind !== "ack") return 0;
    const { replyId } = record.envelope as unknown as Envelope.AckChunkEncoded;
    return replies.findIndex(({ reply }) => reply.id === replyId) + 1;
  });

  /** The exit and the chunks that the client does not have. */
  const unreceived = Effect.fnUntraced(function* (
    entity: Address | undefined,
    requestId: string,
  ): Effect.fn.Return<ReadonlyArray<StoredReply>, ReadError, Scope.Scope> {
    if (entity === undefined) return yield* all(entity, requestId);
    const state = yield* followedOf(entity, requestId);
    if (state.quiet.has(requestId)) return [];
    // First, so that what comes while this reads is not taken for read.
    if (state.quiet.size >= maxQuiet) state.quiet.clear();
    state.quiet.add(requestId);
    const forgetQuiet = Effect.sync(() => state.quiet.delete(requestId));
    const replies = yield* Effect.onError(
      all(entity, requestId, state.from),
      () => forgetQuiet,
    );
    const found = replies.slice(yield* ackedOf(entity, requestId, replies));
    if (found.length > 0) yield* forgetQuiet;
    return found;
  }, Effect.scoped);

  /** What whoever asks again has received: the exit, or the last chunk that was acknowledged. */
  const received = Effect.fnUntraced(function* (entity: Address, requestId: string) {
    const replies = yield* all(entity, requestId);
    const [first] = replies;
    if (first?.reply._tag === "WithExit") return Option.some(first.reply);
    const acked = yield* ackedOf(entity, requestId, replies);
    return Option.fromUndefinedOr(replies[acked - 1]?.reply);
  });

  return {
    all,
    unreceived,
    received,
    /** Keeps the replies for the machine of a request followed, as long as the scope is open. */
    follow: followedOf,
    /** There are new replies to a request. */
    changed: (requestId: string): void => {
      for (const { quiet } of open) quiet.delete(requestId);
    },
  };
});
