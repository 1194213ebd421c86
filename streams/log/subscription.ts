/**
 * What a consumer gives, and what a stream stores from a sequence on, as it comes. A subscription
 * ends where the client would be silent for half a minute: when the connection comes back to a server
 * that is still starting, or when a server of a cluster has not heard of the new consumer yet. The
 * next begins behind the last message.
 */
import { type Consumer, type ConsumerMessages, DeliverPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { ServerRefused, Unavailable } from "../../schema/errors.ts";
import type { Connection } from "../connection.ts";

export interface SubscriptionOptions {
  readonly stream: string;
  /** Everything, if left out. */
  readonly subject?: string;
  readonly operation: string;
  readonly prefetchedMessages: number;
}

/** How long servers have to tell each other of a consumer before it is tried again. */
const heardOfAfter = "100 millis";

export interface ConsumeOptions {
  readonly operation: string;
  readonly consumer: Consumer;
  /** How many messages are on their way at most. */
  readonly maxMessages: number;
  readonly released?: () => void;
}

/** The messages of a consumer, until the connection has been away or nobody answers for it. */
export const consume = Effect.fnUntraced(function* (
  { ask, listen }: Connection["Service"],
  { operation, consumer, maxMessages, released }: ConsumeOptions,
): Effect.fn.Return<ConsumerMessages, Unavailable | ServerRefused, Scope.Scope> {
  const { messages, statuses } = yield* Effect.acquireRelease(
    ask(operation, async () => {
      const messages = await consumer.consume({ max_messages: maxMessages });
      return { messages, statuses: messages.status() };
    }),
    ({ messages }) =>
      Effect.sync(() => {
        // It has closed when its last message was taken, for which a reader that is gone does not come.
        void messages.close();
        released?.();
      }),
  );
  yield* listen({
    disconnected: () => undefined,
    reconnected: () => void messages.close(),
    closed: () => undefined,
  });
  yield* Stream.fromAsyncIterable(statuses, String).pipe(
    Stream.filter(({ type }) => type === "no_responders"),
    Stream.runForEach(() =>
      Effect.sync(() => void messages.close()).pipe(Effect.delay(heardOfAfter))
    ),
    Effect.ignore,
    Effect.forkScoped,
  );
  return messages;
});

/** The messages behind a sequence, until they end as those of any consumer do. */
export const subscribe = Effect.fnUntraced(function* (
  connection: Connection["Service"],
  { stream, subject, operation, prefetchedMessages }: SubscriptionOptions,
  after: number,
): Effect.fn.Return<ConsumerMessages, Unavailable | ServerRefused, Scope.Scope> {
  const { ask, jetStream } = connection;
  const consumer = yield* ask(operation, () =>
    jetStream.consumers.get(stream, {
      ...(subject === undefined ? {} : { filter_subjects: subject }),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: after + 1,
    }));
  return yield* consume(connection, {
    operation,
    maxMessages: prefetchedMessages,
    consumer,
    // The server would keep it for five minutes, and it counts as one of the stream's consumers.
    released: () => void consumer.delete().catch(() => {}),
  });
});

/** Opens anew behind the last sequence whenever what was opened ends; ends only with an error. */
export const resumed = <A, E>(
  after: number,
  sequenceOf: (value: A) => number,
  open: (after: number) => Stream.Stream<A, E>,
): Stream.Stream<A, E> =>
  Stream.suspend(() => {
    let last = after;
    return Stream.suspend(() => open(last)).pipe(
      Stream.map((value) => {
        last = sequenceOf(value);
        return value;
      }),
      Stream.forever,
    );
  });
