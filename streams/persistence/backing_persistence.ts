/** Effect's `BackingPersistence` in the log's bucket: results that many processes share, for a time. */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import {
  BackingPersistence,
  type BackingPersistenceStore,
  PersistenceError,
} from "effect/persistence/Persistence";
import { Log } from "../log.ts";
import { ServerClock } from "../server_clock.ts";
import { type KeyedValues, make as makeValues } from "./keyed_values.ts";

/** How many of a request with many keys are under way at once. */
const together = 16;

const failed = <A, E extends { readonly message: string }>(
  effect: Effect.Effect<A, E>,
): Effect.Effect<A, PersistenceError> =>
  Effect.mapError(effect, (cause) => new PersistenceError({ message: cause.message, cause }));

const storeOn = (
  values: KeyedValues,
  clock: ServerClock["Service"],
): BackingPersistenceStore => {
  const get = (key: string) =>
    values.get(key).pipe(
      Effect.flatMap((content) => {
        if (content === undefined) return Effect.undefined;
        return "text" in content
          ? Effect.try({
            try: (): object => JSON.parse(content.text),
            catch: (cause) => new PersistenceError({ message: `${key} holds no JSON`, cause }),
          })
          : new PersistenceError({ message: `${key} holds no JSON` });
      }),
      failed,
    );
  const set = Effect.fnUntraced(
    function* (key: string, value: object, ttl: Duration.Duration | undefined) {
      const content = { text: JSON.stringify(value) };
      if (ttl === undefined || !Duration.isFinite(ttl)) return yield* values.set(key, { content });
      const until = (yield* clock.now) + Duration.toMillis(ttl);
      yield* values.set(key, { content, until });
    },
    failed,
  );
  return {
    get,
    getMany: (keys) => Effect.forEach(keys, get, { concurrency: together }),
    set,
    setMany: (entries) =>
      Effect.forEach(entries, ([key, value, ttl]) => set(key, value, ttl), {
        concurrency: together,
        discard: true,
      }),
    remove: (key) => failed(values.remove(key)),
    clear: failed(values.clear),
  };
};

/** Stores of the namespace, by their ids; entries end by the server's clock. */
export const layer: Layer.Layer<BackingPersistence, never, Log | ServerClock> = Layer.effect(
  BackingPersistence,
  Effect.gen(function* () {
    const log = yield* Log;
    const clock = yield* ServerClock;
    return BackingPersistence.of({
      make: (storeId) => Effect.succeed(storeOn(makeValues(log, clock, "cache", storeId), clock)),
    });
  }),
);
