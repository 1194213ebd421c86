/** The feed of a log in memory: the log's own answers. */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Log } from "../log.ts";
import { Feed } from "./feed.ts";

const everything = (shard: number) => ({ shard, subject: "*.*.>" });

const make = Effect.gen(function* () {
  const log = yield* Log;
  const first = (shard: number, after: number, upTo: number) =>
    Stream.runHead(log.read(everything(shard), { after, upTo }));
  return Feed.of({
    follow: (shard, after) =>
      Stream.mapArray(log.follow(everything(shard), { after }), (entries) => [entries] as const),
    storedAt: (shard, sequence) =>
      Effect.map(first(shard, sequence - 1, sequence), (found) => Option.getOrUndefined(found)?.at),
    isAt: (shard, after, upTo) => Effect.map(first(shard, after, upTo), Option.isNone),
  });
});

export const layerMemory: Layer.Layer<Feed, never, Log> = Layer.effect(Feed, make);
