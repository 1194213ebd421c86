/**
 * Who waits in this process for a reply that another one writes. While they do, the replies for their
 * machine are followed, and what comes is given to Effect's own reply handlers as if it had just been
 * stored here. Whoever waits where the request is processed is told by that alone.
 */
import type { OutgoingRequest } from "effect/cluster/Message";
import type { MessageStorage } from "effect/cluster/MessageStorage";
import * as Reply from "effect/cluster/Reply";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import type * as Rpc from "effect/rpc/Rpc";
import type * as RpcSerialization from "effect/rpc/RpcSerialization";
import * as Schema from "effect/Schema";
import type { Entry, Log } from "../log.ts";
import { entityAddress, requestOfReply, shardKey } from "./places.ts";
import type { ShardLocks } from "./shard_locks.ts";
import { make as makeReplies, repliesIn, type StoredReply } from "./stored_replies.ts";

type SaveReply = MessageStorage["Service"]["saveReply"];

/** Tells Effect's handlers of a request what came, with what one of them knows to decode it. */
type Tell = (reply: Reply.Encoded, save: SaveReply) => Effect.Effect<void, unknown>;

/** Those who wait for one request. */
interface Waiters {
  readonly tells: Set<Tell>;
  /** The last reply that they were told of. */
  toldThrough: number;
}

const codecFor = Schema.toCodecJson as RpcSerialization.CodecFor;

const tellFor =
  <R extends Rpc.Any>({ rpc, context }: OutgoingRequest<R>): Tell => (encoded, save) =>
    Schema.decodeEffect(Reply.Reply(rpc, codecFor))(encoded).pipe(
      Effect.provideContext(context),
      Effect.flatMap((reply) => save(new Reply.ReplyWithContext({ reply, rpc, context }))),
    );

export const make = Effect.fnUntraced(function* (
  log: Log["Service"],
  locks: ShardLocks["Service"],
  isOwn: (entry: Entry) => boolean,
) {
  const scope = yield* Effect.scope;
  const waiting = new Map<string, Waiters>();
  const heard = new Set<string>();
  let save: SaveReply = () => Effect.void;

  const hand = (requestId: string, { sequence, reply }: StoredReply) =>
    Effect.suspend(() => {
      const waiters = waiting.get(requestId);
      const [tell] = waiters?.tells ?? [];
      if (waiters === undefined || tell === undefined || sequence <= waiters.toldThrough) {
        return Effect.void;
      }
      waiters.toldThrough = sequence;
      heard.add(reply.id);
      return Effect.ensuring(tell(reply, save), Effect.sync(() => heard.delete(reply.id)));
      // The waiting ends with the exit, and must not end the telling.
    }).pipe(Effect.uninterruptible);

  const quietly = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.ignoreCause(effect, { log: "Debug" });

  const hear = (entry: Entry) => {
    const requestId = requestOfReply(entry.subject);
    return !waiting.has(requestId) || isOwn(entry) ? Effect.void : quietly(
      Effect.flatMap(
        repliesIn([entry]),
        Effect.forEach((stored) => hand(requestId, stored), { discard: true }),
      ),
    );
  };

  const replies = yield* makeReplies(log, hear);

  const follow = Effect.fnUntraced(function* ({ envelope }: OutgoingRequest<Rpc.Any>) {
    const requestId = `${envelope.requestId}`;
    const entity = entityAddress(log.layout, envelope.address);
    yield* replies.follow(entity, requestId);
    // It may be there already.
    for (const stored of yield* replies.unreceived(entity, requestId)) {
      yield* hand(requestId, stored);
    }
    return yield* Effect.never;
  }, Effect.scoped);

  const join = (requestId: string, tell: Tell) => {
    const waiters = waiting.get(requestId) ?? { tells: new Set<Tell>(), toldThrough: 0 };
    waiters.tells.add(tell);
    waiting.set(requestId, waiters);
    return () => {
      waiters.tells.delete(tell);
      if (waiters.tells.size === 0) waiting.delete(requestId);
    };
  };

  /** Has a handler hear of what others write, unless this process is the one to do it. */
  const during = <R extends Rpc.Any, A, E>(
    message: OutgoingRequest<R>,
    handler: Effect.Effect<A, E>,
  ): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      const { address, requestId } = message.envelope;
      if (locks.fenceOf(shardKey(address.shardId))?.lost === false) return handler;
      const leave = join(`${requestId}`, tellFor(message));
      const following = quietly(follow(message as unknown as OutgoingRequest<Rpc.Any>));
      // The handler is registered before anything is awaited.
      return Effect.forkIn(following, scope).pipe(
        Effect.flatMap((fiber) => Effect.ensuring(handler, Fiber.interrupt(fiber))),
        Effect.ensuring(Effect.sync(leave)),
      );
    });

  return {
    replies,
    during,
    /** Whether a reply is only to be told of, since it is stored. */
    isHeard: ({ id }: Reply.Encoded): boolean => heard.has(id),
    /** Tells of replies through the storage that Effect made. */
    serve: (saveReply: SaveReply): void => {
      save = saveReply;
    },
  };
});
