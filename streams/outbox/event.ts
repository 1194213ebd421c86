/**
 * An event of the outbox: something that has happened, to be told to others once what caused it is
 * durable. Its id and token stay the same however often it is published, so that whoever receives it
 * can tell a repetition. It says nothing of where it is published to.
 */
import * as Schema from "effect/Schema";
import { boundedText, Timestamp } from "../../schema/ids.ts";
import { Json } from "../../schema/json.ts";

/** Names one event; also the message id under which it is published. */
export const OutboxEventId = Schema.String.check(Schema.isUUID()).pipe(
  Schema.brand("OutboxEventId"),
);
export type OutboxEventId = typeof OutboxEventId.Type;

/** What two attempts to add the same event have in common; the second is refused. */
export const IdempotencyToken = boundedText(255).pipe(Schema.brand("IdempotencyToken"));
export type IdempotencyToken = typeof IdempotencyToken.Type;

/** Says what has happened, and so where the event is published to. */
export const EventType = boundedText(200).pipe(Schema.brand("EventType"));
export type EventType = typeof EventType.Type;

/** What events have in common that are published in the order in which they were added. */
export const OrderingKey = boundedText(200).pipe(Schema.brand("OrderingKey"));
export type OrderingKey = typeof OrderingKey.Type;

export const EventStatus = Schema.Literals(["pending", "processing", "sent"]);
export type EventStatus = typeof EventStatus.Type;

const content = {
  id: OutboxEventId,
  idempotencyToken: Schema.optionalKey(IdempotencyToken),
  eventType: EventType,
  key: Schema.optionalKey(OrderingKey),
  payload: Json,
};

/** An event as its producer has it. */
export const NewOutboxEvent = Schema.Struct(content);
export type NewOutboxEvent = typeof NewOutboxEvent.Type;

/** An event as a store keeps it. */
export const OutboxEvent = Schema.Struct({
  ...content,
  createdAt: Timestamp,
  /** Until when its owner alone may publish it; 0 if nobody does. */
  lockedUntil: Timestamp,
  status: EventStatus,
});
export type OutboxEvent = typeof OutboxEvent.Type;

/** An event that was given up, and why. */
export const DeadLetter = Schema.Struct({
  ...content,
  createdAt: Timestamp,
  failures: Schema.Natural,
  reason: Schema.String,
  diedAt: Timestamp,
});
export type DeadLetter = typeof DeadLetter.Type;
