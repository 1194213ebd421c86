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
import { layerJetStream as layerLog, type LogOptions } from "../../streams/log_jetstream.ts";
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
  until,
} from "../conformance/subscriptions/matter.ts";
import { run, start } from "../conformance/execution_index/matter.ts";
import {
  leftovers,
  type ScratchServer,
  scratchServer,
  withConnection,
} from "../fixtures/server.ts";

type Process = ManagedRuntime.ManagedRuntime<Services, unknown>;

describe("a durable subscription on a server", () => {
  let server: ScratchServer;
  const processes: Array<Process> = [];
  const newProcess = (options: LogOptions = {}) => {
    const runtime = ManagedRuntime.make(
      Layer.mergeAll(Leases.layer, layerJetStream).pipe(
        Layer.provideMerge(Sessions.layer),
        Layer.provideMerge(layerLog(options)),
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

  it("tells of a gap until somebody who was told goes on behind it", async () => {
    const { tenant, name } = fresh();
    const options = { durable: name, tenant };
    const read = (after = "now") =>
      Effect.scoped(
        Effect.flatMap(readCompletions({ ...options, after }), (reader) => reader.next),
      );
    const gap = await here.runPromise(Effect.gen(function* () {
      yield* create(options);
      const log = yield* Log;
      const { address } = yield* completeInOrder(tenant);
      const sequence = (yield* log.lastSequences(address, ["done"])).get("done")!;
      yield* raiseFloors(log, address.shard, { ...noFloors, done: sequence });
      yield* log.remove(address.shard, sequence);
      yield* completeAll(tenant, 1);
      return yield* Effect.flip(read());
    }));
    assert.ok(gap instanceof CursorGap);
    // Neither of these was told.
    for (const process of [here, newProcess()]) {
      assert.ok((await process.runPromise(Effect.flip(read()))) instanceof CursorGap);
    }
    await here.runPromise(read(gap.earliest));
    await newProcess().runPromise(read());
  });

  it("passes over an event whose payload is gone", async () => {
    const { tenant, name } = fresh();
    const process = newProcess({ namespace: "gone", spillThresholdBytes: 1_024 });
    await process.runPromise(Effect.gen(function* () {
      const [lost, kept] = [yield* start(tenant), yield* start(tenant)];
      const value = "x".repeat(5_000);
      yield* run(lost, { type: "success", value });
      yield* Effect.promise(() =>
        withConnection(server.url, (nats) => nats.request("$JS.API.STREAM.PURGE.OBJ_gone"))
      );
      yield* run(kept, { type: "success", value });
      yield* Effect.scoped(Effect.gen(function* () {
        const reader = yield* readCompletions({ durable: name, tenant, after: "earliest" });
        assert.deepEqual(yield* reader.ids(1), [kept.execution]);
        yield* Effect.timeoutOption(reader.next, "500 millis");
        yield* until(Effect.map(listed(name), (found) => found?.lag), 0);
      }));
    }));
  });

  it("lets the server know that somebody is at work for long", async () => {
    const { tenant, name } = fresh();
    const said = await withConnection(
      server.url,
      (nats) =>
        here.runPromise(Effect.scoped(Effect.gen(function* () {
          const words = nats.subscribe(`$JS.ACK.KV_weir.completions-${name}.>`);
          yield* Effect.promise(() => nats.flush());
          yield* completeAll(tenant, 1);
          const reader = yield* readCompletions({ durable: name, tenant, after: "earliest" });
          yield* reader.next;
          const { value } = yield* Effect.timeout(
            Effect.promise(() => words[Symbol.asyncIterator]().next()),
            "30 seconds",
          );
          return value!.string();
        }))),
    );
    assert.equal(said, "+WPI");
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
