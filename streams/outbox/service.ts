/**
 * The producer's side of the outbox: checks an event, gives it its token, and has the store add it
 * and take the token in one step. What fails has added nothing and taken nothing, unless the store
 * says that it does not know; it is never let through unchecked.
 */
import { randomUUID } from "node:crypto";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { InvalidInput, PayloadTooLarge } from "../../schema/errors.ts";
import { parse } from "../../schema/ids.ts";
import { Json } from "../../schema/json.ts";
import type { DuplicateEvent } from "../../schema/outbox_errors.ts";
import {
  EventType,
  IdempotencyToken,
  type NewOutboxEvent,
  OrderingKey,
  type OutboxEvent,
  OutboxEventId,
} from "./event.ts";
import { type IdempotencyStrategy, tokenOf, type UntokenedEvent } from "./idempotency.ts";
import { OutboxStore, type StoreError } from "./store.ts";

export interface ProducerOptions {
  /** Where tokens come from. Default `none`. */
  readonly strategy?: IdempotencyStrategy;
  /** The most that a payload may have as JSON. Default 64 KiB; a store may allow less. */
  readonly maxPayloadBytes?: number;
}

export interface AddOptions {
  /** Events of one key are published one after another, in the order in which they were added. */
  readonly key?: string;
}

/** The default limit of a payload; below what the log keeps in the stream itself. */
export const defaultMaxPayloadBytes = 64 * 1024;

const utf8 = new TextEncoder();

/** The event that `add` adds; for whoever adds it in a transaction of its own. */
export const prepare = Effect.fnUntraced(function* (
  { strategy = { type: "none" }, maxPayloadBytes = defaultMaxPayloadBytes }: ProducerOptions,
  eventType: string,
  payload: unknown,
  token?: string,
  { key }: AddOptions = {},
) {
  const event: UntokenedEvent = {
    id: OutboxEventId.make(randomUUID()),
    eventType: yield* parse(EventType, "event type", eventType),
    payload: yield* parse(Json, "event payload", payload),
    ...(key === undefined ? {} : { key: yield* parse(OrderingKey, "ordering key", key) }),
  };
  const sizeBytes = utf8.encode(JSON.stringify(event.payload)).length;
  if (sizeBytes > maxPayloadBytes) {
    return yield* new PayloadTooLarge({ sizeBytes, limitBytes: maxPayloadBytes });
  }
  const derived = yield* Effect.try({
    try: () => tokenOf(strategy, event, token),
    catch: (error) =>
      new InvalidInput({
        what: "idempotency token",
        value: event.eventType,
        rule: `expected the strategy to derive one, and it threw ${error}`,
      }),
  });
  return derived === undefined ? event satisfies NewOutboxEvent : {
    ...event,
    idempotencyToken: yield* parse(IdempotencyToken, "idempotency token", derived),
  } satisfies NewOutboxEvent;
});

export class OutboxService extends Context.Service<OutboxService, {
  /** Adds an event to be published; refused if its token was taken already. */
  readonly add: (
    eventType: string,
    payload: unknown,
    token?: string,
    options?: AddOptions,
  ) => Effect.Effect<OutboxEvent, InvalidInput | PayloadTooLarge | DuplicateEvent | StoreError>;
}>()("@weir/weir/streams/OutboxService") {}

export const layer = (
  options: ProducerOptions = {},
): Layer.Layer<OutboxService, never, OutboxStore> =>
  Layer.effect(
    OutboxService,
    Effect.map(OutboxStore, (store) =>
      OutboxService.of({
        add: Effect.fn("OutboxService.add")(function* (eventType, payload, token, addOptions) {
          return yield* store.insert(
            yield* prepare(options, eventType, payload, token, addOptions),
          );
        }),
      })),
  );
