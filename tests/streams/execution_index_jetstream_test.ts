import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { headers } from "@nats-io/nats-core";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import { ExecutionId, Timestamp } from "../../schema/ids.ts";
import { Connection, layer as layerConnection } from "../../streams/connection.ts";
import * as ExecutionIndex from "../../streams/execution_index.ts";
import * as Leases from "../../streams/lease.ts";
import { Log } from "../../streams/log.ts";
import { objectHeader } from "../../streams/log/spill.ts";
import { layerJetStream, type LogOptions } from "../../streams/log_jetstream.ts";
import * as Sessions from "../../streams/session.ts";
import { executionAddress, subjectOf } from "../../streams/subjects.ts";
import {
  claim,
  eventually,
  idsOf,
  listAll,
  newTenant,
  projecting,
  release,
  run,
  send,
  type Services,
  start,
  startAll,
  write,
} from "../conformance/execution_index/matter.ts";
import { executionIndexSuite } from "../conformance/execution_index_suite.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

type AllServices = Services | Connection;

const layerOf = (server: ScratchServer, options: LogOptions) =>
  Layer.mergeAll(Leases.layer, ExecutionIndex.layerJetStream).pipe(
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(layerJetStream(options)),
    Layer.provideMerge(layerConnection({ servers: server.url })),
  );

describe("JetStream, 2 shards", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<Services, unknown>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    runtime = ManagedRuntime.make(layerOf(server, { shards: 2 }));
  });
  after(async () => {
    await runtime.dispose();
    await server.stop();
  });
  executionIndexSuite("JetStream, 2 shards", (effect) => runtime.runPromise(effect));
});

describe("the index on JetStream", () => {
  let server: ScratchServer;
  let runtime: ManagedRuntime.ManagedRuntime<AllServices, unknown>;
  let names = 0;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
  });
  after(async () => {
    await server.stop();
  });
  const index = () => `${namespace()}-list`;
  const namespace = () => `app${names}`;
  const test = (title: string, effect: () => Effect.Effect<unknown, unknown, AllServices>) =>
    it(title, async () => {
      names++;
      runtime = ManagedRuntime.make(layerOf(server, { namespace: namespace() }));
      await runtime.runPromise(Effect.asVoid(Effect.suspend(effect)));
      await runtime.dispose();
    });
  const stream = Effect.flatMap(
    Connection,
    ({ manager }) => Effect.promise(() => manager.streams.info(index(), { subjects_filter: ">" })),
  );
  const count = (tenant: ReturnType<typeof newTenant>) =>
    Effect.map(listAll({ tenant }), (all) => all.length);

  test("an index that is deleted, pages and position or as a whole, is built anew", () =>
    projecting(Effect.gen(function* () {
      const { manager } = yield* Connection;
      const tenant = newTenant();
      const subjects = yield* startAll(tenant, 300);
      yield* eventually(count(tenant), 300);
      yield* Effect.promise(() => manager.streams.purge(index()));
      yield* run(subjects[0]!);
      yield* eventually(count(tenant), 300);
      yield* Effect.promise(() => manager.streams.delete(index()));
      const isBack = Effect.promise(() =>
        manager.streams.info(index()).then(({ state }) => state.messages > 1, () => false)
      );
      yield* eventually(isBack, true);
      yield* eventually(count(tenant), 300);
      const completed = yield* listAll({ tenant, status: "completed" });
      assert.deepEqual(idsOf(completed), [subjects[0]!.execution]);
    })));

  test("an index with a page that cannot be read is built anew", () =>
    projecting(Effect.gen(function* () {
      const { jetStream } = yield* Connection;
      const tenant = newTenant();
      const [first] = yield* startAll(tenant, 20);
      yield* eventually(count(tenant), 20);
      const { state } = yield* stream;
      for (const subject of Object.keys(state.subjects ?? {})) {
        if (subject.endsWith(".progress")) continue;
        yield* Effect.promise(() => jetStream.publish(subject, "garbage"));
      }
      assert.equal((yield* Effect.flip(listAll({ tenant })))._tag, "CorruptRecord");
      yield* run(first!);
      yield* eventually(Effect.orElseSucceed(count(tenant), () => -1), 20);
    })));

  test("mail that has lost its payload costs nobody the list", () =>
    projecting(Effect.gen(function* () {
      const { layout } = yield* Log;
      const { nats } = yield* Connection;
      const tenant = newTenant();
      yield* startAll(tenant, 5);
      const nobody = executionAddress(layout, tenant, ExecutionId.make("order/nobody"));
      const fields = headers();
      fields.set(objectHeader, "nothing");
      yield* Effect.promise(() => {
        nats.publish(subjectOf(nobody, "mail"), "{}", { headers: fields });
        return nats.flush();
      });
      // It names no life, so that one is looked for.
      yield* send(nobody, { kind: "pause" });
      yield* startAll(tenant, 5);
      yield* eventually(count(tenant), 10);
    })));

  test("an attempt that failed with more than a message holds is delayed as others are", () =>
    projecting(Effect.gen(function* () {
      const tenant = newTenant();
      const subject = yield* start(tenant);
      const lease = yield* claim(subject);
      yield* write(subject, lease, {
        kind: "attemptFailed",
        failure: { name: "Broken", message: "x".repeat(150_000) },
        retryAt: Timestamp.make(1),
      });
      yield* release(lease);
      const shown = Effect.map(listAll({ tenant }), (all) => all.map(({ status }) => status));
      yield* eventually(shown, ["delayed"]);
    })));

  test("an index of a log that is no more is built anew, and lists nothing until then", () =>
    Effect.gen(function* () {
      const { manager } = yield* Connection;
      const tenant = newTenant();
      yield* projecting(Effect.andThen(startAll(tenant, 5), eventually(count(tenant), 5)));
      yield* Effect.promise(() => manager.streams.delete(`KV_${namespace()}`));
      const again = ManagedRuntime.make(layerOf(server, { namespace: namespace() }));
      yield* Effect.promise(() =>
        again.runPromise(Effect.gen(function* () {
          assert.equal(yield* count(tenant), 0);
          yield* projecting(Effect.andThen(start(tenant), eventually(count(tenant), 1)));
        }))
      );
      yield* Effect.promise(() => again.dispose());
    }));

  test("what is forgotten leaves nothing in the stream", () =>
    projecting(Effect.gen(function* () {
      const executions = yield* ExecutionIndex.ExecutionIndex;
      const tenant = newTenant();
      const subjects = yield* startAll(tenant, 400, { tags: { team: "a", region: "b" } });
      yield* eventually(count(tenant), 400);
      yield* Effect.forEach(subjects, ({ address, life }) => executions.forget(address, life), {
        concurrency: 16,
      });
      const left = Effect.map(stream, ({ state }) => Object.keys(state.subjects ?? {}));
      yield* eventually(left, [`${index()}.page.progress`]);
    })));

  test("of several projectors one works, and another goes on when it has ended", () =>
    Effect.gen(function* () {
      const { project } = yield* ExecutionIndex.ExecutionIndex;
      const tenant = newTenant();
      const first = yield* Effect.forkChild(project);
      yield* startAll(tenant, 3);
      yield* eventually(count(tenant), 3);
      const others = ManagedRuntime.make(layerOf(server, { namespace: namespace() }));
      yield* Effect.promise(() =>
        others.runPromise(Effect.gen(function* () {
          const other = yield* Effect.forkChild((yield* ExecutionIndex.ExecutionIndex).project);
          yield* startAll(tenant, 3);
          yield* eventually(count(tenant), 6);
          yield* Fiber.interrupt(first);
          yield* startAll(tenant, 3);
          yield* eventually(count(tenant), 9, "30 seconds");
          yield* Fiber.interrupt(other);
        }))
      );
      yield* Effect.promise(() => others.dispose());
    }));

  test("a server that is killed and restarted loses no execution from the index", () =>
    projecting(Effect.gen(function* () {
      const tenant = newTenant();
      yield* startAll(tenant, 10);
      yield* eventually(count(tenant), 10);
      yield* Effect.promise(() => server.kill());
      yield* Effect.promise(() => server.restart());
      yield* startAll(tenant, 10);
      yield* eventually(count(tenant), 20, "30 seconds");
    })));

  test("a stream of the index's name that would lose pages is refused", () =>
    Effect.gen(function* () {
      const { manager } = yield* Connection;
      yield* Effect.promise(() =>
        manager.streams.add({ name: "other-list", subjects: ["other-list.>"], max_msgs: 5 })
      );
      const other = ManagedRuntime.make(layerOf(server, { namespace: "other" }));
      yield* Effect.promise(() =>
        assert.rejects(other.runPromise(ExecutionIndex.ExecutionIndex), { _tag: "TopologyDrift" })
      );
      yield* Effect.promise(() => other.dispose());
    }));
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
