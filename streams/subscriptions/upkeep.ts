/**
 * Making the outlets of a subscription what its record says, whoever changed it and wherever that one
 * stopped. The record is read again after every change, so that of two generations the later one
 * stays; whoever acts on an older record costs others repeated events and no lost ones.
 */
import * as Effect from "effect/Effect";
import type { SubscriptionNotFound } from "../../schema/errors.ts";
import { familyFilters } from "../families/family.ts";
import type { Layout } from "../subjects.ts";
import type { SubscriptionError, SubscriptionKey } from "../subscriptions.ts";
import type { Outlets } from "./outlet.ts";
import type { Registered, Registry } from "./registry.ts";

/** A cluster shows what it was told to make a little later. */
const lookAgain = "20 millis";

export type Upkeep = ReturnType<typeof make>;

export const make = (layout: Layout, registry: Registry, outlets: Outlets) => {
  /** Says whether they were as the record says; if not, they are closer to it now. */
  const adjust = Effect.fnUntraced(function* ({ key, record }: Registered) {
    const { filter: meant, generation, handled } = record;
    const all = yield* Effect.forEach(
      familyFilters(key.family, layout, meant),
      (filter) =>
        Effect.gen(function* () {
          const state = yield* outlets.state(key, filter.shard);
          if (state?.generation === generation) return true;
          if (state === undefined || state.generation < generation) {
            if (state !== undefined) yield* outlets.remove(key, filter.shard);
            const after = handled[filter.shard]?.sequence ?? 0;
            yield* outlets.create({ key, meant, generation, filter, after });
          }
          return false;
        }),
      { concurrency: 8 },
    );
    return all.every((wasRight) => wasRight);
  });

  /** Says whether any shard had one. */
  const removeAll = (key: SubscriptionKey): Effect.Effect<boolean, SubscriptionError> =>
    Effect.map(
      Effect.forEach(
        Array.from({ length: layout.shards }, (_, shard) => shard),
        (shard) => outlets.remove(key, shard),
        { concurrency: 8 },
      ),
      (removed) => removed.includes(true),
    );

  /** The subscription as it is recorded, with its outlets as the record says. */
  const settle = Effect.fnUntraced(function* (
    key: SubscriptionKey,
  ): Effect.fn.Return<Registered, SubscriptionError | SubscriptionNotFound> {
    let hasMade = false;
    for (let changes = 1;; changes++) {
      const registered = yield* registry.find(key).pipe(
        Effect.tapErrorTag(
          "SubscriptionNotFound",
          () => Effect.when(removeAll(key), Effect.succeed(hasMade)),
        ),
      );
      if (yield* adjust(registered)) return registered;
      hasMade = true;
      // One server shows it at once.
      if (changes > 1) yield* Effect.sleep(lookAgain);
    }
  });

  return { settle, removeAll };
};
