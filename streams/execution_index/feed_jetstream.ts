/**
 * The feed of a log on JetStream: one subscription after another, each behind the last message of the
 * one before. Large bodies stay in the object store unless the index looks at them; one that
 * is purged meanwhile is passed over, as what it spoke of is on its way out.
 */
import type { ConsumerMessages, JsMsg, NextMsgRequest, SeqMsgRequest } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import { millisOf } from "../consumer_reply.ts";
import { Log } from "../log.ts";
import { objectHeader } from "../log/spill.ts";
import { resumed, subscribe } from "../log/subscription.ts";
import { kindOfSubject, streamName } from "../subjects.ts";
import { type Fact, Feed } from "./feed.ts";

const prefetchedMessages = 1_024;

/** Kinds of which every body counts. */
const fetched: ReadonlySet<string | undefined> = new Set(["mail", "tag", "done"]);

/** A message, of which only what is asked for is taken apart: most are of no interest. */
class MessageFact implements Fact {
  readonly shard: number;
  readonly #message: JsMsg;

  constructor(shard: number, message: JsMsg) {
    this.shard = shard;
    this.#message = message;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get sequence(): number {
    return this.#message.seq;
  }

  get at(): number {
    return millisOf(this.#message.timestampNanos);
  }

  get body(): Uint8Array {
    return this.#message.data;
  }

  get id(): string | undefined {
    return this.#header("Nats-Msg-Id");
  }

  /** Whether the body lies elsewhere and is wanted. */
  get isElsewhere(): boolean {
    return fetched.has(kindOfSubject(this.subject)) && this.#header(objectHeader) !== undefined;
  }

  #header(name: string): string | undefined {
    const { headers } = this.#message;
    return headers?.has(name) ? headers.get(name) : undefined;
  }
}

/**
 * What has come in since the last time, at once: a step of a stream for each message would cost more
 * than the message. Nothing more is taken in while a full batch waits. It ends when they do.
 */
async function* inBatches(shard: number, messages: ConsumerMessages) {
  let batch: Array<MessageFact> = [];
  let ended: { readonly error?: unknown } | undefined;
  let arrived = () => {};
  let taken = () => {};
  const end = (how: { readonly error?: unknown }) => {
    ended = how;
    arrived();
  };
  const takeIn = async () => {
    for await (const message of messages) {
      batch.push(new MessageFact(shard, message));
      arrived();
      if (batch.length < prefetchedMessages) continue;
      await new Promise<void>((resolve) => taken = resolve);
    }
  };
  takeIn().then(() => end({}), (error) => end({ error }));
  for (;;) {
    if (ended !== undefined) {
      if ("error" in ended) throw ended.error;
      return;
    }
    if (batch.length === 0) await new Promise<void>((resolve) => arrived = resolve);
    const full = batch;
    batch = [];
    taken();
    if (full.length > 0) yield full;
  }
}

const make = Effect.gen(function* () {
  const log = yield* Log;
  const connection = yield* Connection;
  const { ask, manager } = connection;

  /** A fact with its body, if that is still there. */
  const resolve = (fact: Fact) =>
    log.read({ shard: fact.shard, subject: fact.subject }, {
      after: fact.sequence - 1,
      upTo: fact.sequence,
    }).pipe(
      Stream.runHead,
      Effect.map(Option.getOrElse(() => fact)),
      Effect.catchTag("CorruptRecord", () => Effect.succeed(fact)),
    );

  const follow: Feed["Service"]["follow"] = (shard, after) => {
    const stream = streamName(log.layout, shard);
    const operation = `follow ${stream}`;
    const lost = (cause: unknown) =>
      new Unavailable({ operation, reason: "the subscription ended", landed: "no", cause });
    const open = (after: number) =>
      Stream.unwrap(
        Effect.map(
          subscribe(connection, { stream, operation, prefetchedMessages }, after),
          (messages) => Stream.fromAsyncIterable(inBatches(shard, messages), lost),
        ),
      ).pipe(
        Stream.mapEffect((facts) =>
          facts.some(({ isElsewhere }) => isElsewhere)
            ? Effect.forEach(
              facts,
              (fact): Effect.Effect<Fact, Effect.Error<ReturnType<typeof resolve>>> =>
                fact.isElsewhere ? resolve(fact) : Effect.succeed(fact),
            )
            : Effect.succeed(facts)
        ),
      );
    return resumed(after, (facts) => facts.at(-1)!.sequence, open);
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
