/** What is asked of Effect's `RunnerStorage`, whoever implements it, by a runner on its own. */
import assert from "node:assert/strict";
import * as Runner from "effect/cluster/Runner";
import * as RunnerAddress from "effect/cluster/RunnerAddress";
import { RunnerStorage } from "effect/cluster/RunnerStorage";
import * as ShardId from "effect/cluster/ShardId";
import * as Effect from "effect/Effect";
import type * as Layer from "effect/Layer";
import { cases, type SuiteOptions } from "./suite.ts";

/** A runner by its host. */
export const runnerOf = (host: string): Runner.Runner =>
  Runner.make({ address: RunnerAddress.make(host, 1), groups: ["default"], weight: 1 });

/** Shards of the group `default`. */
export const shardsOf = (...ids: ReadonlyArray<number>): ReadonlyArray<ShardId.ShardId> =>
  ids.map((id) => ShardId.make("default", id));

export const runnerStorageSuite = (
  name: string,
  makeLayer: () => Layer.Layer<RunnerStorage, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases(name, makeLayer, options);

  const hosts = RunnerStorage.use((storage) =>
    Effect.map(
      storage.getRunners,
      (runners) => runners.map(([{ address }, healthy]) => `${address.host} ${healthy}`).sort(),
    )
  );

  test(
    "whoever registers is there, with what it said, until it leaves",
    Effect.gen(function* () {
      const storage = yield* RunnerStorage;
      assert.deepEqual(yield* hosts, []);
      const runner = Runner.make({
        address: RunnerAddress.make("käse.example", 34431),
        groups: ["default", "a.b"],
        weight: 3,
      });
      yield* storage.register(runner, true);
      const [found] = yield* storage.getRunners;
      assert.deepEqual(
        [found?.[0].address.port, found?.[0].groups, found?.[0].weight, found?.[1]],
        [34431, ["default", "a.b"], 3, true],
      );
      yield* storage.unregister(runner.address);
      assert.deepEqual(yield* hosts, []);
    }),
  );

  test(
    "a runner is as healthy as it was last found to be",
    Effect.gen(function* () {
      const storage = yield* RunnerStorage;
      const { address } = runnerOf("a");
      yield* storage.register(runnerOf("a"), true);
      yield* storage.setRunnerHealth(address, false);
      assert.deepEqual(yield* hosts, ["a false"]);
      yield* storage.setRunnerHealth(address, true);
      assert.deepEqual(yield* hosts, ["a true"]);
      yield* storage.setRunnerHealth(runnerOf("nobody").address, false);
      assert.deepEqual(yield* hosts, ["a true"]);
    }),
  );

  test(
    "a shard that is taken stays with its runner, however often it asks",
    Effect.gen(function* () {
      const storage = yield* RunnerStorage;
      const { address } = runnerOf("a");
      yield* storage.register(runnerOf("a"), true);
      assert.deepEqual(yield* storage.acquire(address, shardsOf(1, 2)), shardsOf(1, 2));
      assert.deepEqual(yield* storage.acquire(address, shardsOf(1, 2)), shardsOf(1, 2));
      assert.deepEqual(yield* storage.refresh(address, shardsOf(1, 2)), shardsOf(1, 2));
      assert.deepEqual(yield* storage.acquire(address, []), []);
      yield* storage.refresh(address, []);
      yield* storage.release(address, shardsOf(1)[0]!);
      yield* storage.releaseAll(address);
      assert.deepEqual(yield* storage.acquire(address, shardsOf(1, 2)), shardsOf(1, 2));
    }),
  );
};
