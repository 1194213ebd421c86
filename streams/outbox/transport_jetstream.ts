/**
 * Publishes the outbox to a JetStream stream, each event under its id as the message id: the stream
 * stores it once within its duplicate window, however often it is published. What comes again later
 * is for the receiver to recognise; `inbox.ts` does. The stream is not created here.
 */
import { headers, type MsgHdrs } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { PublishFailed, PublishRefused } from "../../schema/outbox_errors.ts";
import { Connection } from "../connection.ts";
import type { OutboxEvent } from "./event.ts";
import { about, OutboxTransport } from "./transport.ts";

export interface JetStreamTransportOptions {
  /**
   * What stands before the event type in the subject, or the subject of an event. An event type such
   * as `order.paid` is two tokens.
   */
  readonly subject: string | ((event: OutboxEvent) => string);
}

/** What a receiver finds beside the payload. */
export const outboxHeaders = {
  id: "event_id",
  type: "event_type",
  createdAt: "created_at",
  token: "idempotency_token",
  key: "ordering_key",
} as const;

/** One or more non-empty tokens of printable characters, none of them a wildcard. */
const isSubject = (subject: string): boolean =>
  subject.split(".").every((token) =>
    token !== "" && token !== "*" && token !== ">" && !/[\s\p{Cc}]/u.test(token)
  );

const messageTooLarge = 10054;

const encoder = new TextEncoder();

const headersOf = (event: OutboxEvent): MsgHdrs => {
  const { id, eventType, createdAt, idempotencyToken, key } = event;
  const header = headers();
  header.set(outboxHeaders.id, id);
  header.set(outboxHeaders.type, eventType);
  header.set(outboxHeaders.createdAt, new Date(createdAt).toISOString());
  if (idempotencyToken !== undefined) header.set(outboxHeaders.token, idempotencyToken);
  if (key !== undefined) header.set(outboxHeaders.key, key);
  return header;
};

export const layer = (
  { subject }: JetStreamTransportOptions,
): Layer.Layer<OutboxTransport, never, Connection> =>
  Layer.effect(
    OutboxTransport,
    Effect.map(Connection, ({ nats, jetStream, ask }) => {
      const publish = Effect.fn("OutboxTransport.publish")(function* (event: OutboxEvent) {
        const refused = (reason: string, cause?: unknown) =>
          new PublishRefused({
            ...about(event),
            reason,
            ...(cause === undefined ? {} : { cause }),
          });
        const { to, header } = yield* Effect.try({
          try: () => ({
            to: typeof subject === "string" ? `${subject}.${event.eventType}` : subject(event),
            header: headersOf(event),
          }),
          catch: (cause) => refused(`it has no subject or headers: ${cause}`, cause),
        });
        if (!isSubject(to)) return yield* refused(`${JSON.stringify(to)} is not a subject`);
        const body = encoder.encode(JSON.stringify(event.payload));
        const limit = nats.info?.max_payload ?? Infinity;
        if (body.length > limit) {
          return yield* refused(`${body.length} bytes exceed the server's ${limit}`);
        }
        yield* ask(`publish to ${to}`, () =>
          jetStream.publish(to, body, { msgID: event.id, headers: header }))
          .pipe(Effect.mapError((cause) => {
            const isTooLarge = cause._tag === "ServerRefused" &&
              cause.errorCode === messageTooLarge;
            return isTooLarge
              ? refused(cause.message, cause)
              : new PublishFailed({ ...about(event), reason: cause.message, cause });
          }));
      });
      return OutboxTransport.of({ publish });
    }),
  );
