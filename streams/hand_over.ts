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
import { encodeToken } from "../schema/token.ts";
import { Connection } from "./connection.ts";
import { acknowledged, inProgress, notNow } from "./consumer_reply.ts";
import { Log } from "./log.ts";
import type { Delivery } from "./mailbox.ts";
import { Handed, handedOf, offerOfHanded } from "./mailbox/handed.ts";
import type { Layout } from "./subjects.ts";

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
const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Handed));

/** Behind a "-" that no namespace has, and no shard's number: outside the subjects of every stream. */
const wakeSubject = (layout: Layout, worker: WorkerInstanceId): string =>
  `${layout.namespace}-worker.${encodeToken(worker)}.wake`;

/** What was handed over, in the hands of who has it now; nothing, if it is no delivery of ours. */
const deliveryOf = (
  nats: NatsConnection,
  layout: Layout,
  handed: Handed,
): Delivery | undefined => {
  const offered = offerOfHanded(layout, handed);
  if (offered === undefined) return undefined;
  const { consumer: _, ...offer } = offered;
  const { reply } = handed;
  let isSettled = false;
  const say = (verdict: Uint8Array, settles: boolean) => {
    if (isSettled) return;
    isSettled = settles;
    if (!nats.isClosed()) nats.publish(reply, verdict);
  };
  return {
    ...offer,
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
              const delivery = decode(message.string()).pipe(
                Option.map((handed) => deliveryOf(nats, layout, handed)),
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
          nats.request(wakeSubject(layout, worker), JSON.stringify(handedOf(delivery)), {
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
