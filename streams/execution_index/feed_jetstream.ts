/**
 * The feed of a log on JetStream: one subscription after another, each behind the last message of the
 * one before. Large bodies stay in the object store unless the index looks at them; one that
 * is purged meanwhile is passed over, as what it spoke of is on its way out.
 */
import type { NextMsgRequest, SeqMsgRequest } from "@nats-io/jetstream";
import * as Arr from "effect/Array";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Connection } from "../connection.ts";
import { Log, type ReadError } from "../log.ts";
import type { Arrived } from "../log/arrived.ts";
import { followStream } from "../log/follower.ts";
import { streamName } from "../subjects.ts";
import { type Fact, Feed } from "./feed.ts";
import { mayBeWatched } from "./fold.ts";

const prefetch = 1_024;
/** The index is written less often than this, so that a lot may as well be a larger one. */
const gatherMs = 25;

/** Whether a body lies elsewhere and is wanted; of most facts no header is read. */
const isElsewhere = (fact: Arrived): boolean =>
  fact.object !== undefined && mayBeWatched(fact.subject, fact.recordKind);

const make = Effect.gen(function* () {
  const log = yield* Log;
  const connection = yield* Connection;
  const { ask, manager } = connection;

  /** A fact with its body, if that is wanted, and still there. */
  const resolve = (fact: Arrived): Effect.Effect<Fact, ReadError> =>
    !isElsewhere(fact)
      ? Effect.succeed(fact)
      : log.read({ shard: fact.shard, subject: fact.subject }, {
        after: fact.sequence - 1,
        upTo: fact.sequence,
      }).pipe(
        Stream.runHead,
        Effect.map(Option.getOrElse(() => fact)),
        Effect.catchTag("CorruptRecord", () => Effect.succeed(fact)),
      );

  const follow: Feed["Service"]["follow"] = (shard, after) => {
    const stream = streamName(log.layout, shard);
    const options = { shard, stream, operation: `follow ${stream}`, prefetch, gatherMs };
    return followStream(connection, options, after).pipe(
      Stream.mapArrayEffect((lot) => {
        const facts: Effect.Effect<ReadonlyArray<Fact>, ReadError> = lot.some(isElsewhere)
          ? Effect.forEach(lot, (entry) => resolve(entry))
          : Effect.succeed(lot);
        return Effect.map(facts, (facts) => Arr.of(facts));
      }),
    );
  };

  const storedAt: Feed["Service"]["storedAt"] = (shard, sequence) => {
    const stream = streamName(log.layout, shard);
    return Effect.map(
      ask(`look into ${stream}`, () => manager.streams.getMessage(stream, { seq: sequence })),
      (message) => message?.time.getTime(),
    );
  };

  const isAt: Feed["Service"]["isAt"] = (shard, after, upTo) => {
    const stream = streamName(log.layout, shard);
    const query: SeqMsgRequest & NextMsgRequest = { seq: after + 1, next_by_subj: ">" };
    return Effect.map(
      ask(`look into ${stream}`, () => manager.streams.getMessage(stream, query)),
      (message) => message === null || message.seq > upTo,
    );
  };

  return Feed.of({ follow, storedAt, isAt });
});

export const layerJetStream: Layer.Layer<Feed, never, Connection | Log> = Layer.effect(Feed, make);
