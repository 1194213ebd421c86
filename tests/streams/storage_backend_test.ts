import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { Namespace } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import * as EventStore from "../../streams/event_store.ts";
import type { Log } from "../../streams/log.ts";
import * as LogJetStream from "../../streams/log_jetstream.ts";
import * as LogMemory from "../../streams/log_memory.ts";
import * as StorageBackend from "../../streams/storage_backend.ts";
import { custom } from "../conformance/event_store/matter.ts";
import { tenant, uniqueExecution } from "../conformance/subject_matter.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

type Services = StorageBackend.StorageBackend | EventStore.EventStore | Log;
type Runtime<Services> = ManagedRuntime.ManagedRuntime<Services, unknown>;

const jetStream = (options: Connection.ConnectionOptions) =>
  StorageBackend.layerJetStream(
    EventStore.layer.pipe(
      Layer.provideMerge(LogJetStream.layerJetStream({ shards: 2 })),
      Layer.provideMerge(Connection.layer(options)),
    ),
  );

const memory = () =>
  StorageBackend.layerMemory(
    EventStore.layer.pipe(
      Layer.provideMerge(
        LogMemory.layerMemory({
          layout: { namespace: Namespace.make("memory"), shards: 2, parts: 4 },
        }),
      ),
    ),
  );

const backendOf = <A>(runtime: Runtime<A | StorageBackend.StorageBackend>) =>
  runtime.runPromise(StorageBackend.StorageBackend);

const health = async <A>(runtime: Runtime<A | StorageBackend.StorageBackend>) =>
  await runtime.runPromise((await backendOf(runtime)).healthCheck);

const append = (runtime: Runtime<Services>) =>
  runtime.runPromise(
    Effect.result(
      Effect.flatMap(
        EventStore.EventStore,
        (store) => store.append(uniqueExecution(), tenant, custom("a")),
      ),
    ),
  );

describe("the memory backend", () => {
  it("needs no network and is well until it is shut down", async () => {
    const runtime = ManagedRuntime.make(memory());
    const { name, requiresNetwork, supportsAirGapped, shutdown } = await backendOf(runtime);
    assert.deepEqual([name, requiresNetwork, supportsAirGapped], ["memory", false, true]);
    assert.equal((await health(runtime))._tag, "Healthy");
    await runtime.runPromise(shutdown);
    await runtime.runPromise(shutdown);
    assert.deepEqual(await health(runtime), { _tag: "Unhealthy", reason: "it was shut down" });
    await runtime.dispose();
  });
});

describe("the JetStream backend", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services | Connection.Connection, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(jetStream({ servers: server.url }));
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });

  it("needs no network where the server is on this machine", async () => {
    const { name, requiresNetwork, supportsAirGapped } = await backendOf(runtime);
    assert.deepEqual([name, requiresNetwork, supportsAirGapped], ["jetstream", false, true]);
  });

  it("tells this machine's addresses from others", () => {
    for (const own of ["127.0.0.1:4222", "127.1.2.3:1", "localhost:4222", "[::1]:4222", "::1"]) {
      assert.equal(StorageBackend.isLoopback(own), true, own);
    }
    for (
      const other of ["10.0.0.1:4222", "127.0.0.1.example.com:4222", "localhost.example.com:1", ""]
    ) {
      assert.equal(StorageBackend.isLoopback(other), false, other);
    }
  });

  it("is well, and says how fast its streams answer and what their clock shows", async () => {
    const found = await health(runtime);
    assert.ok(found._tag === "Healthy");
    assert.ok(found.latencyMs >= 0 && found.latencyMs < 2_000);
    assert.ok(Math.abs(found.clockOffsetMs) < 2_000);
  });

  it("is not well while the server is gone, and is well again after", async () => {
    await server.kill();
    const unhealthy = await eventually("it is not well", async () => {
      const found = await health(runtime);
      return found._tag === "Unhealthy" ? found : undefined;
    });
    assert.match(unhealthy.reason, /disconnected|no answer/);
    await server.restart();
    await eventually(
      "it is well",
      async () => (await health(runtime))._tag === "Healthy" ? true : undefined,
    );
    assert.equal((await append(runtime))._tag, "Success");
  });

  it("is not well when a stream is missing, and names it", async () => {
    const other = await scratchServer({ durability: "bounded" });
    const runtime = ManagedRuntime.make(jetStream({ servers: other.url }));
    const { manager } = await runtime.runPromise(Connection.Connection);
    await manager.streams.delete("KV_weir-1");
    const found = await health(runtime);
    assert.ok(found._tag === "Unhealthy");
    assert.match(found.reason, /KV_weir-1.*stream not found/);
    await runtime.dispose();
    await other.stop();
  });

  it("is not well after a shutdown, which ends the connection", async () => {
    const runtime = ManagedRuntime.make(jetStream({ servers: server.url }));
    const { nats } = await runtime.runPromise(Connection.Connection);
    const { shutdown } = await backendOf(runtime);
    assert.equal((await append(runtime))._tag, "Success");
    await runtime.runPromise(shutdown);
    await runtime.runPromise(shutdown);
    assert.equal(nats.isClosed(), true);
    assert.deepEqual(await health(runtime), { _tag: "Unhealthy", reason: "it was shut down" });
    await runtime.dispose();
  });

  it("needs no network with the embedded server, and its shutdown lets go of it", async () => {
    const store = scratchFolder("embedded");
    const runtime = ManagedRuntime.make(
      jetStream({ embedded: { store: join(store, "weir"), durability: "bounded" } }),
    );
    const { requiresNetwork, shutdown } = await backendOf(runtime);
    assert.equal(requiresNetwork, false);
    assert.equal((await health(runtime))._tag, "Healthy");
    const { server } = await runtime.runPromise(Connection.Connection);
    await runtime.runPromise(shutdown);
    await eventually("the server ends", () => {
      try {
        process.kill(server!.pid, 0);
        return undefined;
      } catch {
        return true;
      }
    });
    await runtime.dispose();
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
