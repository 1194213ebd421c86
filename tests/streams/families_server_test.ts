/** Readers of families over connections that break, servers that restart, and stores that are lost. */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { AckPolicy, DeliverPolicy } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Result from "effect/Result";
import * as Stream from "effect/Stream";
import { decodeCursor, encodeCursor } from "../../schema/cursor.ts";
import { InvalidCursor, StreamDisconnected } from "../../schema/errors.ts";
import * as Connection from "../../streams/connection.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream, type LogOptions } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { executionFilter, streamName } from "../../streams/subjects.ts";
import {
  end,
  failing,
  here,
  mail,
  own,
  readAll,
  type Services,
  take,
} from "../conformance/families/scene.ts";
import { writeMany } from "../conformance/families/pressure.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

/** Written while a reader stands still. */
const meanwhile = process.env["WEIR_TEST_FULL"] === "1" ? 100_000 : 5_000;

type Runtime = ManagedRuntime.ManagedRuntime<Services | Connection.Connection, unknown>;

const open = (url: string, options: LogOptions = {}): Runtime =>
  ManagedRuntime.make(
    Families.layerJetStream.pipe(
      Layer.provideMerge(Leases.layer),
      Layer.provideMerge(Sessions.layer),
      Layer.provideMerge(layerJetStream(options)),
      Layer.provideMerge(Connection.layer({ servers: url })),
    ),
  );

const positionOf = (cursor: string) => Effect.runPromise(decodeCursor(cursor));

/** The consumers of the first shard. */
const consumersOf = (namespace: string) =>
  Effect.flatMap(Connection.Connection, ({ manager }) =>
    Effect.promise(async () => {
      const found = [];
      for await (const consumer of manager.consumers.list(`KV_${namespace}`)) found.push(consumer);
      return found;
    }));

describe("a reader of a family", () => {
  let server: ScratchServer;
  let proxy: Proxy;
  let witness: Runtime;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    proxy = await startProxy(server.port);
    witness = open(server.url, { shards: 2 });
  });
  after(async () => {
    await witness.dispose();
    await proxy.stop();
    await server.stop();
  });

  it("ends when its connection breaks, with the cursor of what it was given last", async () => {
    await witness.runPromise(own());
    const client = open(proxy.url);
    const after = await witness.runPromise(here);
    await witness.runPromise(own());
    const given: Array<string> = [];
    const { error } = await client.runPromise(
      Effect.gen(function* () {
        const families = yield* Families.Families;
        const outcome = yield* families.read("leaseHistory", { after }).pipe(
          Stream.runForEach(({ cursor }) =>
            Effect.sync(() => {
              given.push(cursor);
              proxy.cut();
            })
          ),
          Effect.result,
        );
        return Result.isFailure(outcome) ? { error: outcome.failure } : assert.fail("it went on");
      }),
    );
    assert.ok(error instanceof StreamDisconnected, String(error));
    assert.deepEqual([error.cursor], given);
    await witness.runPromise(own());
    const [next] = await client.runPromise(take("leaseHistory", 1, { after: error.cursor }));
    const [same] = await witness.runPromise(readAll("leaseHistory", { after: error.cursor }));
    assert.equal(next!.executionId, same!.executionId);
    await client.dispose();
  });

  it("that was given nothing ends where it began, so that nothing is lost meanwhile", async () => {
    const client = open(proxy.url);
    const outcome = client.runPromise(failing("completions", { after: "now" }));
    await eventually("it listens", async () => {
      const consumers = await witness.runPromise(consumersOf("weir"));
      return consumers.some(({ config }) => config.filter_subject?.includes(".done.")) || undefined;
    }, 30_000);
    proxy.cut();
    const { error } = await outcome;
    assert.ok(error instanceof StreamDisconnected, String(error));
    const owned = await witness.runPromise(own());
    await witness.runPromise(end(owned));
    const events = await witness.runPromise(readAll("completions", { after: error.cursor }));
    assert.deepEqual(events.map(({ executionId }) => executionId), [owned.execution]);
    await client.dispose();
  });

  it("ends when its connection is closed", async () => {
    const client = open(server.url);
    // What the runtime itself runs would be interrupted by its end.
    const run = Effect.runPromiseWith(await client.context());
    const outcome = run(failing("signalDeliveries", { after: "earliest" }));
    await eventually("it listens", async () => {
      const consumers = await witness.runPromise(consumersOf("weir"));
      return consumers.some(({ config }) => config.filter_subject?.includes(".signal.")) ||
        undefined;
    }, 30_000);
    await client.dispose();
    const { error } = await outcome;
    assert.ok(error instanceof StreamDisconnected, String(error));
    assert.equal(error.cursor, "earliest");
  });

  it("leaves no consumer behind when it goes", async () => {
    const before = (await witness.runPromise(consumersOf("weir"))).map(({ name }) => name);
    await witness.runPromise(take("leaseHistory", 1, { after: "earliest" }));
    await eventually("the consumer is gone", async () => {
      const now = await witness.runPromise(consumersOf("weir"));
      return now.every(({ name }) => before.includes(name)) || undefined;
    }, 30_000);
  });

  it("6: that stands still has taken no more than its buffers hold", async () => {
    const client = open(server.url, { namespace: "slow" });
    const taken = await client.runPromise(Effect.gen(function* () {
      const families = yield* Families.Families;
      yield* own();
      let delivered = 0;
      yield* families.read("leaseHistory", { after: "earliest" }).pipe(
        Stream.take(1),
        Stream.runForEach(() =>
          Effect.gen(function* () {
            yield* writeMany(meanwhile);
            const [consumer] = yield* consumersOf("slow");
            delivered = consumer!.delivered.consumer_seq;
          })
        ),
      );
      return delivered;
    }));
    assert.ok(taken > 0 && taken <= 1_024, `${taken} of ${meanwhile} were sent to it`);
    await client.dispose();
  });

  it("passes over an end whose payload is gone, and goes on", async () => {
    const client = open(server.url, { namespace: "gone", spillThresholdBytes: 1_024 });
    const events = await client.runPromise(Effect.gen(function* () {
      const lost = yield* own();
      yield* end(lost, { type: "success", value: "x".repeat(5_000) });
      const { manager } = yield* Connection.Connection;
      yield* Effect.promise(() => manager.streams.purge("OBJ_gone"));
      const kept = yield* own();
      yield* end(kept, { type: "success", value: "x".repeat(5_000) });
      const events = yield* readAll("completions", { after: "earliest" });
      return { events, kept: kept.execution };
    }));
    assert.deepEqual(events.events.map(({ executionId }) => executionId), [events.kept]);
    await client.dispose();
  });

  it("that passed over a payload which is gone goes on from every cursor behind it", async () => {
    const client = open(server.url, { namespace: "lost", shards: 2, spillThresholdBytes: 1_024 });
    await client.runPromise(Effect.gen(function* () {
      const ownIn = (shard: number) =>
        Effect.repeat(Effect.suspend(() => own()), {
          until: ({ address }) => address.shard === shard,
        });
      const large = { type: "success", value: "x".repeat(5_000) } as const;
      const before = yield* here;
      const lost = yield* end(yield* ownIn(0), large);
      const { manager } = yield* Connection.Connection;
      yield* Effect.promise(() => manager.streams.purge("OBJ_lost"));
      const families = yield* Families.Families;
      const finish = Effect.flatMap(ownIn(1), (owned) => end(owned));
      yield* finish;
      let behind: string | undefined;
      // The other shard's events have cursors that come to stand on what was passed over.
      yield* families.read("completions", { after: before }).pipe(
        Stream.takeUntilEffect(({ cursor }) =>
          Effect.gen(function* () {
            const { shards } = yield* decodeCursor(cursor);
            if (shards[0]!.sequence === lost.sequence) behind = cursor;
            else yield* finish;
            return behind !== undefined;
          })
        ),
        Stream.runDrain,
        Effect.timeout("30 seconds"),
      );
      assert.deepEqual(yield* readAll("completions", { after: behind! }), []);
    }));
    await client.dispose();
  });

  it("of a tag passes over executions whose start cannot be read, and goes on", async () => {
    const client = open(server.url, { namespace: "untold", spillThresholdBytes: 1_024 });
    await client.runPromise(Effect.gen(function* () {
      const tags = { "team.name": "checkout" };
      const finish = (seed: string) =>
        Effect.gen(function* () {
          const owned = yield* own();
          yield* mail(owned.address, { kind: "start", seed, tags });
          yield* end(owned);
          return owned.execution;
        });
      yield* finish("x".repeat(5_000));
      const { manager } = yield* Connection.Connection;
      yield* Effect.promise(() => manager.streams.purge("OBJ_untold"));
      const kept = yield* finish("s");
      const tag = { name: "team.name" };
      const events = yield* readAll("completions", { after: "earliest", tag });
      assert.deepEqual(events.map(({ executionId }) => executionId), [kept]);
    }));
    await client.dispose();
  });

  it("9: is not needed: a plain NATS client follows a family by its subject and JSON", async () => {
    await witness.runPromise(Effect.gen(function* () {
      const { jetStream, manager } = yield* Connection.Connection;
      const log = yield* Log;
      const begun = yield* here;
      const owned = yield* own();
      yield* end(owned, { type: "cancelled", reason: "enough" });
      const { shard } = owned.address;
      const { shards, incarnation } = yield* decodeCursor(begun);
      const stream = streamName(log.layout, shard);
      const seen = yield* Effect.promise(async () => {
        const { name } = await manager.consumers.add(stream, {
          filter_subject: `${owned.address.root}.done.>`,
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: shards[shard]!.sequence + 1,
          ack_policy: AckPolicy.None,
        });
        const consumer = await jetStream.consumers.get(stream, name);
        const message = await consumer.next({ expires: 10_000 });
        await consumer.delete();
        return message!;
      });
      const json = seen.json<
        { readonly kind: string; readonly outcome: { readonly type: string } }
      >();
      assert.deepEqual([json.kind, json.outcome.type], ["done", "cancelled"]);
      assert.equal(seen.subject, executionFilter(owned.address, "done").subject);

      // Back again: behind that message there is nothing, and before it there is one.
      const at = (sequence: number) =>
        encodeCursor({
          incarnation,
          shards: shards.map((position, i) =>
            i === shard ? { sequence, at: Number(seen.timestampNanos / 1_000_000n) } : position
          ),
        });
      assert.deepEqual(yield* readAll("completions", { after: at(seen.seq) }), []);
      assert.equal((yield* readAll("completions", { after: at(seen.seq - 1) })).length, 1);
    }));
  });
});

describe("a reader of a family whose server", () => {
  it("restarts between every two events, as the reader does, misses and repeats nothing", async () => {
    const server = await scratchServer({ durability: "bounded" });
    const written: Array<string> = [];
    const seen: Array<string> = [];
    let after = "earliest";
    for (let round = 0; round < 5; round++) {
      const client = open(server.url);
      written.push((await client.runPromise(own())).execution);
      const [event] = await client.runPromise(take("leaseHistory", 1, { after }));
      seen.push(event!.executionId);
      after = event!.cursor;
      await client.dispose();
      if (round % 2 === 0) await server.kill();
      await server.restart();
    }
    assert.deepEqual(seen, written);
    await server.stop();
  });

  it("lost its stream refuses what the one before has issued", async () => {
    const server = await scratchServer({ durability: "bounded" });
    const client = open(server.url);
    const refusal = async (runtime: Runtime, after: string) => {
      const { error } = await runtime.runPromise(failing("leaseHistory", { after }));
      assert.ok(error instanceof InvalidCursor, String(error));
      return error.reason;
    };
    for (let i = 0; i < 3; i++) await client.runPromise(own());
    const cursor = await client.runPromise(here);
    await client.runPromise(Effect.gen(function* () {
      const { manager } = yield* Connection.Connection;
      yield* Effect.promise(() => manager.streams.delete("KV_weir"));
    }));
    const heir = open(server.url);
    await heir.runPromise(own());
    assert.equal(await refusal(heir, cursor), "other-incarnation");
    // Whoever was connected before takes the stream for the one that it knew.
    assert.equal(await refusal(client, cursor), "newer-than-tail");
    for (let i = 0; i < 5; i++) await heir.runPromise(own());
    assert.equal(await refusal(client, cursor), "reissued");
    await client.dispose();
    await heir.dispose();
    await server.stop();
  });

  it("lost the end of its store, and gave its sequences again, refuses what it had issued", async () => {
    const server = await scratchServer({ durability: "bounded" });
    let client = open(server.url);
    const cursors: Array<string> = [];
    for (let i = 0; i < 6; i++) {
      await client.runPromise(own());
      cursors.push(await client.runPromise(here));
    }
    const { shards: [end] } = await positionOf(cursors.at(-1)!);
    await client.dispose();
    await server.kill();
    // The index says where blocks end; without it the server reads them, and stops at what is broken.
    for (const path of await readdir(server.store, { recursive: true })) {
      if (!path.includes("KV_weir") || !path.endsWith(".blk")) continue;
      const block = join(server.store, path);
      const bytes = await readFile(block);
      const broken = Math.floor(bytes.length / 2);
      bytes[broken] = bytes[broken]! ^ 0xff;
      await writeFile(block, bytes);
    }
    for (const path of await readdir(server.store, { recursive: true })) {
      if (path.includes("KV_weir") && path.endsWith("index.db")) {
        await writeFile(join(server.store, path), "");
      }
    }
    await server.restart();
    client = open(server.url);
    const lost = await client.runPromise(Effect.flatMap(Log, (log) => log.tail(0)));
    assert.ok(lost.sequence < end!.sequence, "the store is whole");
    const refusals = async () => {
      const reasons: Array<string> = [];
      for (const after of cursors) {
        const { sequence } = (await positionOf(after)).shards[0]!;
        if (sequence <= lost.sequence) continue;
        const { error } = await client.runPromise(failing("leaseHistory", { after }));
        assert.ok(error instanceof InvalidCursor, String(error));
        reasons.push(error.reason);
      }
      return reasons;
    };
    assert.deepEqual([...new Set(await refusals())], ["newer-than-tail"]);
    for (let i = 0; i < 8; i++) await client.runPromise(own());
    assert.deepEqual([...new Set(await refusals())], ["reissued"]);
    await client.dispose();
    await server.stop();
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
