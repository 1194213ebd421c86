/**
 * The outbox, through plain promises: events that are added once and published at least once. The
 * store is the log of a namespace, or any other that a layer gives, such as PostgreSQL's.
 *
 * @module
 */
import "./schema/effect_version.ts";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Scope from "effect/Scope";
import { makeRuntime, Serving } from "./actors/runtime.ts";
import { parse, Tenant } from "./schema/ids.ts";
import * as Connection from "./streams/connection.ts";
import { defaultMaxPayloadBytes } from "./streams/log.ts";
import { layerJetStream, type LogOptions } from "./streams/log_jetstream.ts";
import { type DeadLetter, type OutboxEvent, OutboxEventId } from "./streams/outbox/event.ts";
import * as LogStore from "./streams/outbox/log_store.ts";
import * as Manager from "./streams/outbox/manager.ts";
import * as Service from "./streams/outbox/service.ts";
import { type OutboxCounts, OutboxStore } from "./streams/outbox/store.ts";
import { layerFunction, OutboxTransport, type Publish } from "./streams/outbox/transport.ts";
import * as JetStreamTransport from "./streams/outbox/transport_jetstream.ts";
import * as ServerClock from "./streams/server_clock.ts";

export type { Backoff } from "./streams/outbox/backoff.ts";
export type { DeadLetter, EventStatus, OutboxEvent } from "./streams/outbox/event.ts";
export { type IdempotencyStrategy, payloadHash } from "./streams/outbox/idempotency.ts";
export type { ManagerOptions } from "./streams/outbox/manager.ts";
export type { AddOptions, ProducerOptions } from "./streams/outbox/service.ts";
export type { OutboxCounts } from "./streams/outbox/store.ts";
export type { Publish } from "./streams/outbox/transport.ts";
export {
  type JetStreamTransportOptions,
  outboxHeaders,
} from "./streams/outbox/transport_jetstream.ts";
export {
  DuplicateEvent,
  EventLockLost,
  PublishFailed,
  PublishRefused,
} from "./schema/outbox_errors.ts";
export { NonRetryable } from "./schema/execution_errors.ts";

/** Where a stream is that takes the events. */
export interface JetStreamTarget
  extends JetStreamTransport.JetStreamTransportOptions, Connection.ConnectionOptions {}

/** Publishes until it is closed, which waits for what is being published. */
export interface Publisher extends AsyncDisposable {
  close(): Promise<void>;
}

export interface Outbox extends AsyncDisposable {
  /** Adds an event to be published; rejects with `DuplicateEvent` if its token is taken. */
  add(
    eventType: string,
    payload: unknown,
    token?: string,
    options?: Service.AddOptions,
  ): Promise<OutboxEvent>;
  /** Publishes what is in the outbox, by a function or to a stream. */
  publish(to: Publish | JetStreamTarget, options?: Manager.ManagerOptions): Promise<Publisher>;
  counts(): Promise<OutboxCounts>;
  /** Events that were given up, oldest death first; 100 of them, if nothing is said. */
  deadLetters(
    options?: { readonly limit?: number; readonly after?: string },
  ): Promise<ReadonlyArray<DeadLetter>>;
  /** Makes an event of a dead letter again; says whether there was one. */
  requeue(id: string): Promise<boolean>;
  /** Removes a dead letter; says whether there was one. */
  deleteDeadLetter(id: string): Promise<boolean>;
  close(): Promise<void>;
}

export interface ConnectOutboxOptions
  extends Connection.ConnectionOptions, LogOptions, Service.ProducerOptions {
  /** Whose events are added; those of all tenants are published. Default `default`. */
  readonly tenant?: string;
}

/** How a target is connected to: as its outbox, but for what it says, and where it says so, elsewhere. */
const targetOf = (
  { servers, embedded, ...means }: Connection.ConnectionOptions,
  target: Connection.ConnectionOptions,
): Connection.ConnectionOptions => {
  const isElsewhere = target.servers !== undefined || target.embedded !== undefined;
  const place = isElsewhere ? {} : {
    ...(servers === undefined ? {} : { servers }),
    ...(embedded === undefined ? {} : { embedded }),
  };
  return { ...means, ...place, ...target };
};

/** The outbox on a store; what publishes to a stream connects with these options by itself. */
const outboxOn = async <E>(
  store: Layer.Layer<OutboxStore, E>,
  producer: Service.ProducerOptions,
  connection: Connection.ConnectionOptions,
): Promise<Outbox> => {
  const runtime = makeRuntime(Layer.provideMerge(Service.layer(producer), store));
  const context = await runtime.context();
  const stored = Context.get(context, OutboxStore);
  const { add } = Context.get(context, Service.OutboxService);
  const run = <A, F>(effect: Effect.Effect<A, F>) => runtime.runPromise(effect);
  const idOf = (id: string) => parse(OutboxEventId, "event id", id);
  const publishers = new Serving<Publisher>();

  const connected = Context.getOption(context, Connection.Connection);
  const leave = Option.match(connected, {
    onNone: () => Effect.void,
    onSome: ({ leave }) => leave,
  });

  const close = async () => {
    publishers.stop();
    await Effect.runPromise(leave);
    await publishers.close();
    await runtime.dispose();
  };

  const startPublisher = async (
    [to, options]: Parameters<Outbox["publish"]>,
    onClosed: () => void,
  ): Promise<Publisher> => {
    const transport: Layer.Layer<OutboxTransport, Connection.ConnectError> =
      typeof to === "function" ? layerFunction(to) : Layer.provide(
        JetStreamTransport.layer(to),
        Connection.layer(targetOf(connection, to)),
      );
    const scope = Scope.makeUnsafe();
    await run(Layer.buildWithScope(
      Manager.layer(options).pipe(
        Layer.provide(transport),
        Layer.provide(Layer.succeed(OutboxStore, stored)),
      ),
      scope,
    ));
    let ending: Promise<void> | undefined;
    const end = () => ending ??= run(Scope.close(scope, Exit.void)).then(onClosed);
    return { close: end, [Symbol.asyncDispose]: end };
  };

  return {
    add: (eventType, payload, token, options) => run(add(eventType, payload, token, options)),
    publish: (...asked) => publishers.start((onClosed) => startPublisher(asked, onClosed)),
    counts: () => run(stored.counts),
    deadLetters: ({ limit = 100, after } = {}) =>
      run(Effect.gen(function* () {
        const behind = after === undefined ? {} : { after: yield* idOf(after) };
        return yield* stored.deadLetters({ limit, ...behind });
      })),
    requeue: (id) => run(Effect.flatMap(idOf(id), stored.requeue)),
    deleteDeadLetter: (id) => run(Effect.flatMap(idOf(id), stored.deleteDeadLetter)),
    close,
    [Symbol.asyncDispose]: close,
  };
};

/**
 * Opens the outbox of a namespace.
 *
 * **Example** (Add, and publish)
 *
 * ```ts
 * import { connectOutbox } from "@weir/weir/outbox";
 *
 * await using outbox = await connectOutbox({ strategy: { type: "provided" } });
 * await using publisher = await outbox.publish(async (event) => {
 *   console.log(event.eventType, event.payload);
 * });
 * await outbox.add("order.paid", { cents: 42 }, "o-1/paid");
 * ```
 */
export const connectOutbox = async (options: ConnectOutboxOptions = {}): Promise<Outbox> => {
  const tenant = await Effect.runPromise(parse(Tenant, "tenant", options.tenant ?? "default"));
  // The limit of a payload is the producer's, and leaves room for what the log stores beside it.
  const maxPayloadBytes = Math.max(
    defaultMaxPayloadBytes,
    (options.maxPayloadBytes ?? 0) + LogStore.recordBytes + LogStore.letterBytes,
  );
  const store = LogStore.layer({ tenant }).pipe(
    Layer.provide(ServerClock.layer),
    Layer.provide(layerJetStream({ ...options, maxPayloadBytes })),
    Layer.provideMerge(Connection.layer(options)),
  );
  return await outboxOn(store, options, options);
};

/** Opens the outbox on another store, such as that of `@weir/weir/outbox/postgres`. */
export const openOutbox = <E>(
  store: Layer.Layer<OutboxStore, E>,
  options: Service.ProducerOptions & Connection.ConnectionOptions = {},
): Promise<Outbox> => outboxOn(store, options, options);
