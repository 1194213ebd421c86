/**
 * The records of durable subscriptions, in the bucket of the first shard. Each is written behind the
 * revision that the writer has seen, so that of several who create, move or delete a subscription at
 * the same time one decides. What servers keep besides is not touched here.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { SubscriptionNotFound } from "../../schema/errors.ts";
import { SubscriptionName } from "../../schema/ids.ts";
import * as Schema from "effect/Schema";
import { type SubscriptionRecord, subscriptionRecord } from "../../schema/subscription_record.ts";
import type { Family } from "../families.ts";
import { families } from "../families/family.ts";
import type { AppendError, Entry, Log, ReadError } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { type Filter, type Layout, shardRoot, subscriptionAddress } from "../subjects.ts";
import type { SubscriptionKey } from "../subscriptions.ts";
import * as Metric from "effect/Metric";

/** A subscription as it was read. */
export interface Registered {
  readonly key: SubscriptionKey;
  readonly revision: number;
  readonly record: SubscriptionRecord;
}

/** What is known of a name: the record, or only the revision that a new one has to follow. */
export interface Known {
  readonly revision: number;
  readonly record: SubscriptionRecord | undefined;
}

/** Whether somebody else wrote first. */
export const isMoved = ({ _tag }: { readonly _tag: string }): boolean =>
  _tag === "AlreadyExists" || _tag === "SequenceConflict";

export const notFound = ({ family, name }: SubscriptionKey): SubscriptionNotFound =>
  new SubscriptionNotFound({ family, subscription: name });

const registryFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: `$KV.${shardRoot(layout, 0)}.subscription.*.*`,
});

const isFamily = (text: string): text is Family => Object.hasOwn(families, text);
const isName = Schema.is(SubscriptionName);

const keyOf = ({ subject }: Entry): SubscriptionKey | undefined => {
  const [family = "", name] = subject.split(".").slice(3);
  return isFamily(family) && isName(name) ? { family, name } : undefined;
};

export type Registry = ReturnType<typeof make>;

export const make = (log: Log["Service"]) => {
  const addressOf = ({ family, name }: SubscriptionKey) =>
    subscriptionAddress(log.layout, family, name);

  /** As the leader has it. */
  const look = Effect.fnUntraced(function* (
    key: SubscriptionKey,
  ): Effect.fn.Return<Known, ReadError> {
    const last = Option.getOrUndefined(yield* log.last(addressOf(key), "subscription"));
    if (last === undefined) return { revision: 0, record: undefined };
    const record = last.removed ? undefined : yield* subscriptionRecord.decode(last.body, last);
    return { revision: last.sequence, record };
  });

  const find = Effect.fnUntraced(function* (
    key: SubscriptionKey,
  ): Effect.fn.Return<Registered, ReadError | SubscriptionNotFound> {
    const { revision, record } = yield* look(key);
    return record === undefined ? yield* notFound(key) : { key, revision, record };
  });

  const put = (
    key: SubscriptionKey,
    record: SubscriptionRecord,
    after: number,
  ): Effect.Effect<Registered, AppendError> =>
    log.append(addressOf(key), {
      kind: "subscription",
      body: subscriptionRecord.encode(record),
      guard: { after },
      replaces: true,
    }).pipe(Effect.map(({ sequence }) => ({ key, revision: sequence, record })));

  const remove = ({ key, revision }: Registered): Effect.Effect<void, AppendError> =>
    Effect.asVoid(log.append(addressOf(key), {
      kind: "subscription",
      body: new Uint8Array(),
      guard: { after: revision },
      removes: true,
      replaces: true,
    }));

  const registeredBy = (entry: Entry) => {
    const key = keyOf(entry);
    if (entry.removed || key === undefined) return Effect.succeed([]);
    return subscriptionRecord.decode(entry.body, entry).pipe(
      Effect.map((record) => [{ key, revision: entry.sequence, record }]),
      Effect.catch(() => Effect.as(Metric.update(skippedRecords, 1), [])),
    );
  };

  const list: Effect.Effect<ReadonlyArray<Registered>, ReadError> = Effect.map(
    Stream.runCollect(Stream.mapEffect(log.read(registryFilter(log.layout)), registeredBy)),
    (found) => Array.from(found).flat(),
  );

  return { look, find, put, remove, list };
};
