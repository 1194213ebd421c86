/** What a worker counts tells what has happened to it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Scope from "effect/Scope";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import * as Leases from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import * as Sessions from "../../../streams/session.ts";
import { executionAddress, executionFilter } from "../../../streams/subjects.ts";
import { MortalProcess } from "../../../testing/process.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const adds = ActorName.make("adds");
const waits = ActorName.make("waits");
const fails = ActorName.make("fails");

const actors: ReadonlyArray<ActorCode> = [
  { name: adds, run: (weir) => weir.run("add", () => Effect.succeed(1)) },
  {
    name: waits,
    run: (weir) =>
      weir.run("one", () => Effect.succeed(1)).pipe(
        Effect.andThen(weir.run("two", () => Effect.succeed(2))),
        Effect.andThen(weir.wait("go")),
      ),
  },
  { name: fails, run: () => Effect.fail(new Error("no")), retry: { attempts: 3, delay: 10 } },
];

const ofProcess = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

type Shared = Layer.Success<ReturnType<typeof layerMemory>>;

/** The metrics of one process. */
class Dashboard {
  readonly registry = new Map();

  count(id: string, attributes: Readonly<Record<string, string>> = {}): number {
    const context = Context.make(Metric.MetricRegistry, this.registry);
    return Metric.snapshotUnsafe(context)
      .filter((metric) =>
        metric.id === id &&
        Object.entries(attributes).every(([name, value]) => metric.attributes?.[name] === value)
      )
      .reduce((sum, { state }) => sum + ("count" in state ? Number(state.count) : 0), 0);
  }
}

const begin = (name: string) =>
  Effect.gen(function* () {
    const process = new MortalProcess(yield* Effect.context<Shared>());
    const dashboard = new Dashboard();
    const scope = Scope.makeUnsafe();
    yield* makeWorker({ actors, identity: WorkerInstanceId.make(name) }).pipe(
      Effect.provide(Layer.fresh(ofProcess)),
      Effect.provideContext(process.services),
      Effect.provideService(Metric.MetricRegistry, dashboard.registry),
      Scope.provide(scope),
      Effect.forkDetach,
    );
    return { process, dashboard };
  });

const played = <E>(play: Effect.Effect<void, E, Shared>) =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(
    Effect.scoped(Effect.provide(play, layerMemory())),
  );

describe("a worker's metrics", () => {
  it("tell what became of executions and attempts", () =>
    played(Effect.gen(function* () {
      const executions = yield* Executions;
      const { dashboard } = yield* begin("w1");
      yield* executions.result(yield* executions.start(adds, acme, 1, { unserved: true }));
      yield* Effect.flip(executions.result(yield* executions.start(fails, acme, 1)));
      // The end is known a moment before its worker is done with it.
      yield* Effect.sleep("1 second");
      const told = (actor: string, result: string) =>
        dashboard.count("weir_attempts", { actor, result });
      assert.deepEqual([told("adds", "success"), told("fails", "failure")], [1, 3]);
      assert.equal(
        dashboard.count("weir_executions_ended", { actor: "adds", outcome: "success" }),
        1,
      );
      assert.equal(
        dashboard.count("weir_executions_ended", { actor: "fails", outcome: "failure" }),
        1,
      );
      assert.equal(dashboard.count("weir_start_lag_seconds"), 2);
      assert.equal(dashboard.count("weir_attempt_seconds"), 4);
      assert.equal(dashboard.count("weir_recovery_seconds"), 0);
    })));

  it("tell that another has died, and what it took to go on", () =>
    played(Effect.gen(function* () {
      const executions = yield* Executions;
      const first = yield* begin("w1");
      const run = yield* executions.start(waits, acme, 1, { unserved: true });
      yield* Effect.sleep("1 second");
      first.process.kill();
      const { dashboard } = yield* begin("w2");
      yield* executions.signal(run, "go", 7);
      assert.deepEqual(yield* executions.result(run), { payload: 7 });
      assert.equal(dashboard.count("weir_lease_records", { kind: "reclaimed" }), 1);
      assert.equal(dashboard.count("weir_recovery_seconds"), 1);
      assert.ok(dashboard.count("weir_recovered_records") >= 2);
      assert.ok(dashboard.count("weir_hand_overs", { verdict: "absent" }) > 0);
      assert.equal(first.dashboard.count("weir_attempts", { result: "success" }), 0);
    })));

  it("tell that an execution was suspended, and that a hole in its journal keeps it down", () =>
    played(Effect.gen(function* () {
      const executions = yield* Executions;
      const log = yield* Log;
      const { dashboard } = yield* begin("w1");
      const run = yield* executions.start(waits, acme, 1, { unserved: true });
      yield* Effect.sleep("10 seconds");
      assert.equal(dashboard.count("weir_attempts", { result: "suspended" }), 1);
      const address = executionAddress(log.layout, acme, run.execution);
      const [, one] = yield* log.readThrough(executionFilter(address, "log"), { through: 0 });
      yield* log.remove(one!.shard, one!.sequence);
      yield* executions.signal(run, "go", 7);
      yield* Effect.sleep("10 seconds");
      assert.ok(dashboard.count("weir_take_ups_failed", { error: "CorruptRecord" }) > 1);
      assert.equal(dashboard.count("weir_executions_ended"), 0);
    })));
});
