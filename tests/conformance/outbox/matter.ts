/** What the outbox's suites add, and how they wait: a look is repeated until it tells what is awaited. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import type { PayloadTooLarge } from "../../../schema/errors.ts";
import type { EventLockLost } from "../../../schema/outbox_errors.ts";
import {
  EventType,
  IdempotencyToken,
  type NewOutboxEvent,
  OrderingKey,
  OutboxEventId,
} from "../../../streams/outbox/event.ts";
import { type Claim, OutboxStore, type StoreError } from "../../../streams/outbox/store.ts";

/** Runs a test's effect on an empty store, which nobody else uses. */
export type RunOnEmptyStore = (
  effect: Effect.Effect<void, unknown, OutboxStore>,
) => Promise<void>;

export const newEvent = (
  { token, key, payload = {} }: {
    readonly token?: string;
    readonly key?: string;
    readonly payload?: NewOutboxEvent["payload"];
  } = {},
): NewOutboxEvent => ({
  id: OutboxEventId.make(randomUUID()),
  eventType: EventType.make("order.paid"),
  payload,
  ...(token === undefined ? {} : { idempotencyToken: IdempotencyToken.make(token) }),
  ...(key === undefined ? {} : { key: OrderingKey.make(key) }),
});

export const until = <A, E, R>(look: Effect.Effect<A, E, R>, awaited: (value: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: awaited, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("30 seconds"),
  );

/** A lock that does not lapse within a test. */
export const long = "10 minutes";
/** A lock that lapses while a test looks on. */
export const short = "500 millis";

/** Claims what there is, once; a store may not see at once what has just been added. */
export const claimNow = (
  options: { readonly owner?: string; readonly limit?: number; readonly lock?: Duration.Input } =
    {},
) =>
  Effect.flatMap(
    OutboxStore,
    (store) => store.claim({ owner: "owner", limit: 100, lock: long, ...options }),
  );

/** Claims until it has so many. */
export const claim = (
  count: number,
  options: { readonly owner?: string; readonly limit?: number; readonly lock?: Duration.Input } =
    {},
): Effect.Effect<ReadonlyArray<Claim>, unknown, OutboxStore> =>
  Effect.gen(function* () {
    const claims: Array<Claim> = [];
    yield* until(
      Effect.map(
        claimNow({ limit: count - claims.length, ...options }),
        (more) => claims.push(...more),
      ),
      (total) => total >= count,
    );
    assert.equal(claims.length, count);
    return claims;
  });

export const claimOne = (options?: Parameters<typeof claim>[1]) =>
  Effect.map(claim(1, options), ([only]) => only!);

export const insert = (...events: ReadonlyArray<NewOutboxEvent>) =>
  Effect.gen(function* () {
    const store = yield* OutboxStore;
    return yield* Effect.forEach(events, store.insert);
  });

export const idsOf = (claims: ReadonlyArray<Claim>) => claims.map(({ event }) => event.id).sort();

/** What an owner does to an event, each of which its lock must allow; tells what refused it. */
export const marks = (
  store: OutboxStore["Service"],
): Readonly<
  Record<
    string,
    (claim: Claim) => Effect.Effect<string | undefined, PayloadTooLarge | StoreError>
  >
> => {
  const refusal = (mark: Effect.Effect<unknown, EventLockLost | PayloadTooLarge | StoreError>) =>
    mark.pipe(
      Effect.as(undefined),
      Effect.catchTag("EventLockLost", ({ _tag }) => Effect.succeed(_tag)),
    );
  return {
    renew: (claim) => refusal(store.renew(claim, long)),
    sent: (claim) => Effect.map(store.markSent([claim]), ([refused]) => refused?._tag),
    failed: (claim) => refusal(store.markFailed(claim, { reason: "no", retryAfter: 0 })),
    release: (claim) => refusal(store.release(claim)),
    dead: (claim) => refusal(store.deadLetter(claim, "no")),
  };
};
