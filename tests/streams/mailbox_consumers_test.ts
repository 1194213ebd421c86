import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { ConsumerInfo } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { ServerRefused, TopologyDrift } from "../../schema/errors.ts";
import { ActorName, ExecutionId } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import { ensureMailbox, mailboxConsumer } from "../../streams/mailbox_consumers.ts";
import { executionAddress, streamName, subjectOf } from "../../streams/subjects.ts";
import { ensure, type NamespaceOptions, type Topology } from "../../streams/topology.ts";
import { tenant } from "../conformance/subject_matter.ts";
import { jetStreamApi } from "../fixtures/jetstream_api.ts";
import {
  leftovers,
  scratchCluster,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

let server: ScratchServer;
let runtime: ManagedRuntime.ManagedRuntime<Connection.Connection, unknown>;
let api: ReturnType<typeof jetStreamApi>;

const actor = ActorName.make("order");

const run = <A, E>(effect: Effect.Effect<A, E, Connection.Connection>) =>
  runtime.runPromise(effect);

describe("a mailbox", () => {
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(Connection.layer({ servers: server.url }));
    api = jetStreamApi((await run(Connection.Connection)).nats);
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });

  let namespaces = 0;
  const newTopology = (options: NamespaceOptions = {}) =>
    run(ensure({ namespace: `n${++namespaces}`, ...options }));
  const consumer = (topology: Topology, shard: number, part: number) => {
    const stream = streamName(topology.layout, shard);
    return api.done<ConsumerInfo>(`CONSUMER.INFO.${stream}.${mailboxConsumer(actor, part)}`);
  };
  const consumers = (topology: Topology) =>
    Promise.all(
      Array.from({ length: topology.layout.shards * topology.layout.parts }, (_, i) =>
        consumer(topology, i % topology.layout.shards, Math.floor(i / topology.layout.shards))),
    );

  it("has one prioritised consumer per partition, made once, whoever comes first", async () => {
    const topology = await newTopology({ shards: 2, parts: 3 });
    await Promise.all(Array.from({ length: 4 }, () => run(ensureMailbox(topology, actor))));
    const made = await consumers(topology);
    await run(ensureMailbox(topology, actor));
    assert.deepEqual(
      (await consumers(topology)).map(({ config, created }) => ({ config, created })),
      made.map(({ config, created }) => ({ config, created })),
    );
    assert.equal(made.length, 6);
    for (const { config } of made) {
      assert.equal(config.priority_policy, "prioritized");
      assert.equal(config.max_ack_pending, -1);
      assert.equal(config.max_deliver, -1);
      assert.equal(config.filter_subjects, undefined);
      assert.ok(config.max_waiting! > 512);
    }
    for (const shard of [0, 1]) {
      const { state } = await api.streamInfo(streamName(topology.layout, shard));
      assert.equal(state.consumer_count, 3);
    }
  });

  it("offers each message at the consumer of its partition only", async () => {
    const topology = await newTopology({ parts: 3 });
    await run(ensureMailbox(topology, actor));
    await run(ensureMailbox(topology, ActorName.make("order-1")));
    const { jetStream } = await run(Connection.Connection);
    const expected = [0, 0, 0];
    for (let i = 0; i < 12; i++) {
      const execution = ExecutionId.make(`order/${i}`);
      const address = executionAddress(topology.layout, tenant, execution);
      expected[Number(address.tail.split(".")[0])]!++;
      await jetStream.publish(subjectOf(address, "mail"));
      const other = executionAddress(topology.layout, tenant, ExecutionId.make(`order-1/${i}`));
      await jetStream.publish(subjectOf(other, "mail"));
    }
    assert.deepEqual((await consumers(topology)).map((info) => info.num_pending), expected);
  });

  for (
    const [field, change] of [
      ["max_ack_pending", { max_ack_pending: 1_000 }],
      ["max_deliver", { max_deliver: 3 }],
      ["ack_wait", { ack_wait: 1_000_000_000 }],
      ["filter_subject", { filter_subject: "" }],
      ["inactive_threshold", { inactive_threshold: 60_000_000_000 }],
      ["headers_only", { headers_only: true }],
    ] as const
  ) {
    it(`is refused for its ${field}, and not altered back`, async () => {
      const topology = await newTopology();
      await run(ensureMailbox(topology, actor));
      const stream = streamName(topology.layout, 0);
      const { name, config } = await consumer(topology, 0, 2);
      const changed = { ...config, ...change };
      await api.done(`CONSUMER.DURABLE.CREATE.${stream}.${name}`, {
        stream_name: stream,
        config: changed,
      });
      const found = (await consumer(topology, 0, 2)).config;
      const error = await run(Effect.flip(ensureMailbox(topology, actor)));
      assert.ok(error instanceof TopologyDrift, String(error));
      assert.equal(error.stream, `${stream} consumer ${name}`);
      assert.deepEqual(error.differences.map((difference) => difference.field), [field]);
      assert.deepEqual((await consumer(topology, 0, 2)).config, found);
    });
  }

  it("of a namespace whose streams are gone is refused in the server's words", async () => {
    const topology = await newTopology();
    await api.done(`STREAM.DELETE.${streamName(topology.layout, 0)}`);
    const error = await run(Effect.flip(ensureMailbox(topology, actor)));
    assert.ok(error instanceof ServerRefused, String(error));
    assert.match(error.message, /stream not found/);
  });

  it("attack 22: a stream takes more consumers than the server's default of 1,000", async () => {
    const { layout } = await newTopology();
    const stream = streamName(layout, 0);
    const names = Array.from({ length: 1_001 }, (_, i) => `c${i}`);
    await Promise.all(names.map((name) =>
      api.done(`CONSUMER.DURABLE.CREATE.${stream}.${name}`, {
        stream_name: stream,
        config: { durable_name: name, ack_policy: "explicit", mem_storage: true },
      })
    ));
    assert.equal((await api.streamInfo(stream)).state.consumer_count, 1_001);
  });
});

it("a mailbox of three replicas is made once by all who need it, and replicated", async () => {
  const cluster = await scratchCluster({ durability: "bounded" });
  const on = <A, E>(server: number, effect: Effect.Effect<A, E, Connection.Connection>) =>
    Effect.runPromise(
      Effect.scoped(Effect.provide(effect, Connection.layer({ servers: cluster.urls[server]! }))),
    );
  const topology = await on(0, ensure({ replicas: 3, parts: 2 }));
  await Promise.all([0, 1, 2].map((server) => on(server, ensureMailbox(topology, actor))));
  const { cluster: group } = await on(
    1,
    Effect.flatMap(
      Connection.Connection,
      ({ ask, manager }) =>
        ask("look", () => manager.consumers.info("KV_weir", mailboxConsumer(actor, 0))),
    ),
  );
  assert.equal(group?.replicas?.length, 2);
  await cluster.stop();
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
