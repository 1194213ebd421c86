/** Effect's storages of event logs on the log, by the suites that Effect's own in memory pass. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import { Entry, makeEntryIdUnsafe } from "effect/eventlog/EventJournal";
import { StoreId } from "effect/eventlog/EventLogMessage";
import * as EncryptedServer from "effect/eventlog/EventLogServerEncrypted";
import * as Server from "effect/eventlog/EventLogServerUnencrypted";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { Namespace } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { layer as layerEncrypted } from "../../streams/event_log/encrypted_storage.ts";
import { layer as layerUnencrypted } from "../../streams/event_log/unencrypted_storage.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { encryptedEventLogStorageSuite } from "../../testing/suites/encrypted_event_log_storage.ts";
import { eventLogStorageSuite } from "../../testing/suites/event_log_storage.ts";
import type { SuiteOptions } from "../../testing/suites/suite.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const virtually: SuiteOptions = {
  it,
  run: (effect) => new VirtualClock(Date.now()).run(effect),
};

describe("Effect's own storages in memory", () => {
  eventLogStorageSuite("Effect", () => Server.layerStorageMemory, virtually);
  encryptedEventLogStorageSuite("Effect", () => EncryptedServer.layerStorageMemory, virtually);
});

describe("event logs on the log in memory, 3 shards", () => {
  const layerLog = () =>
    ServerClock.layer.pipe(
      Layer.provideMerge(
        layerMemory({ layout: { namespace: Namespace.make("memory"), shards: 3, parts: 4 } }),
      ),
    );
  eventLogStorageSuite("memory", () => layerUnencrypted.pipe(Layer.provide(layerLog())), virtually);
  encryptedEventLogStorageSuite(
    "memory, encrypted",
    () => layerEncrypted.pipe(Layer.provide(layerLog())),
    virtually,
  );
});

describe("event logs on JetStream, 2 shards", () => {
  let server: ScratchServer;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(() => server.stop());

  const layerLog = (namespace = `t${randomUUID().slice(24)}`) =>
    ServerClock.layer.pipe(
      Layer.provideMerge(layerJetStream({ namespace, shards: 2 })),
      Layer.provide(Connection.layer({ servers: server.url })),
    );
  eventLogStorageSuite("JetStream", () => layerUnencrypted.pipe(Layer.provide(layerLog())), { it });
  encryptedEventLogStorageSuite(
    "JetStream, encrypted",
    () => layerEncrypted.pipe(Layer.provide(layerLog())),
    { it },
  );

  /** What a process has: a connection of its own, and a storage on it. */
  const connected = (namespace: string) =>
    Effect.map(
      Layer.build(Layer.fresh(layerUnencrypted.pipe(Layer.provide(layerLog(namespace))))),
      (context) => Context.get(context, Server.Storage),
    );
  const orders = StoreId.make("orders");
  const newEntry = (primaryKey: string) =>
    new Entry({ id: makeEntryIdUnsafe(), event: "Moved", primaryKey, payload: new Uint8Array(9) });
  const follow = ({ changes }: Server.Storage["Service"], startSequence: number, count: number) =>
    changes({ storeId: orders, startSequence, compactors: new Map() }).pipe(
      Stream.take(count),
      Stream.map(({ remoteSequence, entry }) => [remoteSequence, entry.primaryKey] as const),
      Stream.runCollect,
    );
  const test = (
    title: string,
    effect: (namespace: string) => Effect.Effect<unknown, unknown, Scope.Scope>,
  ) =>
    it(
      title,
      () => Effect.runPromise(Effect.asVoid(Effect.scoped(effect(`t${randomUUID().slice(24)}`)))),
    );

  test("what several processes write at once is seen by all, in one order", (namespace) =>
    Effect.gen(function* () {
      const processes = yield* Effect.all([connected(namespace), connected(namespace)], {
        concurrency: "unbounded",
      });
      const [one, two] = processes;
      assert.deepEqual(yield* one.getId, yield* two.getId);
      const readers = yield* Effect.forEach(
        processes,
        (process) => Effect.forkChild(follow(process, 1, 20)),
      );
      const written = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => newEntry(`${i}`)),
        (entry, i) => {
          const { entriesAfter, withTransaction, write } = processes[i % 2]!;
          return entriesAfter(orders, entry, [entry]).pipe(
            Effect.andThen(write(orders, [entry])),
            withTransaction,
          );
        },
        { concurrency: "unbounded" },
      );
      const byNumber = written.flat()
        .map(({ remoteSequence, entry }) => [remoteSequence, entry.primaryKey] as const)
        .sort(([a], [b]) => a - b);
      assert.deepEqual(byNumber.map(([number]) => number), byNumber.map((_, i) => i + 1));
      for (const reader of readers) assert.deepEqual(yield* Fiber.join(reader), byNumber);
    }));

  test("what several processes write at once that they cannot read has no gaps either", (namespace) =>
    Effect.gen(function* () {
      const processes = yield* Effect.forEach([1, 2], () =>
        Effect.map(
          Layer.build(Layer.fresh(layerEncrypted.pipe(Layer.provide(layerLog(namespace))))),
          (context) => Context.get(context, EncryptedServer.Storage),
        ), { concurrency: "unbounded" });
      const newBatch = () => ({
        entryIds: [makeEntryIdUnsafe(), makeEntryIdUnsafe()] as const,
        iv: new Uint8Array(12),
        encryptedBatch: new Uint8Array(9),
      });
      const same = newBatch();
      const written = yield* Effect.forEach(
        Array.from({ length: 20 }, newBatch),
        (batch, i) => processes[i % 2]!.write("ana", orders, [same, batch]),
        { concurrency: "unbounded" },
      );
      assert.deepEqual(
        written.flat().map(({ sequence }) => sequence).sort((a, b) => a - b),
        Array.from({ length: 21 }, (_, i) => 2 * i + 1),
      );
    }));

  test("a process that comes later goes on where another has stopped", (namespace) =>
    Effect.gen(function* () {
      const entries = ["one", "two", "three"].map(newEntry);
      const key = new Uint8Array(32).fill(1);
      const id = yield* Effect.scoped(Effect.gen(function* () {
        const { getId, getOrCreateSessionAuthBinding, write } = yield* connected(namespace);
        yield* write(orders, entries.slice(0, 1));
        yield* write(orders, entries.slice(1));
        yield* getOrCreateSessionAuthBinding("ana", key);
        return yield* getId;
      }));
      const later = yield* connected(namespace);
      assert.deepEqual(yield* later.getId, id);
      assert.deepEqual(
        yield* later.getOrCreateSessionAuthBinding("ana", new Uint8Array(32)),
        key,
      );
      assert.ok(Exit.isFailure(yield* Effect.exit(later.write(orders, entries.slice(2)))));
      yield* later.write(orders, [newEntry("four")]);
      assert.deepEqual(yield* follow(later, 3, 2), [[3, "three"], [4, "four"]]);
    }));

  test("a server that is killed loses nothing of it, and who follows goes on", (namespace) =>
    Effect.gen(function* () {
      const [writer, reader] = [yield* connected(namespace), yield* connected(namespace)];
      yield* writer.write(orders, [newEntry("0")]);
      const hasBegun = yield* Deferred.make<void>();
      const following = yield* reader.changes({
        storeId: orders,
        startSequence: 1,
        compactors: new Map(),
      }).pipe(
        Stream.tap(() => Deferred.succeed(hasBegun, undefined)),
        Stream.take(9),
        Stream.map(({ remoteSequence, entry }) => [remoteSequence, entry.primaryKey]),
        Stream.runCollect,
        Effect.forkChild,
      );
      yield* Deferred.await(hasBegun);
      const writing = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: 8 }, (_, i) => `${i + 1}`),
        (key) => writer.write(orders, [newEntry(key)]),
      ));
      yield* Effect.promise(async () => {
        await server.kill();
        await server.restart();
      });
      yield* Fiber.join(writing);
      assert.deepEqual(
        yield* Fiber.join(following),
        Array.from({ length: 9 }, (_, i) => [i + 1, `${i}`]),
      );
    }));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
