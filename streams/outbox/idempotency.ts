/**
 * Where the token of an event comes from, by which a repeated attempt to add it is recognised. The
 * same input gives the same token on every machine, but for `uuid`, which never recognises anything.
 * It reserves nothing: the store takes the token with the event.
 */
import { createHash } from "node:crypto";
import type * as Schema from "effect/Schema";
import { uuidV7Unsafe } from "effect/crypto/SecureRandom";
import type { NewOutboxEvent } from "./event.ts";

type Json = Schema.Json;

/** An event before it has a token. */
export type UntokenedEvent = Omit<NewOutboxEvent, "idempotencyToken">;

export type IdempotencyStrategy =
  /** Whatever `add` is given; nothing is no token. */
  | { readonly type: "provided" }
  /** Derived from the event. */
  | { readonly type: "custom"; readonly derive: (event: UntokenedEvent) => string }
  /** A hash of type and payload, so that the same content is added once. */
  | { readonly type: "payloadHash" }
  /** A new UUID for each, whatever `add` is given: receivers have a token, repetitions are added. */
  | { readonly type: "uuid" }
  /** No token at all, whatever `add` is given. */
  | { readonly type: "none" };

/** One text for all ways to write the same JSON value: the order of an object's fields says nothing. */
const canonical = (value: Json): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value as { readonly [name: string]: Json })
    .sort(([a], [b]) => a < b ? -1 : 1);
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join()}}`;
};

/** SHA-256 of an event's type and payload. */
export const payloadHash = ({ eventType, payload }: UntokenedEvent): string =>
  createHash("sha256").update(`${JSON.stringify(eventType)}\n${canonical(payload)}`)
    .digest("base64url");

/** The token that an event gets. */
export const tokenOf = (
  strategy: IdempotencyStrategy,
  event: UntokenedEvent,
  provided: string | undefined,
): string | undefined => {
  switch (strategy.type) {
    case "provided":
      return provided;
    case "custom":
      return strategy.derive(event);
    case "payloadHash":
      return payloadHash(event);
    case "uuid":
      return uuidV7Unsafe();
    case "none":
      return undefined;
  }
};
