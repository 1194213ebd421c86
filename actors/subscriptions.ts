/**
 * The durable subscriptions of a namespace for callers that use promises: how far behind each is, and
 * how to move and to forget one. They are made and read by the verbs of the families.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import { InvalidInput } from "../schema/errors.ts";
import { parse, SubscriptionName, Timestamp } from "../schema/ids.ts";
import type { Family } from "../streams/families.ts";
import { families } from "../streams/families/family.ts";
import { type Subscription, Subscriptions } from "../streams/subscriptions.ts";

export interface SubscriptionVerbs {
  /** All subscriptions of the namespace, and how far behind each is. */
  list(): Promise<ReadonlyArray<Subscription>>;
  /** Has a subscription go on behind a cursor, at `earliest` or `now`, or at a point in time. */
  reset(family: Family, name: string, to: string | Date): Promise<void>;
  /** Forgets a subscription; a reader of it ends with `SubscriptionNotFound`. */
  delete(family: Family, name: string): Promise<void>;
}

type Runtime = ManagedRuntime.ManagedRuntime<Subscriptions, unknown>;

const isFamily = (text: string): text is Family => Object.hasOwn(families, text);

const parseKey = Effect.fnUntraced(function* (family: Family, name: string) {
  if (!isFamily(family)) {
    return yield* new InvalidInput({ what: "family", value: family, rule: "it is not one" });
  }
  return { family, name: yield* parse(SubscriptionName, "subscription name", name) };
});

/** The verbs for subscriptions as such. */
export const makeSubscriptions = (runtime: Runtime): SubscriptionVerbs => ({
  list: () => runtime.runPromise(Effect.flatMap(Subscriptions, ({ list }) => list)),
  reset: (family, name, to) =>
    runtime.runPromise(Effect.gen(function* () {
      const key = yield* parseKey(family, name);
      const target = to instanceof Date
        ? { at: yield* parse(Timestamp, "time", to.getTime()) }
        : { after: to };
      yield* (yield* Subscriptions).reset(key, target);
    })),
  delete: (family, name) =>
    runtime.runPromise(Effect.gen(function* () {
      const key = yield* parseKey(family, name);
      yield* (yield* Subscriptions).delete(key);
    })),
});
