import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, ExecutionId, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");
const restless = ActorName.make("restless");
const execution = ExecutionId.make("child/c-1");
const options = {
  actor: child,
  tenant: acme,
  input: undefined,
  execution,
  onParentEnd: "abandon",
} as const;

const actors: ReadonlyArray<ActorCode> = [
  { name: child, run: () => Effect.succeed("grown") },
  {
    name: parent,
    run: (weir) => weir.call("child", options),
  },
  {
    name: restless,
    run: (weir) =>
      weir.continuations > 0 ? Effect.succeed("at rest") : Effect.andThen(
        weir.spawn("child", options),
        weir.continueAs(null, { taken: [], cleared: [] }),
      ),
  },
];

it("a child that was never started is started when its parent is run again", async () => {
  const result = await new VirtualClock(Date.UTC(2026, 0, 1)).run(
    Effect.gen(function* () {
      const log = yield* Log;
      const executions = yield* Executions;
      let isReachable = false;
      yield* makeWorker({ actors, identity: WorkerInstanceId.make("w-1") }).pipe(
        Effect.provideService(Log, {
          ...log,
          append: (to, message) =>
            isReachable || to.label !== execution ? log.append(to, message) : Effect.never,
        }),
      );
      const deadline = "5 seconds";
      const run = yield* executions.start(parent, acme, undefined, { unserved: true, deadline });
      const ended = yield* Effect.exit(executions.result(run));
      assert.equal(ended._tag, "Failure");
      isReachable = true;
      const behind = yield* executions.retry(run, { from: "failure" });
      return yield* Effect.timeout(executions.result(run, { behind }), "1 hour");
    }).pipe(Effect.provide(layerMemory()), Effect.scoped),
  );
  assert.equal(result, "grown");
});

it("a child that takes long to be started is started before its parent begins anew", async () => {
  const results = await new VirtualClock(Date.UTC(2026, 0, 1)).run(
    Effect.gen(function* () {
      const log = yield* Log;
      const executions = yield* Executions;
      yield* makeWorker({ actors, identity: WorkerInstanceId.make("w-1") }).pipe(
        Effect.provideService(Log, {
          ...log,
          append: (to, message) =>
            to.label === execution && message.kind === "mail"
              ? Effect.delay(log.append(to, message), "1 second")
              : log.append(to, message),
        }),
      );
      const run = yield* executions.start(restless, acme, undefined, { unserved: true });
      const result = yield* executions.result(run);
      const ofChild = executions.result({ execution, tenant: acme });
      return [result, yield* Effect.timeout(ofChild, "1 hour")];
    }).pipe(Effect.provide(layerMemory()), Effect.scoped),
  );
  assert.deepEqual(results, ["at rest", "grown"]);
});
