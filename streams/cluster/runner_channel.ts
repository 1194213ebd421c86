/**
 * What two runners say to each other over core NATS: messages of any size in numbered frames, and
 * signs of life. The numbers show that a frame was lost, which core NATS does not tell, so a channel
 * carries everything in order or is given up by both sides; it repeats nothing.
 */
import { randomUUID } from "node:crypto";
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import * as Bytes from "effect/Bytes";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as RpcSerialization from "effect/rpc/RpcSerialization";
import { PayloadTooLarge } from "../../schema/errors.ts";
import type { Namespace } from "../../schema/ids.ts";
import { encodeToken } from "../../schema/token.ts";

export interface RunnerProtocolOptions {
  /** What a request or a reply between runners may weigh; 16 MiB if left out. */
  readonly maxPayloadBytes?: number;
  /**
   * How often a peer that is silent while requests are under way is asked for a sign of life; 5
   * seconds if left out. The third time that it gives none, it is gone.
   */
  readonly heartbeat?: Duration.Input;
}

export const defaultHeartbeat = "5 seconds";
const defaultMaxPayloadBytes = 16 * 1024 * 1024;
const beatsUntilGone = 3;

/** Behind a "-" that no namespace has: outside the subjects of every stream, and all of one kind. */
const subjectRoot = (namespace: Namespace): string => `${namespace}-runner`;

/** Where a runner hears. */
export const runnerSubject = (
  namespace: Namespace,
  { host, port }: { readonly host: string; readonly port: number },
): string => `${subjectRoot(namespace)}.at.${encodeToken(`${host}:${port}`)}`;

const replyRoot = (namespace: Namespace): string => `${subjectRoot(namespace)}.reply.`;

/** Where one side hears of the channels that it numbers, under a name of its own. */
export const newReplySubject = (namespace: Namespace): string =>
  `${replyRoot(namespace)}${randomUUID()}`;

/** Whether runners hear there, so that nobody has a runner publish elsewhere. */
export const isReplySubject = (namespace: Namespace, subject: string): boolean =>
  subject.startsWith(replyRoot(namespace));

/** The server's word that nobody hears a subject, sent to who wanted a reply. */
export const isNobodyThere = ({ data, headers }: Msg): boolean =>
  data.length === 0 && headers?.code === 503;

/**
 * `part`: a message that goes on in the next frame. `lost`: frames are missing, or the channel is not
 * known here. `close`: nothing more will come, and nothing is waited for.
 */
const kinds = ["message", "part", "ping", "pong", "lost", "close"] as const;
type Kind = typeof kinds[number];
export type Sign = Exclude<Kind, "message" | "part">;

/** The kind, and the number: the frame's own if it carries something, else that of the last such. */
const headBytes = 5;

const encodeFrame = (kind: Kind, number: number, body?: Uint8Array): Uint8Array => {
  const frame = new Uint8Array(headBytes + (body?.length ?? 0));
  frame[0] = kinds.indexOf(kind);
  new DataView(frame.buffer).setUint32(1, number);
  if (body !== undefined) frame.set(body, headBytes);
  return frame;
};

/** Whether a frame opens a channel, so that whoever hears it need not know the channel. */
export const isFirst = (data: Uint8Array): boolean =>
  (data[0] === kinds.indexOf("message") || data[0] === kinds.indexOf("part")) &&
  data.length >= headBytes && new DataView(data.buffer, data.byteOffset).getUint32(1) === 1;

const flushEachBytes = 1024 * 1024;
const encoder = new TextEncoder();

/** One side of a channel. */
export class Channel {
  readonly parser: RpcSerialization.Parser;
  readonly #nats: NatsConnection;
  readonly #to: string;
  readonly #reply: string;
  readonly #limitBytes: number;
  #sent = 0;
  #heard = 0;
  #parts: Array<Uint8Array> = [];
  #isHeard = true;
  #missedBeats = 0;
  #unflushedBytes = 0;

  constructor(
    nats: NatsConnection,
    serialization: RpcSerialization.RpcSerialization["Service"],
    { to, reply, limitBytes }: {
      readonly to: string;
      readonly reply: string;
      readonly limitBytes: number | undefined;
    },
  ) {
    this.parser = serialization.makeUnsafe();
    this.#nats = nats;
    this.#to = to;
    this.#reply = reply;
    this.#limitBytes = limitBytes ?? defaultMaxPayloadBytes;
  }

  /** Sends a message whole, and waits if the server does not keep up; dies if it is too large. */
  send(message: unknown): Effect.Effect<void> {
    return Effect.suspend(() => {
      const encoded = this.parser.encode(message);
      if (encoded === undefined) return Effect.void;
      const bytes = typeof encoded === "string" ? encoder.encode(encoded) : encoded;
      if (bytes.length > this.#limitBytes) {
        return Effect.die(
          new PayloadTooLarge({ sizeBytes: bytes.length, limitBytes: this.#limitBytes }),
        );
      }
      const room = this.#nats.info!.max_payload - headBytes;
      for (let start = 0; start < bytes.length; start += room) {
        const kind = start + room < bytes.length ? "part" : "message";
        const frame = encodeFrame(kind, ++this.#sent, bytes.subarray(start, start + room));
        this.#nats.publish(this.#to, frame, { reply: this.#reply });
      }
      this.#unflushedBytes += bytes.length;
      if (this.#unflushedBytes < flushEachBytes) return Effect.void;
      this.#unflushedBytes = 0;
      return Effect.ignore(Effect.tryPromise(() => this.#nats.flush()));
    });
  }

  sign(sign: Sign): void {
    if (this.#nats.isClosed()) return;
    this.#nats.publish(this.#to, encodeFrame(sign, this.#sent), { reply: this.#reply });
  }

  /** A whole message, nothing so far, or that the channel is over. */
  hear(data: Uint8Array): Uint8Array | "nothing" | "over" {
    const kind = kinds[data[0] ?? -1];
    if (kind === undefined || data.length < headBytes) return "nothing";
    if (kind === "lost" || kind === "close") return "over";
    const number = new DataView(data.buffer, data.byteOffset).getUint32(1);
    const isCarrier = kind === "message" || kind === "part";
    if (number !== this.#heard + (isCarrier ? 1 : 0)) {
      this.sign("lost");
      return "over";
    }
    this.#isHeard = true;
    this.#heard = number;
    if (kind === "ping") this.sign("pong");
    if (!isCarrier) return "nothing";
    this.#parts.push(data.subarray(headBytes));
    if (kind === "part") return "nothing";
    const message = Bytes.concat(this.#parts);
    this.#parts = [];
    return message;
  }

  /**
   * Whether the peer is still there, as far as its signs go, of which another is asked for. Beats are
   * counted, and no time is taken, so that who was frozen himself does not blame the peer.
   */
  beat(): boolean {
    this.#missedBeats = this.#isHeard ? 0 : this.#missedBeats + 1;
    if (this.#missedBeats >= beatsUntilGone) return false;
    if (!this.#isHeard) this.sign("ping");
    this.#isHeard = false;
    return true;
  }
}
