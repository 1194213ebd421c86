/** A child whose name would be too long is refused, also when it is begun in a turn of nobody's. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorCode, Operations } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const [child, parent] = [ActorName.make("child"), ActorName.make("parent")];

const run: ActorCode["run"] = (weir: Operations) => {
  const after = <A, E>(key: string, then: Effect.Effect<A, E>) =>
    Effect.andThen(weir.wait("go", { name: key }), then);
  const call = weir.call("k".repeat(199), { actor: child, tenant: acme, input: undefined });
  // The second has its result at once behind the first, whose call is put off for that.
  return Effect.all([after("first", call), after("second", weir.sleep("long", "1 hour"))], {
    concurrency: "unbounded",
  });
};

it("a child whose name would be too long is refused to its parent, and takes nobody along", () =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(
    Effect.gen(function* () {
      yield* makeWorker({
        identity: WorkerInstanceId.make("w"),
        actors: [{ name: parent, run }, { name: child, run: () => Effect.void }],
      });
      const executions = yield* Executions;
      const of = yield* executions.start(parent, acme, undefined, { unserved: true });
      yield* Effect.sleep("1 minute");
      // Both signals are there when it goes on.
      yield* executions.pause(of);
      yield* executions.signal(of, "go", 1);
      yield* executions.signal(of, "go", 2);
      yield* executions.resume(of);
      const error = yield* Effect.flip(Effect.timeout(executions.result(of), "30 minutes"));
      assert.match(String(error.message), /execution id of a child.*give the call a shorter name/);
    }).pipe(Effect.scoped, Effect.provide(layerMemory())),
  ));
