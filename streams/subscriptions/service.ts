/**
 * The verbs of durable subscriptions, over records in the log and outlets of whatever kind. A verb
 * has happened when the record says so; the outlets follow, by the hand of whoever comes first.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import { encodeCursor, type ShardPosition } from "../../schema/cursor.ts";
import { InvalidCursor, SubscriptionConflict } from "../../schema/errors.ts";
import type { Timestamp } from "../../schema/ids.ts";
import type { SubscriptionFilter, SubscriptionRecord } from "../../schema/subscription_record.ts";
import type { Family } from "../families.ts";
import { families, familyFilters } from "../families/family.ts";
import { resolve } from "../families/position.ts";
import type { Log } from "../log.ts";
import {
  type ResetTarget,
  type SubscribeOptions,
  type Subscription,
  type SubscriptionKey,
  Subscriptions,
} from "../subscriptions.ts";
import { join } from "./member.ts";
import type { Outlets, OutletState } from "./outlet.ts";
import * as Progress from "./progress.ts";
import * as RegistryOf from "./registry.ts";
import { isMoved, notFound, type Registered } from "./registry.ts";
import * as UpkeepOf from "./upkeep.ts";

/** A filter in one form, so that equal ones look equal. */
const meantBy = ({ tenant, executionId, tag }: SubscribeOptions): SubscriptionFilter => ({
  ...(tenant === undefined ? {} : { tenant }),
  ...(executionId === undefined ? {} : { executionId }),
  ...(tag === undefined
    ? {}
    : { tag: { name: tag.name, ...(tag.value === undefined ? {} : { value: tag.value }) } }),
});

const sum = (states: ReadonlyArray<OutletState>, field: "pending" | "unacknowledged" | "waiting") =>
  states.reduce((total, state) => total + state[field], 0);

export const make = (log: Log["Service"], outlets: Outlets): Subscriptions["Service"] => {
  const registry = RegistryOf.make(log);
  const upkeep = UpkeepOf.make(log.layout, registry, outlets);

  const shardsOf = ({ family }: SubscriptionKey, filter: SubscriptionFilter) =>
    familyFilters(family, log.layout, filter).map(({ shard }) => shard);

  /** Where a subscription is to begin or to go on, by the rules of plain reading. */
  const positionsOf = (key: SubscriptionKey, filter: SubscriptionFilter, after: string) =>
    Effect.map(
      resolve(log, families[key.family].kind, shardsOf(key, filter), after),
      ({ positions }) => positions.map(({ sequence, at }) => ({ sequence, at })),
    );

  const create = Effect.fnUntraced(function* (
    key: SubscriptionKey,
    revision: number,
    filter: SubscriptionFilter,
    after: string,
  ) {
    const handled = yield* positionsOf(key, filter, after);
    const { sequence } = yield* log.tail(0);
    return yield* registry.put(key, {
      kind: "subscription",
      filter,
      generation: sequence,
      incarnation: log.incarnation,
      handled,
    }, revision);
  });

  const checked = Effect.fnUntraced(function* (registered: Registered, filter: SubscriptionFilter) {
    const { key, record } = registered;
    const [requested, stored] = [
      JSON.stringify(filter),
      JSON.stringify(meantBy({
        ...record.filter,
        durable: key.name,
      })),
    ];
    if (requested !== stored) {
      const names = { family: key.family, subscription: key.name };
      return yield* new SubscriptionConflict({ ...names, requested, stored });
    }
    if (record.incarnation !== log.incarnation) {
      const detail = `the subscription ${key.name} is about streams that are not there any more, ` +
        `and has to be reset`;
      return yield* new InvalidCursor({ reason: "other-incarnation", detail });
    }
    return registered;
  });

  const findOrCreate = (key: SubscriptionKey, filter: SubscriptionFilter, after: string) =>
    Effect.gen(function* () {
      const { revision, record } = yield* registry.look(key);
      return record === undefined
        ? yield* create(key, revision, filter, after)
        : yield* checked({ key, revision, record }, filter);
    }).pipe(Effect.retry({ while: isMoved }));

  const read: Subscriptions["Service"]["read"] = <F extends Family>(
    family: F,
    { durable, after = "now", until = Effect.never, ...filter }: SubscribeOptions,
  ) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const key = { family, name: durable };
        const meant = meantBy({ ...filter, durable });
        const { record } = yield* findOrCreate(key, meant, after);
        if (record.told === after) yield* Progress.heed(log, registry, key, after);
        const registered = yield* upkeep.settle(key);
        const next = yield* join({
          log,
          registry,
          outlets,
          upkeep,
          family,
          registered,
          until,
        });
        return Stream.fromEffectRepeat(next);
      }).pipe(Effect.withSpan("Subscriptions.read")),
    );

  const describe = Effect.fnUntraced(function* ({ key, record }: Registered) {
    const { filter, generation, handled, incarnation } = record;
    const found = yield* Effect.forEach(
      shardsOf(key, filter),
      (shard) => outlets.state(key, shard),
      { concurrency: 8 },
    );
    const states = found.flatMap((state) => state?.generation === generation ? [state] : []);
    const pending = sum(states, "pending");
    const unacknowledged = sum(states, "unacknowledged");
    const times = states.flatMap(({ lastActiveAt }) => lastActiveAt ?? []);
    return {
      ...key,
      filter,
      pending,
      unacknowledged,
      lag: pending + unacknowledged,
      waiting: sum(states, "waiting"),
      ...(times.length === 0 ? {} : { lastActiveAt: Math.max(...times) as Timestamp }),
      cursor: encodeCursor({ incarnation, shards: handled }),
    } satisfies Subscription;
  });

  /** Just before the first of its records that was stored at a time or later, or now. */
  const positionsAt = (key: SubscriptionKey, filter: SubscriptionFilter, time: Timestamp) =>
    Effect.gen(function* () {
      const positions: Array<ShardPosition> = [...(yield* positionsOf(key, filter, "now"))];
      yield* Effect.forEach(
        familyFilters(key.family, log.layout, filter),
        (each) =>
          Effect.map(outlets.firstSince(each, time), (sequence) => {
            if (sequence === undefined || sequence > positions[each.shard]!.sequence) return;
            positions[each.shard] = { sequence: sequence - 1, at: positions[each.shard]!.at };
          }),
        { concurrency: 8 },
      );
      return positions;
    });

  const reset = Effect.fn("Subscriptions.reset")(function* (
    key: SubscriptionKey,
    to: ResetTarget,
  ) {
    yield* Effect.gen(function* () {
      const { revision, record } = yield* registry.find(key);
      const handled = "at" in to
        ? yield* positionsAt(key, record.filter, to.at)
        : yield* positionsOf(key, record.filter, to.after);
      const { told: _, ...kept } = record;
      const moved: SubscriptionRecord = {
        ...kept,
        generation: revision,
        incarnation: log.incarnation,
        handled: handled.map(({ sequence, at }) => ({ sequence, at })),
      };
      yield* registry.put(key, moved, revision);
    }).pipe(Effect.retry({ while: isMoved }));
    yield* upkeep.settle(key);
  });

  const remove = Effect.fn("Subscriptions.delete")(function* (key: SubscriptionKey) {
    const wasThere = yield* registry.find(key).pipe(
      Effect.flatMap(registry.remove),
      Effect.as(true),
      Effect.retry({ while: isMoved }),
      Effect.catchTag("SubscriptionNotFound", () => Effect.succeed(false)),
    );
    // One that stopped between the two has left the outlets, which make the subscription no more.
    const hadOutlets = yield* upkeep.removeAll(key);
    if (!wasThere && !hadOutlets) return yield* notFound(key);
  });

  return Subscriptions.of({
    read,
    list: Effect.flatMap(registry.list, (all) => Effect.forEach(all, describe, { concurrency: 8 })),
    reset,
    delete: remove,
  });
};
