/**
 * Waking the worker that owns an execution, when another one was offered the mail. A wake-up is a
 * request without a record: who sends it keeps the delivery until it was taken. That nobody listens
 * under a worker's name is the server's word; that nobody answers proves nothing.
 */
import { errors } from "@nats-io/nats-core";
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
import { Log } from "./log.ts";
import type { Layout } from "./subjects.ts";

const Wake = Schema.Struct({
  shard: Schema.Natural,
  /** What the address of the execution has behind the kind. */
  tail: Schema.String,
  /** The mailbox sequence up to which the owner must read. */
  mail: Schema.Natural,
});
export type Wake = typeof Wake.Type;

/** Whether the worker has the execution and will see to it. */
export type Answer = "taken" | "unknown";

/** `absent`: nobody listens under that name. `silent`: no answer came, whatever the reason. */
export type Verdict = Answer | "absent" | "silent";

export class HandOver extends Context.Service<HandOver, {
  /** Answers the wake-ups for a worker while the scope is open. */
  readonly serve: (
    worker: WorkerInstanceId,
    answer: (wake: Wake) => Effect.Effect<Answer>,
  ) => Effect.Effect<void, never, Scope.Scope>;
  readonly send: (worker: WorkerInstanceId, wake: Wake) => Effect.Effect<Verdict>;
}>()("@weir/weir/streams/HandOver") {}

const answerWithinMs = 2_000;

const isAnswer = Schema.is(Schema.Literals(["taken", "unknown"]));
const decodeWake = Schema.decodeUnknownOption(Schema.fromJsonString(Wake));

/** Behind a "-" that no namespace has, and no shard's number: outside the subjects of every stream. */
const wakeSubject = (layout: Layout, worker: WorkerInstanceId): string =>
  `${layout.namespace}-worker.${encodeToken(worker)}.wake`;

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
              const wake = Option.getOrUndefined(decodeWake(message.string()));
              respond(
                Effect.map(
                  wake === undefined ? Effect.succeed<Answer>("unknown") : answer(wake),
                  (answer) => message.respond(answer),
                ),
              );
            },
          })
        ),
        (subscription) => Effect.sync(() => nats.isClosed() || subscription.unsubscribe()),
      );
    }),
    send: (worker, wake) =>
      Effect.tryPromise({
        try: () =>
          nats.request(wakeSubject(layout, worker), JSON.stringify(wake), {
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
  const workers = new Map<WorkerInstanceId, (wake: Wake) => Effect.Effect<Answer>>();
  return HandOver.of({
    serve: (worker, answer) =>
      Effect.asVoid(Effect.acquireRelease(
        Effect.sync(() => workers.set(worker, answer)),
        () => Effect.sync(() => workers.get(worker) === answer && workers.delete(worker)),
      )),
    send: (worker, wake) =>
      Effect.suspend((): Effect.Effect<Verdict> =>
        workers.get(worker)?.(wake) ?? Effect.succeed("absent")
      ).pipe(Effect.timeoutOrElse({
        duration: answerWithinMs,
        orElse: () => Effect.succeed<Verdict>("silent"),
      })),
  });
});
