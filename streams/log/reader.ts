/**
 * Reading the log: pages of direct batch reads for what is stored, a follower for what is to come, and
 * the leader's own answer where a stale replica would mislead. One filter per read, since several on
 * one consumer are a hundred times slower. Records are not decoded here.
 */
import {
  type BatchCallback,
  type NextMsgRequest,
  type SeqMsgRequest,
  type StoredMsg,
} from "@nats-io/jetstream";
import { JetStreamStatusError } from "@nats-io/jetstream/internal";
import type { MsgHdrs } from "@nats-io/nats-core";
import * as Arr from "effect/Array";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { ServerRefused } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import type { Entry, Log, ReadError, ReadOptions, RemoveError, Tail } from "../log.ts";
import type { Sealing } from "../sealing.ts";
import {
  type Address,
  executionFilter,
  type Filter,
  type Kind,
  type Layout,
  streamName,
  subjectOf,
} from "../subjects.ts";
import { followStream } from "./follower.ts";
import { scheduleOf } from "./schedule.ts";
import { objectHeader, type Spill } from "./spill.ts";
import * as WholeRead from "./whole_read.ts";

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
  readonly headers: MsgHdrs | undefined;
}

interface Page {
  readonly messages: ReadonlyArray<Found>;
  /** Whether the server has further matches. */
  readonly more: boolean;
}

const header = (headers: MsgHdrs | undefined, name: string): string | undefined =>
  headers?.has(name) ? headers.get(name) : undefined;

const foundIn = (sealing: Sealing) => (shard: number, message: Stored): Found => ({
  entry: {
    shard,
    subject: message.subject,
    sequence: message.seq,
    at: message.time.getTime(),
    id: header(message.header, "Nats-Msg-Id"),
    removed: message.header?.has("KV-Operation") === true ||
      message.header?.has("Nats-Marker-Reason") === true,
    body: sealing.open(message.data),
  },
  // Bucket keys are small: one that claims an object was made by hand, and is judged as it stands.
  object: message.subject.startsWith("$KV.") ? undefined : header(message.header, objectHeader),
  headers: message.header,
});

/** What there is of one kind each. */
const byKind = <A>(
  of: Address,
  kinds: ReadonlyArray<Kind>,
  entries: ReadonlyArray<Entry>,
  what: (entry: Entry) => A,
): ReadonlyMap<Kind, A> => {
  const kindOf = new Map(kinds.map((kind) => [executionFilter(of, kind).subject, kind]));
  return new Map(entries.map((entry) => [kindOf.get(entry.subject)!, what(entry)]));
};

export type Reader = Effect.Success<ReturnType<typeof make>>;

export const make = Effect.fnUntraced(function* (layout: Layout, replicas: number, spill: Spill) {
  const connection = yield* Connection;
  const { manager } = connection;
  const found = foundIn(connection.sealing);

  const resolve = ({ entry, object }: Pick<Found, "entry" | "object">) =>
    object === undefined ? Effect.succeed(entry) : spill.fetch(entry, object);

  /** The same, or what lies in its place if the payload is gone. */
  const resolveWithLost = (found: Pick<Found, "entry" | "object">) =>
    Effect.catchTag(resolve(found), "CorruptRecord", () => Effect.succeed(found.entry));

  /** The answer to a request for several messages. */
  const batch = (
    shard: number,
    operation: string,
    request: (callback: BatchCallback<StoredMsg>) => Promise<unknown>,
  ) =>
    connection.ask(operation, () =>
      new Promise<Page>((settle, reject) => {
        const messages: Array<Found> = [];
        let more = false;
        const timer = setTimeout(() => reject(new Error("no complete answer")), pageTimeoutMs);
        request((done, message) => {
          if (done === null) {
            messages.push(found(shard, message));
            more = message.pending > 0;
            return;
          }
          clearTimeout(timer);
          if (done.err === undefined || isNotFound(done.err)) settle({ messages, more });
          else reject(done.err);
        }).catch(reject);
      }));

  const page = ({ shard, subject }: Filter, from: number, upTo: number) =>
    batch(
      shard,
      `read ${subject}`,
      (callback) =>
        manager.direct.getBatch(streamName(layout, shard), {
          seq: from,
          next_by_subj: subject,
          batch: Math.min(pageMessages, upTo - from + 1),
          max_bytes: pageBytes,
          callback,
        }),
    );

  const reading =
    <A, E>(what: (found: Found) => Effect.Effect<A, E>) =>
    (filter: Filter, { after = 0, upTo = Infinity }: ReadOptions = {}) =>
      Stream.paginate(after + 1, (from) =>
        Effect.gen(function* () {
          if (from > upTo) return [[], Option.none()] as const;
          const { messages, more } = yield* page(filter, from, upTo);
          const within = messages.filter(({ entry }) => entry.sequence <= upTo);
          const last = messages.at(-1)?.entry.sequence;
          const entries: Array<A> = [];
          const taking = Effect.forEach(
            within,
            (each) => Effect.map(what(each), (entry) => void entries.push(entry)),
            { discard: true },
          );
          // What comes before a payload that is gone is handed on before that is found out.
          const failed = yield* Effect.as(taking, undefined).pipe(
            Effect.catchIf(
              () => entries.length > 0,
              () => Effect.succeed(within[entries.length]!.entry.sequence),
            ),
          );
          if (failed !== undefined) return [entries, Option.some(failed)] as const;
          const next = more && last !== undefined && last < upTo
            ? Option.some(last + 1)
            : Option.none();
          return [entries, next] as const;
        }));

  const readIntact = reading(resolve);
  const readWithLost = reading(resolveWithLost);
  const read = (filter: Filter, options: ReadOptions = {}) =>
    (options.withLost === true ? readWithLost : readIntact)(filter, options);
  const readSchedules = reading(({ entry, headers }) =>
    Effect.succeed({ entry, ...scheduleOf(headers) })
  );

  const follow = (
    filter: Filter,
    { after = 0, upTo = Infinity, withLost = false }: ReadOptions = {},
  ) => {
    const resolveIt = withLost ? resolveWithLost : resolve;
    return followStream(
      connection,
      {
        shard: filter.shard,
        stream: streamName(layout, filter.shard),
        subject: filter.subject,
        operation: `follow ${filter.subject}`,
        prefetch: pageMessages,
        // What comes before a payload that is gone is handed on before that is found out.
        isAlone: ({ object }) => object !== undefined,
      },
      after,
    ).pipe(
      Stream.mapArrayEffect((lot): Effect.Effect<Arr.NonEmptyReadonlyArray<Entry>, ReadError> =>
        lot[0].object === undefined
          ? Effect.succeed(lot)
          : Effect.map(resolveIt({ entry: lot[0], object: lot[0].object }), Arr.of)
      ),
      Stream.takeWhile((entry) => entry.sequence <= upTo),
    );
  };

  /** Followers lag behind what was just acknowledged, so with replicas the leader is asked. */
  const stored = replicas === 1 ? manager.direct : manager.streams;

  const lastStored = (stream: string, subject: string): Promise<StoredMsg | null> =>
    stored.getMessage(stream, { last_by_subj: subject });

  /** The first message under a subject, or filter, after a sequence; always the leader's answer. */
  const nextStored = (shard: number, subject: string, after: number) => {
    const query: SeqMsgRequest & NextMsgRequest = { seq: after + 1, next_by_subj: subject };
    return manager.streams.getMessage(streamName(layout, shard), query);
  };

  const one = ({ shard, subject }: Filter, request: () => Promise<StoredMsg | null>) =>
    connection.ask(`read ${subject}`, request).pipe(
      Effect.flatMap((message) =>
        message === null ? Effect.succeedNone : Effect.asSome(resolve(found(shard, message)))
      ),
    );

  const last: Log["Service"]["last"] = (of, kind, key) => {
    const filter = { shard: of.shard, subject: subjectOf(of, kind, key) };
    return one(filter, () => lastStored(streamName(layout, of.shard), filter.subject));
  };

  const first: Log["Service"]["first"] = (of, kind, key) => {
    const filter = { shard: of.shard, subject: subjectOf(of, kind, key) };
    const query: SeqMsgRequest & NextMsgRequest = { seq: 1, next_by_subj: filter.subject };
    return one(filter, () => stored.getMessage(streamName(layout, of.shard), query));
  };

  /** One direct request where there is one server; a follower's answer would not do. */
  const lastFound = Effect.fnUntraced(function* (of: Address, kinds: ReadonlyArray<Kind>) {
    if (kinds.length === 0) return [];
    const stream = streamName(layout, of.shard);
    const subjects = kinds.map((kind) => executionFilter(of, kind).subject);
    if (replicas === 1) {
      const { messages } = yield* batch(
        of.shard,
        `read the last of ${of.label}`,
        (callback) => manager.direct.getLastMessagesFor(stream, { multi_last: subjects, callback }),
      );
      return messages;
    }
    const messages = yield* Effect.forEach(
      subjects,
      (subject) => connection.ask(`read ${subject}`, () => lastStored(stream, subject)),
      { concurrency: "unbounded" },
    );
    return messages.flatMap((message) => message === null ? [] : [found(of.shard, message)]);
  });

  const lastOfEach: Log["Service"]["lastOfEach"] = (of, kinds) =>
    lastFound(of, kinds).pipe(
      Effect.flatMap((messages) => Effect.forEach(messages, resolve)),
      Effect.map((entries) => byKind(of, kinds, entries, (entry) => entry)),
    );

  const lastSequences: Log["Service"]["lastSequences"] = (of, kinds) =>
    Effect.map(
      lastFound(of, kinds),
      (messages) =>
        byKind(of, kinds, messages.map(({ entry }) => entry), ({ sequence }) => sequence),
    );

  const next: Log["Service"]["next"] = ({ shard, subject }, after) =>
    Effect.map(
      connection.ask(
        `look for what follows under ${subject}`,
        () => nextStored(shard, subject, after),
      ),
      (message) =>
        message === null
          ? Option.none()
          : Option.some({ sequence: message.seq, at: message.time.getTime() }),
    );

  const firstAfter = async (shard: number, subject: string, after: number) => {
    const message = await nextStored(shard, subject, after);
    return message === null ? undefined : {
      sequence: message.seq,
      id: header(message.header, "Nats-Msg-Id"),
      replaces: header(message.header, "Nats-Rollup") !== undefined,
    };
  };

  const tail = (shard: number): Effect.Effect<Tail, RemoveError> => {
    const operation = `look up ${streamName(layout, shard)}`;
    const lookUp = async () => {
      const info = await manager.streams.info(streamName(layout, shard));
      // A server that was cut off from its peers answers, too, and lacks what they have stored since.
      if (replicas > 1 && !info.cluster?.leader) throw new Error("who answers knows of no leader");
      return info;
    };
    return connection.ask(operation, lookUp).pipe(
      Effect.flatMap((info) => {
        // A new leader's clock may be behind that of the one which stored the last record.
        const at = Math.max(
          Date.parse((info as { readonly ts?: string }).ts ?? ""),
          Date.parse(info.state.last_ts),
        );
        return Number.isNaN(at)
          ? Effect.fail(
            new ServerRefused({ operation, errorCode: 0, description: "no server time" }),
          )
          : Effect.succeed({ sequence: info.state.last_seq, at });
      }),
    );
  };

  const readWhole = WholeRead.make({
    replicas,
    tail,
    lastSequence: ({ shard, subject }) =>
      Effect.map(
        connection.ask(
          `look for the last under ${subject}`,
          () => manager.streams.getMessage(streamName(layout, shard), { last_by_subj: subject }),
        ),
        (message) => message?.seq ?? 0,
      ),
  });
  const readThrough = readWhole(read);
  const unresolvedThrough = readWhole(reading(({ entry }) => Effect.succeed(entry)));

  /** Where all the records under a filter are, up to a sequence; payloads are not asked for. */
  const sequencesThrough = Effect.fnUntraced(function* (filter: Filter, upTo: number) {
    const through = replicas === 1 ? upTo : Math.min(upTo, (yield* tail(filter.shard)).sequence);
    const entries = yield* unresolvedThrough(filter, { through });
    return entries.flatMap(({ sequence }) => sequence <= upTo ? [sequence] : []);
  });

  return {
    read,
    readSchedules,
    follow,
    first,
    last,
    lastOfEach,
    lastSequences,
    next,
    readThrough,
    sequencesThrough,
    tail,
    firstAfter,
  };
});
