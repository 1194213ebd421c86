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
const execution = ExecutionId.make("child/c-1");

const actors: ReadonlyArray<ActorCode> = [
  { name: child, run: () => Effect.succeed("grown") },
  {
    name: parent,
    run: (weir) =>
      weir.call("child", {
        actor: child,
        tenant: acme,
        input: undefined,
        execution,
        onParentEnd: "abandon",
      }),
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
