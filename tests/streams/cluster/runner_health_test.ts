import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PersistenceError } from "effect/cluster/ClusterError";
import { Runner } from "effect/cluster/Runner";
import { make as makeAddress } from "effect/cluster/RunnerAddress";
import { RunnerHealth } from "effect/cluster/RunnerHealth";
import { RunnerStorage } from "effect/cluster/RunnerStorage";
import * as ShardingConfig from "effect/cluster/ShardingConfig";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../../schema/ids.ts";
import * as Health from "../../../streams/cluster/runner_health.ts";
import * as Storage from "../../../streams/cluster/storage.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const here = makeAddress("here", 1);
const runner = new Runner({ address: here, groups: ["default"], weight: 1 });

const storage = Storage.layer().pipe(
  Layer.provide(ShardingConfig.layer({ shardLockExpiration: "10 seconds" })),
  Layer.provide(ServerClock.layer),
  Layer.provide(
    layerMemory({ layout: { namespace: Namespace.make("memory"), shards: 1, parts: 1 } }),
  ),
);

const unanswered = Layer.mock(RunnerStorage)({
  getRunners: Effect.fail(new PersistenceError({ cause: "no answer" })),
});

describe("the health of a runner", () => {
  it("is that of its session: it is alive until it leaves, or does not renew it", () =>
    new VirtualClock(Date.now()).run(
      Effect.gen(function* () {
        const { isAlive } = yield* RunnerHealth;
        const { register, refresh, setRunnerHealth } = yield* RunnerStorage;
        assert.equal(yield* isAlive(here), false);
        yield* register(runner, true);
        assert.equal(yield* isAlive(here), true);
        assert.equal(yield* isAlive(makeAddress("here", 2)), false);
        yield* setRunnerHealth(here, false);
        assert.equal(yield* isAlive(here), true);
        yield* Effect.sleep("6 seconds");
        yield* refresh(here, []);
        yield* Effect.sleep("6 seconds");
        assert.equal(yield* isAlive(here), true);
        yield* Effect.sleep("12 seconds");
        assert.equal(yield* isAlive(here), false);
      }).pipe(Effect.provide(Health.layer.pipe(Layer.provideMerge(storage))), Effect.orDie),
    ));

  it("is not doubted when the log cannot be asked", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const { isAlive } = yield* RunnerHealth;
        assert.equal(yield* isAlive(here), true);
      }).pipe(Effect.provide(Health.layer.pipe(Layer.provide(unanswered)))),
    ));
});
