/**
 * The four families for callers that use promises: typed events as async iterables, each read from
 * where its cursor says. Leaving the loop gives everything back that reading took. A left-out tenant
 * is the connection's, as with every verb.
 */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import { InvalidInput } from "../schema/errors.ts";
import { ExecutionId, parse, SubscriptionName, Tenant } from "../schema/ids.ts";
import {
  Families,
  type Family,
  type FamilyError,
  type FamilyEvents,
  type Tick,
} from "../streams/families.ts";
import { type SubscribeError, Subscriptions } from "../streams/subscriptions.ts";
import { iterate } from "./iterate.ts";

export interface FollowOptions {
  /**
   * The cursor of an event, behind which reading begins; `earliest`, for all that is there; or `now`,
   * for what comes from here on, which is the default.
   */
  readonly after?: string;
  /** Whose executions; the connection's tenant, if left out. */
  readonly tenant?: string;
  /** Whether those of every tenant are meant. */
  readonly allTenants?: boolean;
  /** One execution, by its whole id. */
  readonly executionId?: string;
  /** Executions that had the tag, with any value or this one, when the event came to be. */
  readonly tag?: { readonly name: string; readonly value?: string };
  /**
   * Has the server keep the position under this name: an event is handled when the loop asks for the
   * next one, and whoever reads under the same name shares the work. `after` is for a new name, and
   * for who has been told of a `CursorGap` and goes on behind its `earliest`.
   */
  readonly durable?: string;
  /** Ends a durable loop when it asks for the next event, so that its last one is handled. */
  readonly signal?: AbortSignal;
  /** After how long without an event a tick is to say how far the log has been read. */
  readonly ticks?: Duration.Input;
}

/** Reads a family, with ticks among its events only for who asks for them. */
export interface Follow<Event> {
  (
    options: Omit<FollowOptions, "durable" | "signal"> & { readonly ticks: Duration.Input },
  ): AsyncIterable<Event | Tick>;
  (options?: Omit<FollowOptions, "ticks">): AsyncIterable<Event>;
}

/** A verb for each family. */
export type FamilyReaders = {
  /** Who came to own an execution, and who ceased to. */
  readonly leaseHistory: Follow<FamilyEvents["leaseHistory"]>;
  /** How executions ended. */
  readonly completions: Follow<FamilyEvents["completions"]>;
  /** What became of each signal. */
  readonly signalDeliveries: Follow<FamilyEvents["signalDeliveries"]>;
  /** Which tags came and went. */
  readonly instanceTags: Follow<FamilyEvents["instanceTags"]>;
};

const aborted = (signal: AbortSignal) =>
  Effect.callback<void>((resume) => {
    const stop = () => resume(Effect.void);
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    return Effect.sync(() => signal.removeEventListener("abort", stop));
  });

export const makeFamilies = (
  runtime: ManagedRuntime.ManagedRuntime<Families | Subscriptions, unknown>,
  defaultTenant: Tenant,
): FamilyReaders => {
  const filterOf = Effect.fnUntraced(function* (
    { tenant, allTenants = false, executionId, tag }: FollowOptions,
  ) {
    if (allTenants && tenant !== undefined) {
      const rule = "it is left out where all tenants are meant";
      return yield* new InvalidInput({ what: "tenant", value: tenant, rule });
    }
    return {
      ...(allTenants ? {} : {
        tenant: tenant === undefined ? defaultTenant : yield* parse(Tenant, "tenant", tenant),
      }),
      ...(executionId === undefined
        ? {}
        : { executionId: yield* parse(ExecutionId, "execution id", executionId) }),
      ...(tag === undefined ? {} : { tag }),
    };
  });

  const follow = <F extends Family>(family: F): Follow<FamilyEvents[F]> =>
  // deno-lint-ignore no-explicit-any -- ticks come only where they were asked for
  (options: FollowOptions = {}): AsyncIterable<any> => {
    const { after, durable, signal, ticks } = options;
    const events = Stream.unwrap(Effect.gen(function* (): Effect.fn.Return<
      Stream.Stream<FamilyEvents[F] | Tick, FamilyError | SubscribeError>,
      InvalidInput,
      Families | Subscriptions
    > {
      const families = yield* Families;
      const chosen = { ...yield* filterOf(options), ...(after === undefined ? {} : { after }) };
      if (durable !== undefined) {
        return (yield* Subscriptions).read(family, {
          ...chosen,
          durable: yield* parse(SubscriptionName, "subscription name", durable),
          ...(signal === undefined ? {} : { until: aborted(signal) }),
        });
      }
      return ticks === undefined
        ? families.read(family, chosen)
        : families.read(family, { ...chosen, ticks });
    }));
    return iterate(runtime, events);
  };

  return {
    leaseHistory: follow("leaseHistory"),
    completions: follow("completions"),
    signalDeliveries: follow("signalDeliveries"),
    instanceTags: follow("instanceTags"),
  };
};
