/**
 * What a consumer says with a message, and what it may be told about it: the subject that it wants
 * the answer at names the message, and the answer is one word. Answers are sent and not waited for,
 * so that one that is lost has the message come again.
 */
import { nanos } from "@nats-io/nats-core";

const encoder = new TextEncoder();
export const acknowledged = encoder.encode("+ACK");
export const inProgress = encoder.encode("+WPI");
export const terminated = encoder.encode("+TERM");

/** It is to come again, after a while or at once. */
export const notNow = (afterMs: number): Uint8Array =>
  encoder.encode(afterMs > 0 ? `-NAK {"delay": ${nanos(afterMs)}}` : "-NAK");

/** Whole milliseconds; as a number, so many nanoseconds would be rounded, at times to the next one. */
export const millisOf = (nanoseconds: string | bigint): number =>
  Number(String(nanoseconds).slice(0, -6));

/** What the server says of a message. */
export interface Told {
  readonly stream: string;
  readonly consumer: string;
  /** How many times it was delivered. */
  readonly offers: number;
  readonly sequence: number;
  /** Its number among all deliveries of the consumer. */
  readonly delivery: number;
  readonly at: number;
}

/** What the server says of a message by where it wants the answer. */
export const readReply = (
  reply: string,
): Told | undefined => {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK") return undefined;
  // Newer servers put the domain and the account before the stream.
  const start = tokens.length === 9 ? 4 : 6;
  return {
    stream: tokens[start - 2]!,
    consumer: tokens[start - 1]!,
    offers: Number(tokens[start]),
    sequence: Number(tokens[start + 1]),
    delivery: Number(tokens[start + 2]),
    at: millisOf(tokens[start + 3]!),
  };
};
