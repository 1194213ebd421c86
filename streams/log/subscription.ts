/**
 * What a stream stores from a sequence on, as it comes, through an ordered consumer. A subscription
 * ends when the connection comes back: the client would ask for its consumer once and, unanswered by
 * a server that is still starting, be silent for half a minute. The next begins behind the last message.
 */
import { type ConsumerMessages, DeliverPolicy } from "@nats-io/jetstream";
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

/** The messages behind a sequence, until the connection has been away. */
export const subscribe = Effect.fnUntraced(function* (
  { ask, jetStream, listen }: Connection["Service"],
  { stream, subject, operation, prefetchedMessages }: SubscriptionOptions,
  after: number,
): Effect.fn.Return<ConsumerMessages, Unavailable | ServerRefused, Scope.Scope> {
  const consumer = yield* ask(operation, () =>
    jetStream.consumers.get(stream, {
      ...(subject === undefined ? {} : { filter_subjects: subject }),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: after + 1,
    }));
  const messages = yield* Effect.acquireRelease(
    ask(operation, () => consumer.consume({ max_messages: prefetchedMessages })),
    (messages) =>
      Effect.sync(() => {
        // It has closed when its last message was taken, for which a reader that is gone does not come.
        void messages.close();
        // The server would keep it for five minutes, and it counts as one of the stream's consumers.
        consumer.delete().catch(() => {});
      }),
  );
  yield* listen({
    disconnected: () => undefined,
    reconnected: () => void messages.close(),
    closed: () => undefined,
  });
  return messages;
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
