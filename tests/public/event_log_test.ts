import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as EventGroup from "effect/eventlog/EventGroup";
import * as EventJournal from "effect/eventlog/EventJournal";
import * as EventLog from "effect/eventlog/EventLog";
import * as EventLogEncryption from "effect/eventlog/EventLogEncryption";
import {
  type EventLogAuthentication,
  EventLogRemoteRpcs,
  StoreId,
} from "effect/eventlog/EventLogMessage";
import * as EventLogRemote from "effect/eventlog/EventLogRemote";
import * as EncryptedServer from "effect/eventlog/EventLogServerEncrypted";
import * as Server from "effect/eventlog/EventLogServerUnencrypted";
import * as Layer from "effect/Layer";
import * as Queue from "effect/Queue";
import type * as Rpc from "effect/rpc/Rpc";
import type * as RpcGroup from "effect/rpc/RpcGroup";
import * as RpcTest from "effect/rpc/RpcTest";
import type * as Scope from "effect/Scope";
import * as Schema from "effect/Schema";
import { layerNamespace, layerServerClock } from "@weir/weir/effect";
import { layerEncryptedStorage, layerUnencryptedStorage } from "@weir/weir/eventlog";
import { Namespace } from "@weir/weir/schema";
import { encryptedEventLogStorageSuite, eventLogStorageSuite } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const Todos = EventGroup.empty.add({
  tag: "TodoAdded",
  primaryKey: ({ id }) => id,
  payload: Schema.Struct({ id: Schema.String, title: Schema.String }),
});
const todos = EventLog.schema(Todos);

/** Handlers that give the titles which they are told of to a queue. */
const handlers = (titles: Queue.Queue<string>) =>
  EventLog.group(
    Todos,
    (handlers) =>
      handlers.handle("TodoAdded", ({ payload }) =>
        Effect.asVoid(Queue.offer(titles, payload.title))),
  );

const allowed = Layer.succeed(Server.EventLogServerAuthorization, {
  authorizeIdentity: () => Effect.void,
  authorizeRead: () => Effect.void,
  authorizeWrite: () => Effect.void,
});

type ServerLayer = Layer.Layer<
  Rpc.ToHandler<RpcGroup.Rpcs<typeof EventLogRemoteRpcs>> | EventLogAuthentication,
  unknown
>;
type RemoteLayer = Layer.Layer<
  EventLogRemote.EventLogRemote,
  unknown,
  EventLogRemote.EventLogRemoteClient | EventLog.Registry
>;

/** A program on a device of its own, and the server that it is connected to. */
const device = Effect.fnUntraced(function* (
  identity: EventLog.Identity["Service"],
  remote: RemoteLayer,
  server: ServerLayer,
) {
  const titles = yield* Queue.unbounded<string>();
  const client = Layer.effect(
    EventLogRemote.EventLogRemoteClient,
    RpcTest.makeClient(EventLogRemoteRpcs),
  );
  const context = yield* Layer.build(Layer.fresh(
    remote.pipe(
      Layer.provide(client),
      // A process of its own, as far as this one can be two.
      Layer.provide(Layer.fresh(server)),
      Layer.provideMerge(EventLog.layer(todos, handlers(titles))),
      Layer.provide(EventJournal.layerMemory),
      Layer.provide(Layer.succeed(EventLog.Identity, identity)),
    ),
  ));
  const write = yield* Effect.provide(EventLog.makeClient(todos), context);
  return {
    add: (id: string, title: string) => write({ event: "TodoAdded", payload: { id, title } }),
    /** So many titles, as the device is told of them. */
    told: (count: number) => Queue.takeN(titles, count),
  };
});

const plainRemote = Layer.effect(EventLogRemote.EventLogRemote, EventLogRemote.makeUnencrypted);
const encryptedRemote = Layer.effect(
  EventLogRemote.EventLogRemote,
  EventLogRemote.makeEncrypted,
).pipe(Layer.provide(EventLogEncryption.layerSubtle));

const newIdentity = Effect.provide(EventLog.makeIdentity, EventLogEncryption.layerSubtle);

describe("event logs on the embedded server", () => {
  let store: string;
  let used = 0;
  before(async () => {
    store = await scratchStore();
  });
  after(() => removeStore(store));

  const services = (namespace = `events${used++}`) =>
    layerServerClock.pipe(
      Layer.provideMerge(
        layerNamespace({ embedded: { store }, namespace: Namespace.make(namespace) }),
      ),
    );
  eventLogStorageSuite(
    "server",
    () => layerUnencryptedStorage.pipe(Layer.provide(services())),
    { it },
  );
  encryptedEventLogStorageSuite(
    "server, encrypted",
    () => layerEncryptedStorage.pipe(Layer.provide(services())),
    { it },
  );

  const test = (title: string, effect: Effect.Effect<void, unknown, Scope.Scope>) =>
    it(title, () => Effect.runPromise(Effect.timeout(Effect.scoped(effect), "1 minute")));

  test(
    "two devices at two servers are told of each other's events, which the servers handle",
    Effect.gen(function* () {
      const handled = yield* Queue.unbounded<string>();
      const server = Server.layerNoRpcServer(todos, handlers(handled)).pipe(
        Layer.provide(allowed),
        Layer.provide(Server.layerStoreMappingStatic({ storeId: StoreId.make("default") })),
        Layer.provide(layerUnencryptedStorage),
        Layer.provide(services("readable")),
      );
      const [ana, ben] = [
        yield* device(yield* newIdentity, plainRemote, server),
        yield* device(yield* newIdentity, plainRemote, server),
      ];
      yield* ana.add("1", "milk");
      yield* ben.add("2", "bread");
      assert.deepEqual((yield* ana.told(2)).sort(), ["bread", "milk"]);
      assert.deepEqual((yield* ben.told(2)).sort(), ["bread", "milk"]);
      assert.deepEqual((yield* Queue.takeN(handled, 2)).sort(), ["bread", "milk"]);
      // One that comes later is told of all.
      const late = yield* device(yield* newIdentity, plainRemote, server);
      assert.deepEqual((yield* late.told(2)).sort(), ["bread", "milk"]);
    }),
  );

  test(
    "two devices of one user are told of what no server can read",
    Effect.gen(function* () {
      const identity = yield* newIdentity;
      const server = EncryptedServer.layerRpcHandlers.pipe(
        Layer.provide(layerEncryptedStorage),
        Layer.provide(services("sealed")),
      );
      const [desk, phone] = [
        yield* device(identity, encryptedRemote, server),
        yield* device(identity, encryptedRemote, server),
      ];
      yield* desk.add("1", "milk");
      assert.deepEqual(yield* phone.told(1), ["milk"]);
      yield* phone.add("2", "bread");
      assert.deepEqual((yield* desk.told(2)).sort(), ["bread", "milk"]);
    }),
  );
});
