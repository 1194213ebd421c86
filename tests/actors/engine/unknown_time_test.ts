import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { Unavailable } from "../../../schema/errors.ts";
import { ActorName, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { ServerClock } from "../../../streams/server_clock.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const nap = ActorName.make("nap");

/** Asks for the time when it begins, when it sleeps, when it fails and when it ends. */
const actor: ActorCode = {
  name: nap,
  retry: { attempts: 2 },
  run: (weir) =>
    Effect.andThen(
      weir.sleep("a while", "1 second"),
      weir.attempt === 0 ? Effect.fail(new Error("again")) : Effect.succeed("rested"),
    ),
};

for (let call = 2; call <= 8; call++) {
  it(`an owner who cannot know the time lets go and is followed, at look ${call}`, async () => {
    const exit = await new VirtualClock(Date.UTC(2026, 0, 1)).run(
      Effect.gen(function* () {
        const clock = yield* ServerClock;
        const executions = yield* Executions;
        let looks = 0;
        const now = Effect.suspend(() =>
          ++looks === call
            ? Effect.fail(
              new Unavailable({ operation: "look", reason: "nobody there", landed: "no" }),
            )
            : clock.now
        );
        yield* makeWorker({ actors: [actor], identity: WorkerInstanceId.make("w-1") }).pipe(
          Effect.provideService(ServerClock, { now }),
        );
        const run = yield* executions.start(nap, acme, undefined, { unserved: true });
        return yield* Effect.exit(Effect.timeout(executions.result(run), "1 hour"));
      }).pipe(
        Effect.provide(layerMemory()),
        Effect.scoped,
      ),
    );
    assert.ok(Exit.isSuccess(exit), "it has not ended");
    assert.equal(exit.value, "rested");
  });
}
