/**
 * What a durable consumer gives, as it comes. A subscription ends where the client would be silent
 * for half a minute: when the connection comes back to a server that is still starting, or when a
 * server of a cluster has not heard of the new consumer yet.
 */
import type { Consumer, ConsumerMessages } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { ServerRefused, Unavailable } from "../../schema/errors.ts";
import type { Connection } from "../connection.ts";

/** How long servers have to tell each other of a consumer before it is tried again. */
const heardOfAfter = "100 millis";

export interface ConsumeOptions {
  readonly operation: string;
  readonly consumer: Consumer;
  /** How many messages are on their way at most. */
  readonly maxMessages: number;
}

/** The messages of a consumer, until the connection has been away or nobody answers for it. */
export const consume = Effect.fnUntraced(function* (
  { ask, listen }: Connection["Service"],
  { operation, consumer, maxMessages }: ConsumeOptions,
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
