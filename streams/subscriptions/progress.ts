/**
 * How far a subscription has come, as a reader sees it, and whether events were removed that it may
 * not have handed out. Every look holds the floors of now against the position of the look before,
 * since a position moves over what is gone without a word. What is known is also kept in the
 * record, for readers to come.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { encodeCursor, type ShardPosition } from "../../schema/cursor.ts";
import { CursorGap } from "../../schema/errors.ts";
import { families } from "../families/family.ts";
import { aboveFloors, floorPosition } from "../families/position.ts";
import { readFloors } from "../floor.ts";
import type { Log, Tail } from "../log.ts";
import type { Filter } from "../subjects.ts";
import type { SubscriptionError, SubscriptionKey } from "../subscriptions.ts";
import type { Outlets, OutletState } from "./outlet.ts";
import { isMoved, type Registered, type Registry } from "./registry.ts";

const later = (a: ShardPosition, b: ShardPosition | undefined): ShardPosition =>
  b !== undefined && b.sequence > a.sequence ? b : a;

/** The record with a later position where one is known; nothing if it has them all. */
export const advanced = (
  { record }: Registered,
  handled: ReadonlyArray<ShardPosition>,
) => {
  const merged = record.handled.map((position, shard) => later(position, handled[shard]));
  const isNews = merged.some(({ sequence }, shard) => sequence > record.handled[shard]!.sequence);
  return isNews ? { ...record, handled: merged } : undefined;
};

/** Keeps positions in the record, unless the subscription has begun anew since. */
export const keep = Effect.fnUntraced(function* (
  registry: Registry,
  { key, record: { generation } }: Registered,
  handled: ReadonlyArray<ShardPosition>,
): Effect.fn.Return<void, SubscriptionError> {
  const found = yield* registry.look(key);
  if (found.record?.generation !== generation) return;
  const registered = { key, revision: found.revision, record: found.record };
  const record = advanced(registered, handled);
  if (record === undefined) return;
  yield* Effect.catchIf(
    registry.put(key, record, found.revision),
    isMoved,
    () => keep(registry, registered, handled),
  );
});

/** Where a gap ends, in the words in which the first was told who heard of it; the others are told the same. */
export const tell = Effect.fnUntraced(function* (
  registry: Registry,
  { key, record: { generation } }: Registered,
  earliest: string,
): Effect.fn.Return<string, SubscriptionError> {
  const { record, revision } = yield* registry.look(key);
  if (record?.generation !== generation) return earliest;
  if (record.told !== undefined) return record.told;
  yield* registry.put(key, { ...record, told: earliest }, revision);
  return earliest;
}, Effect.retry({ while: isMoved }));

/**
 * Has a caller go on who begins where a gap was told to end: he knows of it. What was removed while he
 * took stock is of the same gap, or nobody would come past the floors of a busy shard.
 */
export const heed = Effect.fnUntraced(function* (
  log: Log["Service"],
  registry: Registry,
  key: SubscriptionKey,
  after: string,
): Effect.fn.Return<void, SubscriptionError> {
  const { record, revision } = yield* registry.look(key);
  if (record?.told !== after) return;
  const { told: _, ...known } = record;
  const { kind } = families[key.family];
  const handled = yield* Effect.forEach(
    record.handled,
    (position, shard) =>
      Effect.map(floorPosition(log, kind, shard), (floor) => later(position, floor)),
  );
  yield* registry.put(key, { ...known, handled }, revision);
}, Effect.retry({ while: isMoved }));

/** What a look finds in one shard. */
interface Seen {
  readonly shard: number;
  readonly position: ShardPosition;
  /** Where a gap ends, if there is one. */
  readonly floor: ShardPosition | undefined;
}

/** The progress of a subscription of one generation, with the records that it has in each shard. */
export const make = (
  log: Log["Service"],
  outlets: Outlets,
  { key, record }: Registered,
  filters: ReadonlyArray<Filter>,
) => {
  const { kind } = families[key.family];
  let handled: ReadonlyArray<ShardPosition> = record.handled;

  /** Up to where everything is handled. An outlet on a replica may lag behind the log's end. */
  const handledBy = Effect.fnUntraced(function* (
    { delivered, acknowledged, pending, unacknowledged }: OutletState,
    filter: Filter,
    tail: Tail,
  ): Effect.fn.Return<number, SubscriptionError> {
    if (unacknowledged > 0) return acknowledged;
    const last = Math.max(delivered, handled[filter.shard]!.sequence);
    if (pending > 0 || tail.sequence <= last) return last;
    const next = yield* log.next(filter, last);
    return Option.exists(next, ({ sequence }) => sequence <= tail.sequence) ? last : tail.sequence;
  });

  const lookAt = Effect.fnUntraced(function* (
    filter: Filter,
  ): Effect.fn.Return<Seen | undefined, SubscriptionError> {
    const { shard } = filter;
    const tail = yield* log.tail(shard);
    const state = yield* outlets.state(key, shard);
    if (state?.generation !== record.generation) return undefined;
    const sequence = yield* handledBy(state, filter, tail);
    // Last: what was removed before is below the floors that are read now.
    const isGap = (yield* readFloors(log, shard))[kind] > handled[shard]!.sequence;
    const floor = isGap ? yield* floorPosition(log, kind, shard) : undefined;
    return { shard, position: { sequence, at: tail.at }, floor };
  });

  /** Fails with a gap; says whether the outlets are still those of this generation. */
  const look: Effect.Effect<boolean, SubscriptionError | CursorGap> = Effect.gen(function* () {
    const seen = yield* Effect.forEach(filters, lookAt, { concurrency: 8 });
    const passed = new Map<number, ShardPosition>();
    const now = [...handled];
    for (const at of seen) {
      if (at === undefined) continue;
      const before = handled[at.shard]!;
      if (at.floor !== undefined) passed.set(at.shard, at.floor);
      now[at.shard] = later(before, at.position);
    }
    if (passed.size > 0) {
      const { incarnation } = record;
      const requested = { incarnation, shards: handled };
      const earliest = aboveFloors(requested, passed);
      return yield* new CursorGap({ requested: encodeCursor(requested), earliest });
    }
    handled = now;
    return seen.every((at) => at !== undefined);
  });

  return { look, handled: () => handled };
};
