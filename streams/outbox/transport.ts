/**
 * Where the outbox publishes to. Success means that whoever took the event has taken responsibility
 * for it; anything else may have been taken nevertheless, and is published again under the same id.
 * It knows neither locks nor retries.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { NonRetryable } from "../../schema/execution_errors.ts";
import { PublishFailed, PublishRefused } from "../../schema/outbox_errors.ts";
import type { OutboxEvent } from "./event.ts";

export type PublishError = PublishFailed | PublishRefused;

export class OutboxTransport extends Context.Service<OutboxTransport, {
  readonly publish: (event: OutboxEvent) => Effect.Effect<void, PublishError>;
}>()("@weir/weir/streams/OutboxTransport") {}

/** What a publish error says of its event. */
export const about = ({ id, eventType }: OutboxEvent) => ({ event: id, eventType });

const textOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause);

/** A function that resolves when the event is in good hands; the signal says when it is given up. */
export type Publish = (event: OutboxEvent, signal: AbortSignal) => void | PromiseLike<void>;

/** Publishes by a function: what it throws is tried again, unless it throws `NonRetryable`. */
export const layerFunction = (publish: Publish): Layer.Layer<OutboxTransport> =>
  Layer.succeed(
    OutboxTransport,
    OutboxTransport.of({
      publish: (event) =>
        Effect.tryPromise({
          try: async (signal) => await publish(event, signal),
          catch: (cause) => {
            const fields = { ...about(event), reason: textOf(cause), cause };
            return cause instanceof NonRetryable
              ? new PublishRefused(fields)
              : new PublishFailed(fields);
          },
        }),
    }),
  );
