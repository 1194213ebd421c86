/**
 * The log on a real JetStream: one appender per shard for writes, direct reads, the object store for
 * what is too large. It adds to the contract of `Log` how outcomes survive a lost connection; see
 * `log/appender.ts`. Topology must have been ensured before.
 */
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import * as Tracer from "effect/Tracer";
import { InvalidBatch, PayloadTooLarge } from "../schema/errors.ts";
import { heedCiphers } from "./cipher_marks.ts";
import { Connection } from "./connection.ts";
import { Fence } from "./fence.ts";
import { Appender } from "./log/appender.ts";
import { AppendUnit } from "./log/append_unit.ts";
import * as Healing from "./log/healing.ts";
import * as Reader from "./log/reader.ts";
import * as Removal from "./log/removal.ts";
import { asStored, scheduleHeaders } from "./log/schedule.ts";
import * as Spill from "./log/spill.ts";
import type { Outgoing } from "./log/wire.ts";
import {
  type Appended,
  type AppendError,
  defaultMaxPayloadBytes,
  Log,
  maxBatchSize,
  type Message,
} from "./log.ts";
import { countAppend } from "./metrics.ts";
import { randomMessageId } from "./message_id.ts";
import { type Address, isBucketKind, streamName, subjectOf } from "./subjects.ts";
import { ensure, type NamespaceOptions, type Topology, type TopologyError } from "./topology.ts";

export interface LogOptions extends NamespaceOptions {
  /** Bodies above this travel through the object store. Default 128 KiB. */
  readonly spillThresholdBytes?: number;
  /** Bodies above this are refused. Default 32 MiB. */
  readonly maxPayloadBytes?: number;
  /** How long an append may go on before the caller is told that its outcome is unknown. */
  readonly giveUpAfter?: Duration.Input;
}

const answerTimeoutMs = 5_000;
/** Well below the 100,000 messages and 128 MB that a server queues before it drops silently. */
const maxInFlightMessages = 4_096;
const maxInFlightBytes = 16 * 1024 * 1024;
/** Ids are trusted until a little before the server forgets them. */
const forgetMarginMs = 5_000;
/** What the headers of a message may take of what the server allows it. */
const maxHeaderBytes = 4_096;

/** The span under which the caller runs, for whoever reads the record. */
const traceHeader = (context: Context.Context<never>): string => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan);
  return span === undefined
    ? ""
    : `traceparent: 00-${span.traceId}-${span.spanId}-${span.sampled ? "01" : "00"}\r\n`;
};

const lifeHeaders = (to: Address, message: Message): string =>
  scheduleHeaders(to, message) +
  (message.ttlSeconds === undefined ? "" : `Nats-TTL: ${message.ttlSeconds}s\r\n`) +
  (message.replaces === true ? "Nats-Rollup: sub\r\n" : "") +
  (message.removes === true ? "KV-Operation: DEL\r\n" : "");

const make = Effect.fnUntraced(function* (topology: Topology, options: LogOptions) {
  const connection = yield* Connection;
  const { layout, replicas } = topology;
  const largest = connection.nats.info?.max_payload ?? 1024 * 1024;
  const storedMessageBytes = largest - maxHeaderBytes;
  const maxPayloadBytes = options.maxPayloadBytes ?? defaultMaxPayloadBytes;
  // Whatever is larger goes through `spill`, which refuses what exceeds the limit.
  const thresholdBytes = Math.min(
    options.spillThresholdBytes ?? 128 * 1024,
    largest >> 1,
    maxPayloadBytes,
  );
  const spill = yield* Spill.make({
    layout,
    replicas,
    maxPayloadBytes,
  });
  const reader = yield* Reader.make(layout, replicas, spill);
  const { purge, remove } = yield* Removal.make(layout, reader);

  const giveUpAfterMs = Duration.toMillis(
    Duration.fromInputUnsafe(options.giveUpAfter ?? "30 seconds"),
  );
  const appenders = Array.from(
    { length: layout.shards },
    (_, shard) =>
      new Appender(connection.nats, {
        stream: streamName(layout, shard),
        commit: connection.durability === "power-safe" && replicas === 1 ? "shared" : "single",
        answerTimeoutMs,
        giveUpAfterMs,
        idsKnownForMs: topology.duplicateWindowMs - forgetMarginMs,
        maxInFlightMessages,
        maxInFlightBytes,
        firstAfter: (subject, after) => reader.firstAfter(shard, subject, after),
      }),
  );
  yield* connection.listen({
    disconnected: () => appenders.forEach((appender) => appender.disconnected()),
    reconnected: () => appenders.forEach((appender) => appender.reconnected()),
    closed: () => appenders.forEach((appender) => appender.close()),
  });
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => appenders.forEach((appender) => appender.close()))
  );

  const regained = yield* Queue.sliding<void>(1);
  let wasRefused = false;
  /** A disk that is full is met with silence, and only a quota with words. */
  const heedSpace = (exit: Exit.Exit<Appended, AppendError>): void => {
    const error = Option.getOrUndefined(Exit.findErrorOption(exit));
    wasRefused ||= error?._tag === "NoSpace" || error?._tag === "Unavailable";
    if (exit._tag === "Failure" || !wasRefused) return;
    wasRefused = false;
    Queue.offerUnsafe(regained, undefined);
  };

  const outgoing = (
    to: Address,
    message: Message,
    body: Uint8Array,
    extraHeaders: string,
  ): Outgoing => ({
    subject: subjectOf(message.of ?? to, message.kind, message.key),
    body,
    id: message.id ?? (message.guard instanceof Fence ? message.guard.nextId() : randomMessageId()),
    guard: message.guard,
    extraHeaders: lifeHeaders(message.of ?? to, message) + extraHeaders,
    onStored: message.onStored,
  });

  const submit = (
    to: Address,
    messages: readonly [Outgoing, ...Array<Outgoing>],
    context: Context.Context<never>,
  ) =>
    Effect.callback<Appended, AppendError>((resume) => {
      const unit = new AppendUnit(to, messages, (exit) => {
        countAppend(exit, context);
        heedSpace(exit);
        resume(exit);
      });
      appenders[to.shard]!.submit(unit);
      return Effect.sync(() => {
        if (unit.firstSent === undefined) unit.abandoned = true;
      });
    });

  /**
   * A large body as it is stored. What is replaced takes no object along, and so may have none; nor
   * has a bucket key, which is read by whoever looks into the bucket.
   */
  const stow = (
    to: Address,
    { kind, body, replaces }: Message,
    givenBytes: number,
  ): Effect.Effect<{ readonly body: Uint8Array; readonly headers: string }, AppendError> => {
    if (replaces !== true && !isBucketKind(kind)) return spill.spill(to, body, givenBytes);
    const limitBytes = storedMessageBytes;
    return body.length <= limitBytes
      ? Effect.succeed({ body, headers: "" })
      : Effect.fail(new PayloadTooLarge({ sizeBytes: body.length, limitBytes, isFixed: true }));
  };

  /** A message as it is stored. */
  const prepared = (given: Message): Message => {
    const message = asStored(given);
    const body = connection.sealing.seal(message.kind, message.body);
    return body === message.body ? message : { ...message, body };
  };

  const append = (to: Address, given: Message) =>
    Effect.withFiber<Appended, AppendError>((fiber) => {
      const message = prepared(given);
      const trace = traceHeader(fiber.context);
      return message.body.length <= thresholdBytes
        ? submit(to, [outgoing(to, message, message.body, trace)], fiber.context)
        : Effect.flatMap(
          stow(message.of ?? to, message, given.body.length),
          ({ body, headers }) =>
            submit(to, [outgoing(to, message, body, trace + headers)], fiber.context),
        );
    });

  const appendBatch = (to: Address, messages: ReadonlyArray<Message>) =>
    Effect.withFiber<Appended, AppendError>((fiber) => {
      const trace = traceHeader(fiber.context);
      if (messages.length === 0 || messages.length > maxBatchSize) {
        return Effect.fail(new InvalidBatch({ size: messages.length, limit: maxBatchSize }));
      }
      return Effect.flatMap(
        Effect.forEach(
          messages,
          (given) => {
            const message = prepared(given);
            return message.body.length <= thresholdBytes
              ? Effect.succeed(outgoing(to, message, message.body, trace))
              : Effect.map(
                stow(message.of ?? to, message, given.body.length),
                ({ body, headers }) => outgoing(to, message, body, trace + headers),
              );
          },
        ),
        ([first, ...rest]) => submit(to, [first!, ...rest], fiber.context),
      );
    });

  return Log.of({
    layout,
    incarnation: topology.incarnation,
    longestLeaseMs: topology.longestLeaseMs,
    maxPayloadBytes,
    maxMessageBytes: connection.sealing.roomIn(storedMessageBytes),
    append,
    appendBatch,
    first: reader.first,
    last: reader.last,
    lastOfEach: reader.lastOfEach,
    lastSequences: reader.lastSequences,
    next: reader.next,
    read: reader.read,
    readThrough: reader.readThrough,
    follow: reader.follow,
    tail: reader.tail,
    purge,
    dropPayloads: (of: Address) =>
      spill.drop(
        of,
        Effect.map(reader.tail(of.shard), ({ at }) => at - giveUpAfterMs - answerTimeoutMs),
      ),
    healSchedules: Healing.make(layout, reader, append, regained),
    remove,
  });
});

/** The log of a namespace, which is created if it does not exist. */
export const layerJetStream = (
  options: LogOptions = {},
): Layer.Layer<Log, TopologyError, Connection> =>
  Layer.effect(
    Log,
    Effect.gen(function* () {
      const { sealing } = yield* Connection;
      const log = yield* make(yield* ensure(options), options);
      yield* heedCiphers(log, sealing);
      return log;
    }),
  );
