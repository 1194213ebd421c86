/** Signals that say what lies in the mailbox before them, and what their owner reads then. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions, layer as layerExecutions } from "../../../actors/executions.ts";
import { layer, layerMemory } from "../../../actors/layer.ts";
import { ActorName, Namespace, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { leftovers, type ScratchServer, scratchServer } from "../../fixtures/server.ts";

const acme = Tenant.make("acme");
const collector = ActorName.make("collector");

/** Waits for so many signals, and gives what they said. */
const actors: ReadonlyArray<ActorCode> = [{
  name: collector,
  run: (weir, count) =>
    Effect.forEach(
      Array.from({ length: count as number }, (_, i) => `wait-${i}`),
      (name) => Effect.map(weir.wait("go", { name }), (signal) => signal?.payload ?? null),
    ),
}];

/** A worker that counts its looks into mailboxes. */
const startWorker = Effect.gen(function* () {
  const log = yield* Log;
  let looks = 0;
  const counting: Log["Service"] = {
    ...log,
    readThrough: (filter, options) => {
      if (filter.subject.includes(".mail.")) looks++;
      return log.readThrough(filter, options);
    },
  };
  yield* Effect.provideService(
    makeWorker({ actors, identity: WorkerInstanceId.make("w1") }),
    Log,
    counting,
  );
  return () => looks;
});

/** Another process that sends: what it appends waits until it is let go. */
const startSlowClient = Effect.gen(function* () {
  const log = yield* Log;
  const [asked, letGo] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()];
  let appends = 0;
  const slow: Log["Service"] = {
    ...log,
    append: (to, message) => {
      appends++;
      return Deferred.succeed(asked, undefined).pipe(
        Effect.andThen(Deferred.await(letGo)),
        Effect.andThen(log.append(to, message)),
      );
    },
  };
  const context = yield* Layer.build(
    Layer.fresh(layerExecutions).pipe(Layer.provide(Layer.succeed(Log, slow))),
  );
  return { executions: Context.get(context, Executions), asked, letGo, appends: () => appends };
});

type Services = Layer.Success<ReturnType<typeof layerMemory>>;

const tests = <E>(services: () => Layer.Layer<Services, E>) => {
  const test = (name: string, body: Effect.Effect<void, unknown, Services | Scope.Scope>) =>
    it(name, () => Effect.runPromise(Effect.provide(Effect.scoped(body), services())));

  test(
    "one by one they are taken as they are offered, and nothing is read",
    Effect.gen(function* () {
      const looks = yield* startWorker;
      const executions = yield* Executions;
      const run = yield* executions.start(collector, acme, 3);
      for (const payload of ["a", "b", "c"]) {
        const { effect } = yield* executions.signal(run, "go", payload);
        yield* effect;
      }
      assert.deepEqual(yield* executions.result(run), ["a", "b", "c"]);
      assert.equal(looks(), 0);
    }),
  );

  test(
    "one that another has overtaken is sent again, and its owner reads what lies between",
    Effect.gen(function* () {
      const looks = yield* startWorker;
      const executions = yield* Executions;
      const slow = yield* startSlowClient;
      const run = yield* executions.start(collector, acme, 3);
      const late = yield* Effect.forkChild(slow.executions.signal(run, "go", "late"));
      yield* Deferred.await(slow.asked);
      yield* (yield* executions.signal(run, "go", "a")).effect;
      yield* Deferred.succeed(slow.letGo, undefined);
      yield* (yield* Fiber.join(late)).effect;
      assert.equal(slow.appends(), 2);
      assert.equal(looks(), 1);
      yield* executions.signal(run, "go", "b");
      assert.deepEqual(yield* executions.result(run), ["a", "late", "b"]);
    }),
  );

  test(
    "of many at once none is lost, and none is there twice",
    Effect.gen(function* () {
      yield* startWorker;
      const executions = yield* Executions;
      const log = yield* Log;
      const count = 50;
      const run = yield* executions.start(collector, acme, count);
      const sent = Array.from({ length: count }, (_, i) => i);
      yield* Effect.forEach(sent, (i) => executions.signal(run, "go", i), {
        concurrency: "unbounded",
      });
      const result = (yield* executions.result(run)) as ReadonlyArray<number>;
      assert.deepEqual([...result].sort((a, b) => a - b), sent);
      const filter = { shard: 0, subject: `${log.layout.namespace}.mail.>` };
      const mail = yield* Stream.runCollect(log.read(filter));
      assert.equal(mail.length, count + 1);
    }),
  );
};

describe("signals behind each other, in memory", () => tests(layerMemory));

describe("signals behind each other, on JetStream", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());
  let count = 0;
  tests(() => layer({ servers: server.url, namespace: Namespace.make(`behind_${++count}`) }));

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
