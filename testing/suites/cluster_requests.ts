/** Requests to entities and replies to them, as Effect's cluster hands them to its storage. */
import * as DeliverAt from "effect/cluster/DeliverAt";
import * as EntityAddress from "effect/cluster/EntityAddress";
import * as EntityId from "effect/cluster/EntityId";
import * as EntityType from "effect/cluster/EntityType";
import * as Envelope from "effect/cluster/Envelope";
import * as Message from "effect/cluster/Message";
import * as Reply from "effect/cluster/Reply";
import * as ShardId from "effect/cluster/ShardId";
import * as Snowflake from "effect/cluster/Snowflake";
import * as Context from "effect/Context";
import * as DateTime from "effect/DateTime";
import * as Effect from "effect/Effect";
import * as Headers from "effect/http/Headers";
import * as Option from "effect/Option";
import * as PrimaryKey from "effect/PrimaryKey";
import * as Rpc from "effect/rpc/Rpc";
import * as RpcSchema from "effect/rpc/RpcSchema";
import * as Schema from "effect/Schema";

export const Plain = Rpc.make("Plain", { payload: { n: Schema.Number }, success: Schema.String });

class KeyedPayload extends Schema.Class<KeyedPayload>("KeyedPayload")({ key: Schema.String }) {
  [PrimaryKey.symbol](): string {
    return this.key;
  }
}
const Keyed = Rpc.make("Keyed", { payload: KeyedPayload, success: Schema.String });

class LaterPayload extends Schema.Class<LaterPayload>("LaterPayload")({ at: Schema.Number }) {
  [DeliverAt.symbol](): DateTime.DateTime {
    return DateTime.makeUnsafe(this.at);
  }
}
const Later = Rpc.make("Later", { payload: LaterPayload, success: Schema.String });

export const Many = Rpc.make("Many", {
  payload: { n: Schema.Number },
  success: RpcSchema.Stream(Schema.String, Schema.Never),
});

/** Ids of requests and replies. */
export const ids = Effect.runSync(Snowflake.makeGenerator);

/** An address of an entity for the cases of one service. */
export const addressOf = (entityId: string, shard = 1, entityType = "test") =>
  EntityAddress.make({
    shardId: ShardId.make("default", shard),
    entityType: EntityType.make(entityType),
    entityId: EntityId.make(entityId),
  });

const requestOf = <R extends Rpc.Any>(
  rpc: R,
  payload: Rpc.Payload<R>,
  address: EntityAddress.EntityAddress,
  respond: (reply: Reply.Reply<R>) => Effect.Effect<void> = () => Effect.void,
) =>
  new Message.OutgoingRequest<R>({
    envelope: Envelope.makeRequest<R>({
      requestId: ids.nextUnsafe(),
      address,
      tag: rpc._tag as Rpc.Tag<R>,
      payload,
      headers: Headers.empty,
    }),
    annotations: Context.empty(),
    context: Context.empty() as Context.Context<Rpc.Services<R>>,
    rpc,
    lastReceivedReply: Option.none(),
    respond,
  });

/** A request with a number. */
export const plain = (
  n: number,
  address?: EntityAddress.EntityAddress,
  respond?: (reply: Reply.Reply<typeof Plain>) => Effect.Effect<void>,
) => requestOf(Plain, { n }, address ?? addressOf("a"), respond);

/** A request with a primary key. */
export const keyed = (key: string, address = addressOf("a")) =>
  requestOf(Keyed, new KeyedPayload({ key }), address);

/** A request that is handed to nobody before a time. */
export const later = (at: number, address = addressOf("a")) =>
  requestOf(Later, new LaterPayload({ at }), address);

/** A request that is answered with a stream. */
export const many = (
  address?: EntityAddress.EntityAddress,
  respond?: (reply: Reply.Reply<typeof Many>) => Effect.Effect<void>,
) => requestOf(Many, { n: 1 }, address ?? addressOf("a"), respond);

type Outgoing<R extends Rpc.Any> = Message.OutgoingRequest<R>;

/** What a request ends with. */
export const exitOf = <R extends Rpc.Any>(
  { envelope: { requestId }, rpc, context }: Outgoing<R>,
  exit: Rpc.Exit<R>,
) =>
  new Reply.ReplyWithContext<R>({
    reply: new Reply.WithExit<R>({
      id: ids.nextUnsafe(),
      requestId,
      exit,
    }),
    rpc,
    context,
  });

/** A part of the answer. */
export const chunkOf = (
  { envelope: { requestId }, rpc, context }: Outgoing<typeof Many>,
  sequence: number,
) =>
  new Reply.ReplyWithContext<typeof Many>({
    reply: new Reply.Chunk<typeof Many>({
      id: ids.nextUnsafe(),
      requestId,
      sequence,
      values: [`value ${sequence}`],
    }),
    rpc,
    context,
  });

/** That the client has a part. */
export const ackOf = (request: Outgoing<typeof Many>, chunk: Reply.ReplyWithContext<typeof Many>) =>
  new Message.OutgoingEnvelope({
    envelope: new Envelope.AckChunk({
      id: ids.nextUnsafe(),
      address: request.envelope.address,
      requestId: request.envelope.requestId,
      replyId: chunk.reply.id,
    }),
    rpc: Many,
  });

/** That the client wants no answer any more. */
export const interruptOf = ({ envelope: { address, requestId }, rpc }: Outgoing<typeof Plain>) =>
  new Message.OutgoingEnvelope({
    envelope: new Envelope.Interrupt({ id: ids.nextUnsafe(), address, requestId }),
    rpc,
  });

/** The id of a request, whichever side has it. */
export const idOf = (
  { envelope }: { readonly envelope: { readonly requestId: Snowflake.Snowflake } },
) => envelope.requestId;
