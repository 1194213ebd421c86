/**
 * The position of a reader in all shards of a namespace, as one opaque string that users may store.
 * Two cursors are equal exactly when their positions are, and one from another product, another
 * layout or a damaged store is refused. Whether the stream can still honour a position is not
 * decided here.
 */
import * as Effect from "effect/Effect";
import * as Base64Url from "effect/encoding/Base64Url";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { InvalidCursor } from "./errors.ts";

/** An opaque position, to be stored and handed back. */
export const Cursor = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_-]+$/, { expected: "a cursor" }),
).pipe(Schema.brand("Cursor"));
export type Cursor = typeof Cursor.Type;

/** Where a reader is in one shard: the last sequence that it has seen, and when that was stored. */
export interface ShardPosition {
  readonly sequence: number;
  /** Tells a sequence from the same number issued again after the store was damaged. */
  readonly at: number;
}

/** What a cursor says. Numbers are non-negative safe integers. */
export interface CursorPosition {
  /** Which creation of the stream this is about: 16 lower-case hex digits. */
  readonly incarnation: string;
  readonly shards: ReadonlyArray<ShardPosition>;
}

/** Where to start reading: after a cursor, or at either end; an empty string means `now`. */
export type CursorInput = Cursor | "earliest" | "now" | "";

const prefix = 0x03;
const layout = 0x01;
const headerBytes = 12;
const shardBytes = 16;

/**
 * The cursor of a position: for who read the streams with another client, and goes on with Weir.
 *
 * @example From the sequences of messages, and back
 * ```ts
 * import assert from "node:assert/strict";
 * import * as Effect from "effect/Effect";
 * import { decodeCursor, encodeCursor } from "@weir/weir/schema";
 *
 * // A message of the stream of shard 0: its sequence, and when it was stored.
 * const message = { seq: 42, timestampNanos: 1767225600000999999n };
 * const cursor = encodeCursor({
 *   // As any cursor of the same namespace has it.
 *   incarnation: "00c0ffee00c0ffee",
 *   // Whole milliseconds; `message.time` is rounded, at times to the next one.
 *   shards: [{ sequence: message.seq, at: Number(message.timestampNanos / 1_000_000n) }],
 * });
 * const { shards } = Effect.runSync(decodeCursor(cursor));
 * assert.equal(shards[0]!.sequence, 42);
 * ```
 */
export const encodeCursor = ({ incarnation, shards }: CursorPosition): Cursor => {
  const bytes = new Uint8Array(headerBytes + shardBytes * shards.length);
  const view = new DataView(bytes.buffer);
  bytes.set([prefix, layout]);
  view.setBigUint64(2, BigInt(`0x${incarnation}`));
  view.setUint16(10, shards.length);
  shards.forEach(({ sequence, at }, shard) => {
    const offset = headerBytes + shardBytes * shard;
    view.setBigUint64(offset, BigInt(sequence));
    view.setBigUint64(offset + 8, BigInt(at));
  });
  return Cursor.make(Base64Url.encode(bytes));
};

/**
 * The position of a cursor, or why it is refused: in each shard the sequence of the stream behind
 * which a consumer of any client would go on.
 */
export const decodeCursor = (text: string): Effect.Effect<CursorPosition, InvalidCursor> => {
  const refuse = (reason: "malformed" | "foreign" | "newer-layout", why: string) =>
    Effect.fail(
      new InvalidCursor({ reason, detail: `${JSON.stringify(text.slice(0, 100))} ${why}` }),
    );
  const decoded = Base64Url.decode(text);
  if (Result.isFailure(decoded) || Base64Url.encode(decoded.success) !== text) {
    return refuse("malformed", "is not canonical base64url");
  }
  const bytes = decoded.success;
  if (bytes[0] === undefined) return refuse("malformed", "is empty");
  if (bytes[0] !== prefix) return refuse("foreign", "was not issued by Weir");
  if (bytes[1] === undefined || bytes[1] === 0) return refuse("malformed", "has no layout version");
  if (bytes[1] > layout) {
    return refuse("newer-layout", `has layout ${bytes[1]}, and this release reads ${layout}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length < headerBytes ? 0 : view.getUint16(10);
  if (count === 0 || bytes.length !== headerBytes + shardBytes * count) {
    return refuse("malformed", "has the wrong length");
  }
  const shards = Array.from({ length: count }, (_, shard) => {
    const offset = headerBytes + shardBytes * shard;
    return {
      sequence: Number(view.getBigUint64(offset)),
      at: Number(view.getBigUint64(offset + 8)),
    };
  });
  if (!shards.every(({ sequence, at }) => isExact(sequence) && isExact(at))) {
    return refuse("malformed", "names a position that no stream reaches");
  }
  const incarnation = view.getBigUint64(2).toString(16).padStart(16, "0");
  return Effect.succeed({ incarnation, shards });
};

/** Of a list, which begins with the newest and knows neither `earliest` nor `now`. */
export const ofList = ({ reason, detail }: InvalidCursor) =>
  new InvalidCursor({ reason, detail, of: "list" });

const isExact = Number.isSafeInteger;

/** What a reader was asked to start from. */
export const parseCursorInput = (
  text: string,
): Effect.Effect<CursorPosition | "earliest" | "now", InvalidCursor> =>
  text === "" || text === "now"
    ? Effect.succeed("now")
    : text === "earliest"
    ? Effect.succeed("earliest")
    : decodeCursor(text);
