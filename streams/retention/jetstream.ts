/**
 * What is due, from JetStream: one durable consumer per shard, from which every worker pulls. A
 * message that a janitor has handled is gone from the stream, and its acknowledgement is only the end
 * of the matter; one that nobody handles comes again.
 */
import { AckPolicy, type ConsumerConfig, DeliverPolicy, type JsMsg } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Queue from "effect/Queue";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import { findOrCreate, refuseDrift } from "../drift.ts";
import { type Entry, Log } from "../log.ts";
import { consume } from "../log/subscription.ts";
import { skippedRecords } from "../metrics.ts";
import {
  type Due,
  dueOf,
  Expiries,
  handleAgainMs,
  handledTogether,
  janitorWaitMs,
} from "../retention.ts";
import { type Layout, shardRoot, streamName } from "../subjects.ts";

const consumerName = "gc";

const consumerOf = (layout: Layout, shard: number): Partial<ConsumerConfig> => ({
  durable_name: consumerName,
  filter_subject: `${shardRoot(layout, shard)}.gc.*.*.*.*`,
  deliver_policy: DeliverPolicy.All,
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(janitorWaitMs),
  max_deliver: -1,
  max_ack_pending: -1,
});

const entryOf = (shard: number, { subject, seq, time, data }: JsMsg): Entry => ({
  shard,
  subject,
  sequence: seq,
  at: time.getTime(),
  id: undefined,
  removed: false,
  body: data,
});

interface Given {
  readonly message: JsMsg;
  readonly due: Due;
}

const make = Effect.gen(function* () {
  const connection = yield* Connection;
  const { layout } = yield* Log;
  const { ask, jetStream, manager } = connection;

  const ensure = Effect.fnUntraced(function* (shard: number) {
    const stream = streamName(layout, shard);
    const expected = consumerOf(layout, shard);
    const { config } = yield* findOrCreate(
      ask(`look up ${consumerName}`, () => manager.consumers.info(stream, consumerName)),
      ask(`create ${consumerName}`, () => manager.consumers.add(stream, expected)),
    );
    yield* refuseDrift(`${stream} consumer ${consumerName}`, { ...expected }, { ...config });
  });

  const messages = (shard: number) =>
    Stream.unwrap(Effect.gen(function* () {
      yield* ensure(shard);
      const operation = `pull from ${consumerName}`;
      const consumer = yield* ask(
        operation,
        () => jetStream.consumers.get(streamName(layout, shard), consumerName),
      );
      const given = yield* consume(connection, {
        operation,
        consumer,
        maxMessages: handledTogether,
      });
      return Stream.fromAsyncIterable(
        given,
        (cause) =>
          new Unavailable({ operation, reason: "the subscription ended", landed: "no", cause }),
      );
    }));

  const givenBy = Effect.fnUntraced(function* (shard: number, message: JsMsg) {
    const due = yield* dueOf(layout, entryOf(shard, message));
    if (due !== undefined) return [{ message, due }];
    skippedRecords.updateUnsafe(1, yield* Effect.context<never>());
    message.term();
    return [];
  }, (found, _, message) =>
    // Others can read what we cannot, and see to it.
    Effect.catchTag(found, "UnsupportedRecordVersion", () =>
      Effect.sync(() => {
        message.nak(handleAgainMs);
        return [];
      })));

  const serveShard = <E extends { readonly message: string }>(
    shard: number,
    handle: (due: ReadonlyArray<Due>) => Effect.Effect<ReadonlyArray<Due>, E>,
  ) => {
    const settle = (given: ReadonlyArray<Given>) => {
      const all = given.map(({ due }) => due);
      const patience = Effect.sync(() => given.forEach(({ message }) => message.working())).pipe(
        Effect.delay(janitorWaitMs / 3),
        Effect.forever,
      );
      return handle(all).pipe(
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.failCause(cause)
            : Effect.as(Effect.logWarning("what is due cannot be seen to", cause), all)
        ),
        Effect.raceFirst(patience),
        Effect.onInterrupt(() => Effect.sync(() => given.forEach(({ message }) => message.nak()))),
        Effect.map((postponed) => {
          for (const { message, due } of given) {
            if (postponed.includes(due)) message.nak(handleAgainMs);
            else message.ack();
          }
        }),
      );
    };
    return Effect.gen(function* () {
      // What waits here for longer than its server does would be given again, and be done twice.
      const given = yield* Queue.bounded<Given>(handledTogether);
      const takeIn = messages(shard).pipe(
        Stream.mapEffect((message) => givenBy(shard, message)),
        Stream.runForEach((found) => Queue.offerAll(given, found)),
      );
      // Whatever has come while the last was handled is handled together.
      const work = Queue.takeBetween(given, 1, handledTogether).pipe(
        Effect.flatMap(settle),
        Effect.forever,
      );
      yield* Effect.raceFirst(takeIn, work);
    }).pipe(
      Effect.catch((error) => Effect.logWarning("what is due is not seen to for now", error)),
      Effect.repeat(Schedule.spaced(handleAgainMs)),
      Effect.andThen(Effect.never),
    );
  };

  return Expiries.of({
    serve: (handle) =>
      Effect.forEach(
        Array.from({ length: layout.shards }, (_, shard) => shard),
        (shard) => serveShard(shard, handle),
        { concurrency: "unbounded", discard: true },
      ).pipe(Effect.andThen(Effect.never)),
  });
});

export const layerJetStream: Layer.Layer<Expiries, never, Connection | Log> = Layer.effect(
  Expiries,
  make,
);
