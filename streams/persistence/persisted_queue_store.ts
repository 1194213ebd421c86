/**
 * Effect's `PersistedQueueStore` on JetStream: a durable consumer for each queue hands its elements
 * out, to one taker at a time. What became of an element is a record of its own, which only who took
 * it last can write: one that was frozen, and whose element somebody else has, settles nothing.
 */
import {
  AckPolicy,
  type Consumer,
  type ConsumerConfig,
  DeliverPolicy,
  type JsMsg,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { createHash } from "node:crypto";
import * as Cause from "effect/Cause";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import { PersistedQueueError, PersistedQueueStore } from "effect/persistence/PersistedQueue";
import * as Predicate from "effect/Predicate";
import * as Schedule from "effect/Schedule";
import type * as Schema from "effect/Schema";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { Timestamp } from "../../schema/ids.ts";
import {
  queueElementRecord,
  type QueueTryRecord,
  queueTryRecord,
} from "../../schema/queue_record.ts";
import { Connection } from "../connection.ts";
import { findOrCreate, refuseDrift } from "../drift.ts";
import { type Entry, Log } from "../log.ts";
import { objectHeader } from "../log/spill.ts";
import { skippedRecords } from "../metrics.ts";
import { ServerClock } from "../server_clock.ts";
import {
  type Address,
  executionFilter,
  queueAddress,
  queueAddressOf,
  queueFilter,
  streamName,
  triesFilter,
} from "../subjects.ts";

export interface PersistedQueueStoreOptions {
  /**
   * How long a taker may be silent before its element is another's; the same for all who use a queue.
   * 30 seconds unless said otherwise.
   */
  readonly lockExpiration?: Duration.Input;
}

/** How long one request waits for an element; then there is another. */
const askForMs = 30_000;
/** Before the server is asked again that did not answer, or somebody else settles something. */
const askAgainMs = 100;

/** How many may wait for an element at once; of whoever is above the server turns away, without a word. */
const mostWaiting = 65_536;

const deadLetterTag = "~effect/persistence/PersistedQueue/DeadLetter";

/** What Effect's queue fails with when the element cannot be decoded, now or ever. */
const isDeadLetter = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) &&
  exit.cause.reasons.some((reason) =>
    Cause.isFailReason(reason) && Predicate.isTagged(reason.error, deadLetterTag)
  );

const failed = <A, E extends { readonly message: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (cause) => new PersistedQueueError({ message: cause.message, cause }));

/** A name that the server takes, whatever the queue is called. */
const consumerName = (queue: string): string =>
  `queue-${createHash("sha256").update(queue, "utf16le").digest("hex").slice(0, 32)}`;

/** What became of an element, and the sequence that says so. */
interface Standing {
  readonly record: QueueTryRecord;
  readonly revision: number;
}

interface Taken {
  readonly id: string;
  readonly attempts: number;
  readonly element: Schema.Json;
  readonly message: JsMsg;
  readonly address: Address;
  /** The record that says that this one has it. */
  readonly revision: number;
}

const make = Effect.fnUntraced(function* (
  { lockExpiration = "30 seconds" }: PersistedQueueStoreOptions,
) {
  const ackWaitMs = Duration.toMillis(Duration.fromInputUnsafe(lockExpiration));
  const { ask, jetStream, manager, sealing } = yield* Connection;
  const log = yield* Log;
  const clock = yield* ServerClock;
  const { layout } = log;

  const ensure = Effect.fnUntraced(function* (queue: string) {
    const { shard, subject } = queueFilter(layout, queue);
    const stream = streamName(layout, shard);
    const name = consumerName(queue);
    const expected: Partial<ConsumerConfig> = {
      durable_name: name,
      description: `the queue ${queue}`.slice(0, 200),
      filter_subject: subject,
      deliver_policy: DeliverPolicy.All,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ackWaitMs),
      max_deliver: -1,
      max_ack_pending: -1,
    };
    const { config } = yield* findOrCreate(
      ask(`look up ${name}`, () => manager.consumers.info(stream, name)),
      ask(
        `create ${name}`,
        () => manager.consumers.add(stream, { ...expected, max_waiting: mostWaiting }),
      ),
    );
    yield* refuseDrift(`${stream} consumer ${name}`, { ...expected }, { ...config });
    return yield* ask(`open ${name}`, () => jetStream.consumers.get(stream, name));
  });

  const consumers = new Map<string, Consumer>();
  const consumerOf = Effect.fnUntraced(function* (queue: string) {
    const known = consumers.get(queue);
    if (known !== undefined) return known;
    const consumer = yield* ensure(queue);
    consumers.set(queue, consumer);
    return consumer;
  });

  /** The next message, or nothing for now. One that comes when nobody waits is given back. */
  const next = (queue: string, consumer: Consumer) =>
    Effect.callback<JsMsg | undefined>((resume) => {
      let isAwaited = true;
      consumer.next({ expires: askForMs }).then(
        (message) => {
          if (isAwaited) resume(Effect.succeed(message ?? undefined));
          else message?.nak();
        },
        () => {
          // Perhaps it was deleted; then it is made anew.
          consumers.delete(queue);
          resume(Effect.as(Effect.sleep(askAgainMs), undefined));
        },
      );
      return Effect.sync(() => isAwaited = false);
    });

  const standing = Effect.fnUntraced(function* (address: Address, of: number) {
    const untouched: QueueTryRecord = { kind: "try", of, attempts: 0, state: "pending" };
    const found = Option.getOrUndefined(yield* log.last(address, "try"));
    if (found === undefined) return { record: untouched, revision: 0 };
    const record = yield* queueTryRecord.decode(found.body, found);
    const standing: Standing = {
      record: record.of === of ? record : untouched,
      revision: found.sequence,
    };
    return standing;
  });

  const write = (address: Address, after: number, record: Omit<QueueTryRecord, "kind">) =>
    log.append(address, {
      kind: "try",
      body: queueTryRecord.encode({ kind: "try", ...record }),
      guard: { after },
      replaces: true,
    });

  /** Whether somebody else has had it since, who is the one to say what becomes of it. */
  const isMoved = ({ _tag }: { readonly _tag: string }): boolean =>
    _tag === "SequenceConflict" || _tag === "AlreadyExists";

  const entryOf = (shard: number, { subject, seq, data }: JsMsg): Entry => ({
    shard,
    subject,
    sequence: seq,
    at: 0,
    id: undefined,
    removed: false,
    body: sealing.open(data),
  });

  /** What a message offers; nothing, if it is gone, or cannot be read by this release or by any. */
  const elementOf = Effect.fnUntraced(function* (shard: number, message: JsMsg) {
    const { subject, seq } = message;
    const entry = message.headers?.has(objectHeader) === true
      ? yield* Stream.runHead(log.read({ shard, subject }, { after: seq - 1, upTo: seq }))
      : Option.some(entryOf(shard, message));
    if (Option.isNone(entry)) {
      message.ack();
      return undefined;
    }
    const decoded = yield* Effect.result(
      queueElementRecord.decode(entry.value.body, entry.value),
    );
    if (decoded._tag === "Success") return decoded.success;
    yield* Metric.update(skippedRecords, 1);
    // A later release may be about to take what this one does not know.
    if (decoded.failure._tag === "UnsupportedRecordVersion") message.nak(ackWaitMs);
    else message.term();
    return undefined;
  });

  /** Takes what a message offers, if it is anybody's to take now. */
  const claim = Effect.fnUntraced(function* (
    queue: string,
    message: JsMsg,
    maxAttempts: number,
  ): Effect.fn.Return<Taken | undefined, PersistedQueueError> {
    const { shard } = queueFilter(layout, queue);
    const offered = yield* failed(elementOf(shard, message));
    if (offered === undefined) return undefined;
    const { id, element, notBefore = 0 } = offered;
    const address = queueAddress(layout, queue, id);
    const of = message.seq;
    const { record, revision } = yield* failed(standing(address, of));
    if (record.state === "done" || record.state === "failed") {
      message.ack();
      return undefined;
    }
    const restMs = Math.max(notBefore, record.notBefore ?? 0) - (yield* failed(clock.now));
    if (restMs > 0) {
      message.nak(Math.ceil(restMs));
      return undefined;
    }
    const isLost = record.attempts >= maxAttempts;
    const attempts = isLost ? record.attempts : record.attempts + 1;
    const written = yield* write(address, revision, {
      of,
      attempts,
      ...(isLost
        ? { state: "failed" as const, reason: "its last taker did not say what became of it" }
        : { state: "taken" as const }),
    }).pipe(
      Effect.map(({ sequence }) => sequence),
      Effect.catchIf(isMoved, () => Effect.undefined),
      failed,
    );
    if (written === undefined) message.nak(askAgainMs);
    else if (isLost) message.ack();
    else return { id, attempts, element, message, address, revision: written };
    return undefined;
  });

  const settle = Effect.fnUntraced(function* (
    { attempts, message, address, revision }: Taken,
    exit: Exit.Exit<unknown, unknown>,
    { maxAttempts, retryDelay }: {
      readonly maxAttempts: number;
      readonly retryDelay: (attempts: number) => Effect.Effect<Duration.Duration>;
    },
  ) {
    const say = (record: Omit<QueueTryRecord, "kind" | "of">) =>
      write(address, revision, { of: message.seq, ...record });
    if (Exit.isSuccess(exit)) {
      yield* say({ attempts, state: "done" });
      return message.ack();
    }
    if (Cause.hasInterruptsOnly(exit.cause)) {
      yield* say({ attempts: attempts - 1, state: "pending" });
      return message.nak();
    }
    if (attempts >= maxAttempts || isDeadLetter(exit)) {
      const reason = Cause.pretty(exit.cause).slice(0, 2_000);
      yield* say({ attempts, state: "failed", reason });
      return message.ack();
    }
    const delayMs = Duration.toMillis(yield* retryDelay(attempts));
    const notBefore = Timestamp.make(Math.ceil((yield* clock.now) + delayMs));
    yield* say({ attempts, state: "pending", notBefore });
    message.nak(Math.ceil(delayMs));
  });

  return PersistedQueueStore.of({
    offer: Effect.fnUntraced(
      function* ({ name, id, element, delay }) {
        const due = delay === undefined ? undefined : (yield* clock.now) + Duration.toMillis(delay);
        yield* log.append(queueAddress(layout, name, id), {
          kind: "queue",
          body: queueElementRecord.encode({
            kind: "element",
            id,
            element: element as Schema.Json,
            ...(due === undefined ? {} : { notBefore: Timestamp.make(Math.ceil(due)) }),
          }),
          guard: { after: 0 },
        }).pipe(Effect.catchTag("AlreadyExists", () => Effect.void));
      },
      failed,
    ),

    take: Effect.fnUntraced(function* (options) {
      const scope = yield* Effect.scope;
      for (;;) {
        const taken = yield* Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const consumer = yield* restore(failed(consumerOf(options.name)));
            const message = yield* restore(next(options.name, consumer));
            if (message === undefined) return undefined;
            const taken = yield* claim(options.name, message, options.maxAttempts).pipe(
              Effect.tapError(() => Effect.sync(() => message.nak(askAgainMs))),
            );
            if (taken === undefined) return undefined;
            yield* Scope.addFinalizerExit(scope, (exit) =>
              settle(taken, exit, options).pipe(
                // Of whoever has it now; or else the server gives it to another, who counts again.
                Effect.catchIf(isMoved, () => Effect.void),
                Effect.catch((error) =>
                  Effect.logWarning(`What became of ${taken.id} could not be stored`, error)
                ),
              ));
            yield* Effect.sync(() => taken.message.working()).pipe(
              Effect.schedule(Schedule.spaced(ackWaitMs / 3)),
              Effect.forkIn(scope),
            );
            return taken;
          })
        );
        if (taken !== undefined) {
          const { id, attempts, element } = taken;
          return { id, attempts, element };
        }
      }
    }),

    cleanup: Effect.fnUntraced(
      function* ({ timeToLive, failedTimeToLive }) {
        const now = yield* clock.now;
        const isOver = ({ state }: QueueTryRecord, at: number) => {
          if (state === "done") return at + Duration.toMillis(timeToLive) <= now;
          return state === "failed" && failedTimeToLive !== undefined &&
            at + Duration.toMillis(failedTimeToLive) <= now;
        };
        for (let shard = 0; shard < layout.shards; shard++) {
          yield* log.read(triesFilter(layout, shard)).pipe(
            Stream.mapEffect((entry) =>
              Effect.map(
                queueTryRecord.decode(entry.body, entry),
                (record) => ({ entry, isOver: isOver(record, entry.at) }),
              )
            ),
            Stream.filter(({ isOver }) => isOver),
            Stream.runForEach(({ entry }) => {
              const address = queueAddressOf(layout, shard, entry.subject);
              const upTo = entry.sequence;
              // In this order: what is left if this is interrupted is found again by its try, and so
              // is a payload that is too new to go.
              const remove = Effect.andThen(
                log.purge(executionFilter(address, "queue"), { upTo }),
                log.purge(executionFilter(address, "try"), { upTo }),
              );
              return Effect.when(remove, log.dropPayloads(address));
            }),
          );
        }
      },
      failed,
    ),
  });
});

/** Queues of the namespace, by their names. */
export const layer = (
  options: PersistedQueueStoreOptions = {},
): Layer.Layer<PersistedQueueStore, never, Connection | Log | ServerClock> =>
  Layer.effect(PersistedQueueStore, make(options));
