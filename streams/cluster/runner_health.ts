/**
 * Whether a runner is alive, by the session that it keeps in the log: who lets it lapse has lost his
 * shards as well. A runner is taken for alive when the log cannot be asked.
 */
import * as RunnerHealth from "effect/cluster/RunnerHealth";
import { RunnerStorage } from "effect/cluster/RunnerStorage";
import * as Effect from "effect/Effect";
import * as Equal from "effect/Equal";
import * as Layer from "effect/Layer";

export const layer: Layer.Layer<RunnerHealth.RunnerHealth, never, RunnerStorage> = Layer.effect(
  RunnerHealth.RunnerHealth,
  Effect.map(RunnerStorage, ({ getRunners }) =>
    RunnerHealth.RunnerHealth.of({
      isAlive: (address) =>
        getRunners.pipe(
          Effect.map((runners) =>
            runners.some(([runner]) => Equal.equals(runner.address, address))
          ),
          Effect.orElseSucceed(() => true),
        ),
    })),
);
