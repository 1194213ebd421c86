/**
 * Reading the log: pages of direct batch reads for what is stored, an ordered consumer for what is
 * to come, and the leader's own answer where a stale follower would mislead. One filter per read,
 * since several on one consumer are a hundred times slower. Records are not decoded here.
 */
import {
  DeliverPolicy,
  type NextMsgRequest,
  type SeqMsgRequest,
  type StoredMsg,
} from "@nats-io/jetstream";
import { JetStreamStatusError } from "@nats-io/jetstream/internal";
import type { MsgHdrs } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { ServerRefused, Unavailable } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import type { Entry, Log, ReadOptions } from "../log.ts";
import {
  type Address,
  type Filter,
  type Kind,
  type Layout,
  streamName,
  subjectOf,
} from "../subjects.ts";
import { objectHeader, type Spill } from "./spill.ts";

const pageMessages = 256;
const pageBytes = 4 * 1024 * 1024;
const pageTimeoutMs = 5_000;

/** The server's way of saying that nothing matches. */
const isNotFound = (error: Error): boolean =>
  error instanceof JetStreamStatusError && error.code === 404;

/** What a stored message looks like, whichever request it was read with. */
interface Stored {
  readonly subject: string;
  readonly seq: number;
  readonly header: MsgHdrs | undefined;
  readonly data: Uint8Array;
  readonly time: Date;
}

interface Found {
  readonly entry: Entry;
  readonly object: string | undefined;
}

interface Page {
  readonly messages: ReadonlyArray<Found>;
  /** Whether the server has further matches. */
  readonly more: boolean;
}

const header = (headers: MsgHdrs | undefined, name: string): string | undefined =>
  headers?.has(name) ? headers.get(name) : undefined;

const found = (shard: number, message: Stored): Found => ({
  entry: {
    shard,
    subject: message.subject,
    sequence: message.seq,
    at: message.time.getTime(),
    id: header(message.header, "Nats-Msg-Id"),
    removed: message.header?.has("KV-Operation") === true ||
      message.header?.has("Nats-Marker-Reason") === true,
    body: message.data,
  },
  // Bucket keys are small: one that claims an object was made by hand, and is judged as it stands.
  object: message.subject.startsWith("$KV.") ? undefined : header(message.header, objectHeader),
});

export const make = Effect.fnUntraced(function* (layout: Layout, replicas: number, spill: Spill) {
  const connection = yield* Connection;
  const { manager, jetStream } = connection;

  const resolve = ({ entry, object }: Found) =>
    object === undefined ? Effect.succeed(entry) : spill.fetch(entry, object);

  const page = (filter: Filter, from: number, upTo: number) =>
    connection.ask(`read ${filter.subject}`, () =>
      new Promise<Page>((settle, reject) => {
        const messages: Array<Found> = [];
        let more = false;
        const timer = setTimeout(() => reject(new Error("no complete answer")), pageTimeoutMs);
        const callback = (done: { readonly err?: Error } | null, message: StoredMsg) => {
          if (done === null) {
            messages.push(found(filter.shard, message));
            more = message.pending > 0;
            return;
          }
          clearTimeout(timer);
          if (done.err === undefined || isNotFound(done.err)) settle({ messages, more });
          else reject(done.err);
        };
        const query = {
          seq: from,
          next_by_subj: filter.subject,
          batch: Math.min(pageMessages, upTo - from + 1),
          max_bytes: pageBytes,
        };
        manager.direct.getBatch(streamName(layout, filter.shard), { ...query, callback }).catch(
          reject,
        );
      }));

  const read = (filter: Filter, { after = 0, upTo = Infinity }: ReadOptions = {}) =>
    Stream.paginate(after + 1, (from) =>
      Effect.gen(function* () {
        if (from > upTo) return [[], Option.none()] as const;
        const { messages, more } = yield* page(filter, from, upTo);
        const within = messages.filter(({ entry }) => entry.sequence <= upTo);
        const last = messages.at(-1)?.entry.sequence;
        const entries = yield* Effect.forEach(within, resolve);
        const next = more && last !== undefined && last < upTo
          ? Option.some(last + 1)
          : Option.none();
        return [entries, next] as const;
      }));

  const follow = (filter: Filter, options: ReadOptions = {}) =>
    Stream.unwrap(Effect.gen(function* () {
      const operation = `follow ${filter.subject}`;
      const consumer = yield* connection.ask(
        operation,
        () =>
          jetStream.consumers.get(streamName(layout, filter.shard), {
            filter_subjects: filter.subject,
            deliver_policy: DeliverPolicy.StartSequence,
            opt_start_seq: (options.after ?? 0) + 1,
          }),
      );
      const messages = yield* Effect.acquireRelease(
        connection.ask(operation, () => consumer.consume({ max_messages: pageMessages })),
        (messages) => Effect.promise(() => messages.close()),
      );
      const lost = (cause: unknown) =>
        new Unavailable({ operation, reason: "the subscription ended", landed: "no", cause });
      return Stream.fromAsyncIterable(messages, lost).pipe(
        Stream.map((message) =>
          found(filter.shard, {
            subject: message.subject,
            seq: message.seq,
            header: message.headers,
            data: message.data,
            time: message.time,
          })
        ),
        Stream.mapEffect(resolve),
        Stream.takeWhile((entry) => entry.sequence <= (options.upTo ?? Infinity)),
      );
    }));

  /** Followers lag behind what was just acknowledged, so with replicas the leader is asked. */
  const lastStored = (stream: string, subject: string): Promise<StoredMsg | null> =>
    (replicas === 1 ? manager.direct : manager.streams).getMessage(stream, {
      last_by_subj: subject,
    });

  const last = (of: Address, kind: Kind) => {
    const subject = subjectOf(of, kind);
    return connection.ask(
      `read ${subject}`,
      () => lastStored(streamName(layout, of.shard), subject),
    ).pipe(
      Effect.flatMap((message) =>
        message === null ? Effect.succeedNone : Effect.asSome(resolve(found(of.shard, message)))
      ),
    );
  };

  const firstAfter = async (shard: number, subject: string, after: number) => {
    const query: SeqMsgRequest & NextMsgRequest = { seq: after + 1, next_by_subj: subject };
    const message = await manager.streams.getMessage(streamName(layout, shard), query);
    return message === null
      ? undefined
      : { sequence: message.seq, id: header(message.header, "Nats-Msg-Id") };
  };

  const tail: Log["Service"]["tail"] = (shard) => {
    const operation = `look up ${streamName(layout, shard)}`;
    return connection.ask(operation, () => manager.streams.info(streamName(layout, shard))).pipe(
      Effect.flatMap((info) => {
        const at = Date.parse((info as { readonly ts?: string }).ts ?? "");
        return Number.isNaN(at)
          ? Effect.fail(
            new ServerRefused({ operation, errorCode: 0, description: "no server time" }),
          )
          : Effect.succeed({ sequence: info.state.last_seq, at });
      }),
    );
  };

  return { read, follow, last, tail, firstAfter };
});
