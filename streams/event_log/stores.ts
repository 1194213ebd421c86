/** The stores of one use that a process has to do with: what it knows of each is kept for a while. */
import * as Effect from "effect/Effect";
import * as RcMap from "effect/RcMap";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { Log } from "../log.ts";
import { eventLogAddress } from "../subjects.ts";
import { type Format, make as makeStoreLog, type StoreLog } from "./store_log.ts";

/** Who comes later reads which entries the store has. */
const knownFor = "5 minutes";

const tell = (error: unknown) => Effect.logWarning("An event log could not be used", error);

/** As a storage fails, which has no errors of its own; Effect's servers tell nobody why. */
export const failing = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, never, R> =>
  Effect.orDie(Effect.tapError(effect, tell));

export const failingStream = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
): Stream.Stream<A, never, R> => Stream.orDie(Stream.tapError(stream, tell));

/** Gives a store by its names for as long as the scope is open. */
export const make = Effect.fnUntraced(function* <Read extends { readonly first: number }>(
  log: Log["Service"],
  use: string,
  format: Format<Read>,
) {
  const stores = yield* RcMap.make({
    lookup: (key: string) => {
      const names: ReadonlyArray<string> = JSON.parse(key);
      return Effect.sync(() => makeStoreLog(log, eventLogAddress(log.layout, use, names), format));
    },
    idleTimeToLive: knownFor,
  });
  return (...names: ReadonlyArray<string>): Effect.Effect<StoreLog<Read>, never, Scope.Scope> =>
    RcMap.get(stores, JSON.stringify(names));
});
