/**
 * The bucket in memory, for tests and simulation, timed by Effect's clock. It forgets everything with
 * its scope and shares nothing between processes.
 */
import * as Clock from "effect/Clock";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import { matches } from "../subjects.ts";
import { Bucket } from "./bucket.ts";

interface Held {
  readonly bytes: Uint8Array;
  readonly revision: number;
  readonly until: number;
}

const maxValueBytes = 1_000_000;

const make = Effect.sync(() => {
  const values = new Map<string, Held>();
  let revision = 0;

  const held = (key: string, now: number): Option.Option<Held> =>
    Option.filter(Option.fromUndefinedOr(values.get(key)), ({ until }) => now < until);

  return Bucket.of({
    maxValueBytes,
    get: (key) =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) =>
          Option.map(
            held(key, now),
            ({ bytes, revision }) => ({ bytes: new Uint8Array(bytes), revision }),
          ),
      ),
    set: (key, bytes, ttlSeconds) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const until = ttlSeconds === undefined ? Infinity : now + ttlSeconds * 1_000;
        values.set(key, { bytes: new Uint8Array(bytes), revision: ++revision, until });
      }),
    remove: (key) =>
      Effect.sync(() => {
        values.delete(key);
      }),
    keys: (filter) =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) =>
          [...values.keys()].filter((key) => matches(filter, key) && Option.isSome(held(key, now))),
      ),
  });
});

export const layerMemory: Layer.Layer<Bucket> = Layer.effect(Bucket, make);
