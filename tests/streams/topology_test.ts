import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import { InvalidInput, ServerRefused, TopologyDrift } from "../../schema/errors.ts";
import { Namespace } from "../../schema/ids.ts";
import * as Connection from "../../streams/connection.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { layerJetStream } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import {
  executionAddress,
  shardRoot,
  streamName,
  streamSubjects,
  subjectOf,
} from "../../streams/subjects.ts";
import { ensure, type NamespaceOptions } from "../../streams/topology.ts";
import { body, tenant, uniqueExecution, uniqueWorker } from "../conformance/subject_matter.ts";
import { jetStreamApi } from "../fixtures/jetstream_api.ts";
import {
  leftovers,
  type ScratchCluster,
  scratchCluster,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

let server: ScratchServer;
let runtime: ManagedRuntime.ManagedRuntime<Connection.Connection, unknown>;
let api: ReturnType<typeof jetStreamApi>;
let namespaces = 0;
const newNamespace = (): Namespace => Namespace.make(`n${++namespaces}`);

const run = <A, E>(effect: Effect.Effect<A, E, Connection.Connection>) =>
  runtime.runPromise(effect);

/** Ensures from a process of its own, as far as the server can tell. */
const ensureElsewhere = (options: NamespaceOptions) =>
  Effect.runPromiseExit(
    Effect.scoped(Effect.provide(ensure(options), Connection.layer({ servers: server.url }))),
  );

/** What must not change when a namespace is refused. */
const snapshot = async (stream: string) => {
  const { config, created, state } = await api.streamInfo(stream);
  return { config, created, state };
};

/** The drift that ensuring reports, having altered nothing. */
const drift = async (stream: string, options: NamespaceOptions): Promise<TopologyDrift> => {
  const found = await snapshot(stream);
  const error = await run(Effect.flip(ensure(options)));
  assert.ok(error instanceof TopologyDrift, String(error));
  assert.equal(error.stream, stream);
  assert.deepEqual(await snapshot(stream), found);
  for (const { field, actual, expected } of error.differences) {
    assert.ok(error.message.includes(`${field} is ${actual}, expected ${expected}`), error.message);
  }
  assert.match(error.message, /Connect with the stored settings, use another namespace, or edit/);
  return error;
};

describe("topology", () => {
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(Connection.layer({ servers: server.url }));
    api = jetStreamApi((await run(Connection.Connection)).nats);
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });

  describe("a namespace", () => {
    it("is created once and found ever after", async () => {
      const namespace = newNamespace();
      const options = { namespace, shards: 2, parts: 3 };
      const created = await run(ensure(options));
      const found = await Promise.all(
        [0, 1].map((shard) => snapshot(streamName(created.layout, shard))),
      );
      assert.deepEqual(created.layout, options);
      assert.deepEqual(await run(ensure(options)), created);
      const later = await Promise.all(
        [0, 1].map((shard) => snapshot(streamName(created.layout, shard))),
      );
      assert.deepEqual(later, found);
    });

    it("is the same for all who create it at the same time", async () => {
      const options = {
        namespace: newNamespace(),
        shards: 3,
        parts: 2,
        longestLease: "5 seconds",
      } as const;
      const topologies = (await Promise.all(
        Array.from({ length: 8 }, () => ensureElsewhere(options)),
      )).map((exit) => Exit.isSuccess(exit) ? exit.value : assert.fail(String(exit.cause)));
      for (const topology of topologies) assert.deepEqual(topology, topologies[0]);
    });

    it("has one layout, whoever of several processes with different settings was first", async () => {
      const namespace = newNamespace();
      const wishes = [{}, { shards: 2, parts: 8 }, { shards: 3, parts: 8 }];
      const exits = await Promise.all(
        [...wishes, ...wishes, ...wishes].map((wish) => ensureElsewhere({ namespace, ...wish })),
      );
      const stored = await run(ensure({ namespace }));
      exits.forEach((exit, i) => {
        if (Exit.isSuccess(exit)) return assert.deepEqual(exit.value, stored);
        const error = Option.getOrThrow(Exit.findErrorOption(exit));
        assert.ok(error instanceof TopologyDrift, String(error));
        assert.ok(i % 3 !== 0, `nothing was asked for, and refused: ${error.message}`);
      });
      const roots = [0, 1, 2].map((shard) => shardRoot(stored.layout, shard));
      const streams = await Promise.all(roots.map((root) => api.streamNames(`${root}.>`)));
      assert.equal(streams.flat().length, stored.layout.shards);
    });

    it("gives the stored settings to whoever asks for none", async () => {
      const namespace = newNamespace();
      const created = await run(
        ensure({ namespace, shards: 3, parts: 8, longestLease: "30 seconds" }),
      );
      assert.deepEqual(await run(ensure({ namespace })), created);
      assert.equal(created.longestLeaseMs, 30_000);
    });

    it("refuses whoever asks for other settings, by name", async () => {
      const namespace = newNamespace();
      await run(ensure({ namespace, shards: 2 }));
      const wishes: ReadonlyArray<[NamespaceOptions, ReadonlyArray<ReadonlyArray<string>>]> = [
        [{ shards: 1 }, [["weir.shards", "1", "2"]]],
        [{ shards: 3 }, [["weir.shards", "3", "2"]]],
        [{ parts: 5 }, [["weir.parts", "5", "4"]]],
        [{ replicas: 3 }, [["num_replicas", "3", "1"]]],
        [{ longestLease: "2 minutes" }, [
          ["weir.longestLeaseMs", "120000", "60000"],
          ["duplicate_window", "130000000000", "70000000000"],
        ]],
      ];
      for (const [wish, expected] of wishes) {
        const { differences } = await drift(`KV_${namespace}`, { namespace, ...wish });
        assert.deepEqual(
          differences.map(({ field, expected, actual }) => [field, expected, actual]),
          expected,
        );
      }
      assert.deepEqual(await api.streamNames(`${namespace}-2.>`), []);
    });

    it("of which a process created only the first stream is completed by the next", async () => {
      const options = { namespace: newNamespace(), shards: 3 };
      await run(ensure(options));
      await api.done(`STREAM.DELETE.KV_${options.namespace}-2`);
      assert.equal((await run(ensure({ namespace: options.namespace }))).layout.shards, 3);
      await api.streamInfo(`KV_${options.namespace}-2`);
    });

    it("has another incarnation once any of its streams is created anew", async () => {
      const options = { namespace: newNamespace(), shards: 2 };
      const incarnations = [(await run(ensure(options))).incarnation];
      for (const stream of [`KV_${options.namespace}-1`, `KV_${options.namespace}`]) {
        await api.done(`STREAM.DELETE.${stream}`);
        incarnations.push((await run(ensure(options))).incarnation);
      }
      assert.equal(new Set(incarnations).size, 3);
      for (const each of incarnations) assert.match(each, /^[0-9a-f]{16}$/);
    });

    it("is refused with settings out of bounds before anything is created", async () => {
      const namespace = newNamespace();
      const wishes: ReadonlyArray<[string, NamespaceOptions]> = [
        ["shards", { shards: 0 }],
        ["shards", { shards: 65 }],
        ["shards", { shards: 1.5 }],
        ["shards", { shards: NaN }],
        ["parts", { parts: 0 }],
        ["parts", { parts: 257 }],
        ["replicas", { replicas: 6 }],
        ["longest lease", { longestLease: 0 }],
        ["longest lease", { longestLease: "999 millis" }],
        ["longest lease", { longestLease: "61 minutes" }],
        ["longest lease", { longestLease: Infinity }],
        ["namespace", { namespace: "" }],
        ["namespace", { namespace: `${namespace}-1` }],
        ["namespace", { namespace: `${namespace}.x` }],
        ["namespace", { namespace: "$KV" }],
        ["namespace", { namespace: "*" }],
        ["namespace", { namespace: "n".repeat(33) }],
      ];
      for (const [what, wish] of wishes) {
        const error = await run(Effect.flip(ensure({ namespace, ...wish })));
        assert.ok(error instanceof InvalidInput, `${JSON.stringify(wish)}: ${error}`);
        assert.ok(error.what.startsWith(what), error.message);
      }
      assert.deepEqual(await api.streamNames(`${namespace}.>`), []);
    });

    it("with more replicas than there are servers is refused in the server's words", async () => {
      const error = await run(Effect.flip(ensure({ namespace: newNamespace(), replicas: 3 })));
      assert.ok(error instanceof ServerRefused, String(error));
      assert.match(error.message, /replicas > 1 not supported in non-clustered mode/);
    });
  });

  describe("a stream that was altered", () => {
    const hours = 3_600_000_000_000;
    const changes: ReadonlyArray<
      [string, (config: StreamConfig, root: string) => object, string?]
    > = [
      ["max_msgs_per_subject", () => ({ max_msgs_per_subject: 1 }), "attack 22: "],
      ["subjects", (_, root) => ({ subjects: [`${root}.>`] })],
      ["allow_atomic", () => ({ allow_atomic: false })],
      ["allow_direct", () => ({ allow_direct: false })],
      ["duplicate_window", () => ({ duplicate_window: hours })],
      ["max_age", () => ({ max_age: 24 * hours })],
      ["max_msgs", () => ({ max_msgs: 1_000_000 })],
      ["max_bytes", () => ({ max_bytes: 1_000_000_000 })],
      ["max_msg_size", () => ({ max_msg_size: 1_000 })],
      ["max_consumers", () => ({ max_consumers: 1_000 })],
      ["no_ack", () => ({ no_ack: true })],
      ["deny_delete", () => ({ deny_delete: true })],
      ["subject_delete_marker_ttl", () => ({ subject_delete_marker_ttl: 2_000_000_000 })],
      ["consumer_limits", () => ({ consumer_limits: { max_ack_pending: 5 } })],
      ["subject_transform", (_, root) => ({
        subject_transform: { src: `${root}.log.>`, dest: `${root}.x.>` },
      })],
      ["weir.layout", ({ metadata }) => ({ metadata: { ...metadata, "weir.layout": "2" } })],
      ["weir.shards", ({ metadata }) => ({ metadata: { ...metadata, "weir.shards": "many" } })],
      ["weir.shards", ({ metadata }) => ({ metadata: { ...metadata, "weir.shards": "1000000" } })],
      ["weir.parts", ({ metadata }) => ({ metadata: { ...metadata, "weir.parts": "" } })],
      ["weir.longestLeaseMs", ({ metadata }) => ({
        metadata: { ...metadata, "weir.longestLeaseMs": "0" },
      })],
      ["weir.incarnation", ({ metadata }) => ({
        metadata: Object.fromEntries(
          Object.entries(metadata ?? {}).filter(([label]) => label !== "weir.incarnation"),
        ),
      })],
    ];
    for (const [field, change, attack = ""] of changes) {
      it(`${attack}is refused for its ${field}, and not altered back`, async () => {
        const namespace = newNamespace();
        const { layout } = await run(ensure({ namespace }));
        const stream = streamName(layout, 0);
        const { config } = await api.streamInfo(stream);
        await api.done(`STREAM.UPDATE.${stream}`, {
          ...config,
          ...change(config, shardRoot(layout, 0)),
        });
        const { differences } = await drift(stream, { namespace });
        assert.deepEqual(differences.map((difference) => difference.field), [field]);
      });
    }

    it("is refused also if it is not the first", async () => {
      const namespace = newNamespace();
      await run(ensure({ namespace, shards: 2 }));
      const { config } = await api.streamInfo(`KV_${namespace}-1`);
      await api.done(`STREAM.UPDATE.${config.name}`, { ...config, max_msgs_per_subject: 1 });
      await drift(config.name, { namespace });
    });

    it("is accepted where nothing that we rely on was touched", async () => {
      const namespace = newNamespace();
      const topology = await run(ensure({ namespace }));
      const { config } = await api.streamInfo(`KV_${namespace}`);
      await api.done(`STREAM.UPDATE.KV_${namespace}`, {
        ...config,
        description: "ours",
        compression: "s2",
        subjects: [...config.subjects].reverse(),
        metadata: { ...config.metadata, team: "checkout" },
      });
      assert.deepEqual(await run(ensure({ namespace })), topology);
    });
  });

  describe("a foreign stream", () => {
    /** A stream that somebody made like ours, but for some fields. */
    const imitation = async (change: object): Promise<Namespace> => {
      const model = newNamespace();
      await run(ensure({ namespace: model }));
      const { config } = await api.streamInfo(`KV_${model}`);
      const namespace = newNamespace();
      const name = `KV_${namespace}`;
      const subjects = [`$KV.${namespace}.>`, `${namespace}.>`];
      await api.done(`STREAM.CREATE.${name}`, { ...config, name, subjects, ...change });
      return namespace;
    };
    const withoutSchedules = {
      allow_msg_schedules: false,
      allow_msg_ttl: false,
      subject_delete_marker_ttl: 0,
    };
    const cases: ReadonlyArray<[string, object]> = [
      ["discard", { ...withoutSchedules, discard: "new" }],
      ["persist_mode", { ...withoutSchedules, allow_atomic: false, persist_mode: "async" }],
      ["sources", { ...withoutSchedules, sources: [{ name: "elsewhere" }] }],
      ["mirror", {
        ...withoutSchedules,
        subjects: undefined,
        allow_atomic: false,
        mirror: { name: "elsewhere" },
      }],
      ["storage", { storage: "memory" }],
      ["retention", { retention: "interest" }],
      ["deny_purge", { allow_rollup_hdrs: false, ...withoutSchedules, deny_purge: true }],
    ];
    for (const [field, change] of cases) {
      it(`of our name is refused for its ${field}`, async () => {
        const namespace = await imitation(change);
        const { differences } = await drift(`KV_${namespace}`, { namespace });
        assert.ok(differences.some((difference) => difference.field === field));
      });
    }

    it("that is a plain KV bucket of our name is refused, and keeps working", async () => {
      const namespace = newNamespace();
      const { jetStream } = await run(Connection.Connection);
      const bucket = await new Kvm(jetStream).create(namespace, { history: 5 });
      await bucket.put("theirs", "value");
      const { differences } = await drift(`KV_${namespace}`, { namespace });
      const fields = differences.map((difference) => difference.field);
      for (const field of ["weir.layout", "subjects", "max_msgs_per_subject", "allow_atomic"]) {
        assert.ok(fields.includes(field), field);
      }
      assert.equal((await bucket.get("theirs"))?.string(), "value");
    });

    it("that has subjects of ours is named", async () => {
      const namespace = newNamespace();
      const theirs = `THEIRS_${namespace}`;
      await api.done(`STREAM.CREATE.${theirs}`, { name: theirs, subjects: [`${namespace}.log.>`] });
      const found = await snapshot(theirs);
      const error = await run(Effect.flip(ensure({ namespace })));
      assert.ok(error instanceof TopologyDrift, String(error));
      assert.deepEqual(error.differences, [{
        field: "subjects",
        expected: JSON.stringify([`$KV.${namespace}.>`, `${namespace}.>`]),
        actual: `taken by stream ${theirs}`,
      }]);
      assert.deepEqual(await snapshot(theirs), found);
      assert.deepEqual(await api.streamNames(`${namespace}.>`), [theirs]);
    });
  });

  describe("attack 22: shards", () => {
    it("have roots of their own, which the server lets nobody share", async () => {
      const namespace = newNamespace();
      const { layout } = await run(ensure({ namespace, shards: 3 }));
      const subjects = [0, 1, 2].flatMap((shard) => streamSubjects(layout, shard));
      assert.equal(new Set(subjects).size, 6);
      for (const subject of subjects) {
        const name = "SHARED";
        const answer = await api.ask("STREAM.CREATE.SHARED", { name, subjects: [subject] });
        assert.equal(answer.error?.err_code, 10065);
      }
      const error = await run(Effect.flip(ensure({ namespace: `${namespace}-1` })));
      assert.ok(error instanceof InvalidInput);
    });

    it("share the executions among them, each kept in its own stream", async () => {
      const options = { namespace: newNamespace(), shards: 3 };
      const executions = Array.from({ length: 60 }, uniqueExecution);
      const addresses = await run(
        Effect.gen(function* () {
          const log = yield* Log;
          return yield* Effect.forEach(executions, (execution) => {
            const address = executionAddress(log.layout, tenant, execution);
            return Effect.as(log.append(address, { kind: "log", body: body(execution) }), address);
          }, { concurrency: "unbounded" });
        }).pipe(Effect.provide(layerJetStream(options)), Effect.scoped),
      );
      const counts = [0, 0, 0];
      for (const [i, address] of addresses.entries()) {
        counts[address.shard]!++;
        const stream = ["", "-1", "-2"].map((suffix) =>
          `KV_${options.namespace}${suffix}`
        )[address.shard]!;
        const query = { last_by_subj: subjectOf(address, "log") };
        const { message } = await api.done<{ message: { data: string } }>(
          `STREAM.MSG.GET.${stream}`,
          query,
        );
        assert.equal(atob(message.data), executions[i]);
      }
      assert.ok(Math.min(...counts) > 5, `the shards have ${counts}`);
    });
  });

  describe("the longest lease", () => {
    it("fixes how long message ids are known, and bounds every lease", async () => {
      const options = { namespace: newNamespace(), longestLease: "5 seconds" } as const;
      const services = Leases.layer.pipe(
        Layer.provideMerge(Sessions.layer),
        Layer.provideMerge(layerJetStream(options)),
      );
      await run(
        Effect.gen(function* () {
          const leases = yield* Leases.Leases;
          const log = yield* Log;
          const address = executionAddress(log.layout, tenant, uniqueExecution());
          const worker = uniqueWorker();
          const error = yield* Effect.flip(leases.acquire(address, { worker, ttl: 5_001 }));
          assert.ok(error instanceof InvalidInput, String(error));
          assert.match(error.message, /longest lease, 5000 ms/);
          yield* leases.acquire(address, { worker, ttl: 5_000 });
        }).pipe(Effect.provide(services), Effect.scoped),
      );
      const { config } = await api.streamInfo(`KV_${options.namespace}`);
      assert.equal(config.duplicate_window, 15_000_000_000);
    });
  });
});

it("an account of too few consumers is told how many there must be", async () => {
  const users = [{ user: "few", password: "few" }];
  const limited = await scratchServer({
    settings: {
      accounts: { FEW: { jetstream: { max_consumers: 9_999 }, users } },
      no_auth_user: "few",
    },
  });
  try {
    const error = await Effect.runPromise(
      Effect.flip(ensure()).pipe(
        Effect.provide(Connection.layer({ servers: limited.url })),
        Effect.scoped,
      ),
    );
    assert.ok(error instanceof ServerRefused, String(error));
    assert.equal(error.errorCode, 10026);
    assert.match(error.message, /create KV_weir .* max_consumers of 10000 or more/);
  } finally {
    await limited.stop();
  }
});

describe("three replicas", () => {
  let cluster: ScratchCluster;
  before(async () => {
    cluster = await scratchCluster({ durability: "bounded" });
  });
  after(() => cluster.stop());
  const on = <A, E>(server: number, effect: Effect.Effect<A, E, Connection.Connection>) =>
    Effect.runPromise(
      Effect.scoped(Effect.provide(effect, Connection.layer({ servers: cluster.urls[server]! }))),
    );

  it("are had by every stream, and adopted by whoever asks for none", async () => {
    const options = { replicas: 3, shards: 2, parts: 1 };
    const topologies = await Promise.all([0, 1, 2].map((server) => on(server, ensure(options))));
    for (const topology of topologies) assert.deepEqual(topology, topologies[0]);
    assert.deepEqual(await on(1, ensure()), topologies[0]);
    const infos = await on(
      2,
      Effect.flatMap(
        Connection.Connection,
        ({ ask, manager }) =>
          Effect.forEach(
            ["KV_weir", "KV_weir-1"],
            (stream) => ask("look", () => manager.streams.info(stream)),
          ),
      ),
    );
    for (const info of infos) {
      assert.equal(info.config.num_replicas, 3);
      assert.equal(info.cluster?.replicas?.length, 2);
    }
  });

  it("and another number asked for is refused", async () => {
    const error = await on(0, Effect.flip(ensure({ replicas: 1 })));
    assert.ok(error instanceof TopologyDrift, String(error));
    assert.deepEqual(error.differences, [{ field: "num_replicas", expected: "1", actual: "3" }]);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
