/**
 * Handing a delivery to the worker that owns the execution, when another one was offered the mail. It
 * is the owner's from then on, to be settled by him alone, as if he had been offered it himself: two
 * who each acknowledge what the other relies on would leave nothing to bring the execution back. Who
 * hands it over keeps it until it was taken. That nobody listens under a worker's name is the server's
 * word; that nobody answers proves nothing.
 */
import { errors, type NatsConnection } from "@nats-io/nats-core";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import type { WorkerInstanceId } from "../schema/ids.ts";
import { Route } from "../schema/route.ts";
import { encodeToken } from "../schema/token.ts";
import { Connection } from "./connection.ts";
import { acknowledged, inProgress, notNow, readReply } from "./consumer_reply.ts";
import { Log } from "./log.ts";
import type { Delivery } from "./mailbox.ts";
import { offerFor } from "./mailbox/offer.ts";
import type { Layout } from "./subjects.ts";

const Wake = Schema.Struct({
  shard: Schema.Natural,
  /** Of the message: a mailbox, or a lane. */
  subject: Schema.String,
  route: Schema.optionalKey(Route),
  /** The mailbox sequence up to which the owner must read. */
  mail: Schema.Natural,
  /** Where the server wants to be told what becomes of it. */
  reply: Schema.String,
});
type Wake = typeof Wake.Type;

/** Whether the worker has the execution and will see to it. */
export type Answer = "taken" | "unknown";

/** `absent`: nobody listens under that name. `silent`: no answer came, whatever the reason. */
export type Verdict = Answer | "absent" | "silent";

export class HandOver extends Context.Service<HandOver, {
  /** Answers the wake-ups for a worker while the scope is open. */
  readonly serve: (
    worker: WorkerInstanceId,
    answer: (delivery: Delivery) => Effect.Effect<Answer>,
  ) => Effect.Effect<void, never, Scope.Scope>;
  readonly send: (worker: WorkerInstanceId, delivery: Delivery) => Effect.Effect<Verdict>;
}>()("@weir/weir/streams/HandOver") {}

const answerWithinMs = 2_000;

const isAnswer = Schema.is(Schema.Literals(["taken", "unknown"]));
const decodeWake = Schema.decodeUnknownOption(Schema.fromJsonString(Wake));

/** Behind a "-" that no namespace has, and no shard's number: outside the subjects of every stream. */
const wakeSubject = (layout: Layout, worker: WorkerInstanceId): string =>
  `${layout.namespace}-worker.${encodeToken(worker)}.wake`;

const wakeOf = ({ entry, route, mail, reply }: Delivery): Wake => ({
  shard: entry.shard,
  subject: entry.subject,
  ...(route === undefined ? {} : { route }),
  mail,
  reply: reply ?? "",
});

const nothing = new Uint8Array();

/** What was handed over, in the hands of who has it now; nothing, if it is no delivery of ours. */
const deliveryOf = (
  nats: NatsConnection,
  layout: Layout,
  { shard, subject, route, mail, reply }: Wake,
): Delivery | undefined => {
  const told = readReply(reply);
  if (told === undefined) return undefined;
  const { sequence, at, offers } = told;
  const entry = { shard, subject, sequence, at, id: undefined, removed: false, body: nothing };
  const offer = offerFor(layout, entry, route, mail);
  if (offer === undefined) return undefined;
  let isSettled = false;
  const say = (verdict: Uint8Array, settles: boolean) => {
    if (isSettled) return;
    isSettled = settles;
    if (!nats.isClosed()) nats.publish(reply, verdict);
  };
  return {
    ...offer,
    offers,
    // What it says was not sent along.
    spilled: true,
    ack: () => say(acknowledged, true),
    retry: (afterMs) => say(notNow(afterMs), true),
    decline: () => say(notNow(0), true),
    working: () => say(inProgress, false),
    handedOver: () => {
      isSettled = true;
    },
    reply,
  };
};

const isNoResponders = (cause: unknown): boolean =>
  cause instanceof errors.NoRespondersError ||
  (cause instanceof errors.RequestError && cause.isNoResponders());

const makeJetStream = Effect.gen(function* () {
  const { nats } = yield* Connection;
  const { layout } = yield* Log;
  return HandOver.of({
    serve: Effect.fnUntraced(function* (worker, answer) {
      const respond = yield* FiberSet.makeRuntime<never>();
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          nats.subscribe(wakeSubject(layout, worker), {
            callback: (error, message) => {
              if (error !== null) return;
              const delivery = decodeWake(message.string()).pipe(
                Option.map((wake) => deliveryOf(nats, layout, wake)),
                Option.getOrUndefined,
              );
              respond(
                Effect.map(
                  delivery === undefined ? Effect.succeed<Answer>("unknown") : answer(delivery),
                  (answer) => message.respond(answer),
                ),
              );
            },
          })
        ),
        (subscription) => Effect.sync(() => nats.isClosed() || subscription.unsubscribe()),
      );
    }),
    send: (worker, delivery) =>
      Effect.tryPromise({
        try: () =>
          nats.request(wakeSubject(layout, worker), JSON.stringify(wakeOf(delivery)), {
            timeout: answerWithinMs,
          }),
        catch: isNoResponders,
      }).pipe(
        Effect.match({
          onFailure: (absent): Verdict => absent ? "absent" : "silent",
          onSuccess: (message) => {
            const answer = message.string();
            return isAnswer(answer) ? answer : "unknown";
          },
        }),
      ),
  });
});

/** Between processes, over the connection of the namespace. */
export const layerJetStream: Layer.Layer<HandOver, never, Connection | Log> = Layer.effect(
  HandOver,
  makeJetStream,
);

/** Within this process, for the log in memory. */
export const layerMemory: Layer.Layer<HandOver> = Layer.sync(HandOver, () => {
  const workers = new Map<WorkerInstanceId, (delivery: Delivery) => Effect.Effect<Answer>>();
  return HandOver.of({
    serve: (worker, answer) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => workers.set(worker, answer)),
        () => Effect.sync(() => workers.get(worker) === answer && workers.delete(worker)),
      )),
    send: (worker, delivery) =>
      Effect.suspend((): Effect.Effect<Verdict> =>
        workers.get(worker)?.(delivery) ?? Effect.succeed("absent")
      ).pipe(Effect.timeoutOrElse({
        duration: answerWithinMs,
        orElse: () => Effect.succeed<Verdict>("silent"),
      })),
  });
});
