/**
 * Who a server is to its clients, and which key each of them signs with. Both are drawn once and
 * stay: of many processes that begin at the same time, one draws for all.
 */
import * as Effect from "effect/Effect";
import { makeRemoteIdUnsafe, type RemoteId } from "effect/eventlog/EventJournal";
import type { AppendError, Log, ReadError } from "../log.ts";
import { type KeyedValues, make as makeValues } from "../persistence/keyed_values.ts";
import type { ServerClock } from "../server_clock.ts";
import { base64, bytesOf } from "./bytes.ts";

export interface Identities {
  readonly remoteId: RemoteId;
  /** The key that was given first. */
  readonly signingKey: (
    publicKey: string,
    given: Uint8Array,
  ) => Effect.Effect<Uint8Array<ArrayBuffer>, AppendError | ReadError>;
}

const firstOf = (values: KeyedValues, key: string, given: Uint8Array) => {
  const content = { base64: base64(given) };
  return values.update(
    key,
    (now) =>
      now !== undefined && "base64" in now.content
        ? [bytesOf(now.content.base64), undefined]
        : [bytesOf(content.base64), { content }],
  );
};

export const make = Effect.fnUntraced(function* (
  log: Log["Service"],
  clock: ServerClock["Service"],
  use: string,
): Effect.fn.Return<Identities, AppendError | ReadError> {
  const remotes = makeValues(log, clock, "remote", use);
  const keys = makeValues(log, clock, "signer", use);
  return {
    remoteId: (yield* firstOf(remotes, "id", makeRemoteIdUnsafe())) as RemoteId,
    signingKey: (publicKey, given) => firstOf(keys, publicKey, given),
  };
});
