import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { CursorGap } from "../../schema/errors.ts";
import * as Connection from "../../streams/connection.ts";
import { noFloors, raiseFloors } from "../../streams/floor.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream as layerLog } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { Subscriptions } from "../../streams/subscriptions.ts";
import { layerJetStream } from "../../streams/subscriptions/jetstream.ts";
import * as Registry from "../../streams/subscriptions/registry.ts";
import {
  completeAll,
  completeInOrder,
  create,
  fresh,
  listed,
  readCompletions,
  type Services,
  tailOf,
} from "../conformance/subscriptions/matter.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

type Process = ManagedRuntime.ManagedRuntime<Services, unknown>;

describe("a durable subscription on a server", () => {
  let server: ScratchServer;
  const processes: Array<Process> = [];
  const newProcess = () => {
    const runtime = ManagedRuntime.make(
      Layer.mergeAll(Leases.layer, layerJetStream).pipe(
        Layer.provideMerge(Sessions.layer),
        Layer.provideMerge(layerLog()),
        Layer.provide(Connection.layer({ servers: server.url })),
      ),
    );
    processes.push(runtime);
    return runtime;
  };
  let here: Process;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    here = newProcess();
  });
  after(async () => {
    await Promise.all(processes.map((process) => process.dispose()));
    await server.stop();
  });

  it("goes on by itself when the server was away", async () => {
    const { tenant, name } = fresh();
    const options = { durable: name, tenant, after: "earliest" };
    await here.runPromise(Effect.scoped(Effect.gen(function* () {
      const before = yield* completeAll(tenant, 2);
      const reader = yield* readCompletions(options);
      assert.deepEqual(yield* reader.ids(2), before);
      const seen = new Set<string>();
      const reading = yield* Effect.forkChild(
        Effect.forever(
          Effect.tap(reader.next, ({ executionId }) => Effect.sync(() => seen.add(executionId))),
        ),
      );
      yield* Effect.repeat(listed(name), { until: (found) => found?.waiting === 1 });
      yield* Effect.promise(() => server.kill());
      yield* Effect.promise(() => server.restart());
      const after = yield* completeAll(tenant, 2);
      yield* Effect.repeat(Effect.sleep("20 millis"), {
        until: () => after.every((id) => seen.has(id)),
      }).pipe(Effect.timeout("30 seconds"));
      yield* Fiber.interrupt(reading);
    })));
  });

  it("is made once by all who begin at the same time", async () => {
    const { tenant, name } = fresh();
    const options = { durable: name, tenant };
    await Promise.all(
      [here, newProcess(), newProcess(), newProcess()].map((process) =>
        process.runPromise(create(options))
      ),
    );
    await here.runPromise(Effect.scoped(Effect.gen(function* () {
      const ids = yield* completeAll(tenant, 1);
      const reader = yield* readCompletions(options);
      assert.deepEqual(yield* reader.ids(1), ids);
    })));
  });

  it("tells of a gap until somebody who was told reads on", async () => {
    const { tenant, name } = fresh();
    const options = { durable: name, tenant };
    const read = Effect.scoped(Effect.flatMap(readCompletions(options), (reader) => reader.next));
    await here.runPromise(Effect.gen(function* () {
      yield* create(options);
      const log = yield* Log;
      const { address } = yield* completeInOrder(tenant);
      const sequence = (yield* log.lastSequences(address, ["done"])).get("done")!;
      yield* raiseFloors(log, address.shard, { ...noFloors, done: sequence });
      yield* log.remove(address.shard, sequence);
      yield* completeAll(tenant, 1);
      assert.ok((yield* Effect.flip(read)) instanceof CursorGap);
    }));
    // This one was not told.
    const there = newProcess();
    assert.ok((await there.runPromise(Effect.flip(read))) instanceof CursorGap);
    await here.runPromise(read);
    await newProcess().runPromise(read);
  });

  it("is where a reset said, whoever died behind its record", async () => {
    const { tenant, name } = fresh();
    const options = { durable: name, tenant, after: "earliest" };
    const key = { family: "completions", name } as const;
    await here.runPromise(Effect.gen(function* () {
      const start = yield* tailOf(0);
      const ids = yield* completeAll(tenant, 2);
      yield* Effect.scoped(Effect.gen(function* () {
        const reader = yield* readCompletions(options);
        yield* reader.ids(2);
        yield* Effect.timeoutOption(reader.next, "500 millis");
      }));
      // What `reset` writes before it touches any consumer.
      const registry = Registry.make(yield* Log);
      const { record, revision } = yield* registry.find(key);
      const handled = [start];
      yield* registry.put(key, { ...record, generation: revision, handled }, revision);
      yield* Effect.scoped(Effect.gen(function* () {
        const reader = yield* readCompletions(options);
        assert.deepEqual(yield* reader.ids(2), ids);
      }));
      // What `delete` leaves if it ends after the record.
      const found = yield* registry.find(key);
      yield* registry.remove(found);
      yield* (yield* Subscriptions).delete(key);
    }));
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
