/**
 * The feed of a log on JetStream: an ordered consumer, which the client resumes by itself after a
 * broken connection. Large bodies stay in the object store unless the index looks at them; one that
 * is purged meanwhile is passed over, as what it spoke of is on its way out.
 */
import { DeliverPolicy, type NextMsgRequest, type SeqMsgRequest } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import { Log } from "../log.ts";
import { objectHeader } from "../log/spill.ts";
import { kindOfSubject, streamName } from "../subjects.ts";
import { type Fact, Feed } from "./feed.ts";

const prefetchedMessages = 512;

/** Kinds of which every body counts. */
const fetched: ReadonlySet<string | undefined> = new Set(["mail", "tag", "done"]);

const make = Effect.gen(function* () {
  const log = yield* Log;
  const { ask, jetStream, manager } = yield* Connection;

  /** A fact whose body lies elsewhere, with its body if that is wanted and still there. */
  const resolve = (fact: Fact) =>
    log.read({ shard: fact.shard, subject: fact.subject }, {
      after: fact.sequence - 1,
      upTo: fact.sequence,
    }).pipe(
      Stream.runHead,
      Effect.map(Option.getOrElse(() => fact)),
      Effect.catchTag("CorruptRecord", () => Effect.succeed(fact)),
    );

  const follow: Feed["Service"]["follow"] = (shard, after) =>
    Stream.unwrap(Effect.gen(function* () {
      const stream = streamName(log.layout, shard);
      const operation = `follow ${stream}`;
      const consumer = yield* ask(operation, () =>
        jetStream.consumers.get(stream, {
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: after + 1,
        }));
      const messages = yield* Effect.acquireRelease(
        ask(operation, () => consumer.consume({ max_messages: prefetchedMessages })),
        (messages) => Effect.promise(() => messages.close()),
      );
      const lost = (cause: unknown) =>
        new Unavailable({ operation, reason: "the subscription ended", landed: "no", cause });
      return Stream.fromAsyncIterable(messages, lost).pipe(
        Stream.mapEffect((message) => {
          const fact: Fact = {
            shard,
            subject: message.subject,
            sequence: message.seq,
            at: message.time.getTime(),
            id: message.headers?.has("Nats-Msg-Id")
              ? message.headers.get("Nats-Msg-Id")
              : undefined,
            body: message.data,
          };
          return message.headers?.has(objectHeader) && fetched.has(kindOfSubject(fact.subject))
            ? resolve(fact)
            : Effect.succeed(fact);
        }),
      );
    }));

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
