/**
 * A process that publishes an outbox: with the manager, or with the loop that one would write in an
 * hour, which takes one event, publishes it, marks it, and takes the next. Both work on the store as
 * it is, with its claims and locks.
 */
import process from "node:process";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Scope from "effect/Scope";
import * as Manager from "../../streams/outbox/manager.ts";
import { OutboxStore } from "../../streams/outbox/store.ts";
import { OutboxTransport } from "../../streams/outbox/transport.ts";
import { answering, type Child, startChild } from "../child_process.ts";
import { layerStore, layerTransport, type Store, type Transport } from "./stores.ts";

export type Way = "manager" | "naive loop";

export type Question =
  | {
    readonly what: "begin";
    readonly way: Way;
    readonly store: Store;
    readonly transport: Transport;
  }
  /** Answers with how many events it has published. */
  | { readonly what: "end" };

/** How long the loop waits when there was nothing to take. */
const pauseMs = 2;

const naiveLoop = Layer.effectDiscard(Effect.gen(function* () {
  const store = yield* OutboxStore;
  const { publish } = yield* OutboxTransport;
  const owner = `loop ${process.pid}`;
  yield* Effect.forkScoped(Effect.forever(Effect.gen(function* () {
    const claims = yield* store.claim({ owner, limit: 1, lock: "5 minutes" });
    for (const claim of claims) {
      yield* publish(claim.event);
      yield* store.markSent([claim]);
    }
    if (claims.length === 0) yield* Effect.sleep(pauseMs);
  })));
}));

const open = () => {
  let published = 0;
  let scope = Scope.makeUnsafe();
  const begin = (way: Way, store: Store, transport: Transport): Promise<unknown> => {
    published = 0;
    scope = Scope.makeUnsafe();
    const counted = Layer.effect(
      OutboxTransport,
      Effect.map(OutboxTransport, ({ publish }) =>
        OutboxTransport.of({
          publish: (event) => Effect.tap(publish(event), () => Effect.sync(() => published++)),
        })),
    ).pipe(Layer.provide(layerTransport(transport)));
    const publisher = (way === "manager" ? Manager.layer() : naiveLoop).pipe(
      Layer.provide(counted),
      Layer.provide(layerStore(store)),
    );
    return Effect.runPromise(Effect.asVoid(Layer.buildWithScope(publisher, scope)));
  };
  const end = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void));
    return published;
  };
  return Promise.resolve({
    answer: (question: Question): Promise<unknown> =>
      question.what === "end" ? end() : begin(question.way, question.store, question.transport),
    close: () => Promise.resolve(),
  });
};

export const startPublisher = (): Promise<Child<Question>> => startChild(import.meta.url, {});

await answering(import.meta.url, open);
