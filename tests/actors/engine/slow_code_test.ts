/**
 * Code that takes over from an owner who died, and is slow to ask again for all that is recorded: it
 * goes out of memory in between, and the children that nobody had started are started all the same.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schedule from "effect/Schedule";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions, layer as layerExecutions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { neverStuck } from "../../../actors/never_stuck.ts";
import { ActorName, ExecutionId, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import * as Leases from "../../../streams/lease.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import * as Sessions from "../../../streams/session.ts";
import { type Moment, MortalProcess } from "../../../testing/process.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");

/** Whether the code stands still once, for something that the log knows nothing of. */
let isSlow = false;

const standStill = Effect.suspend(() => {
  const isNow = isSlow;
  isSlow = false;
  return isNow ? Effect.sleep("30 seconds") : Effect.void;
});

const actors: ReadonlyArray<ActorCode> = [
  { name: child, run: (weir) => Effect.as(weir.sleep("grow", "1 minute"), weir.execution) },
  {
    name: parent,
    run: (weir) => {
      const call = (name: string) =>
        weir.call(name, {
          actor: child,
          tenant: acme,
          input: undefined,
          execution: ExecutionId.make(`child/${name}`),
          onParentEnd: "abandon",
        });
      return Effect.all([call("first"), Effect.andThen(standStill, call("second"))], {
        concurrency: "unbounded",
      });
    },
  },
];

const ofProcess = Layer.mergeAll(Leases.layer, ServerClock.layer).pipe(
  Layer.provideMerge(Sessions.layer),
);

/** Plays the parent, whose first owner dies at a record. */
const play = (place?: { readonly append: number; readonly moment: Moment }) => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  return clock.run(Effect.scoped(Effect.gen(function* () {
    const shared = Context.merge(yield* Layer.build(layerMemory()), clock.context);
    isSlow = false;
    const begin = (identity: string, process: MortalProcess) =>
      Effect.forkDetach(
        makeWorker({
          actors,
          identity: WorkerInstanceId.make(identity),
          residentGrace: "1 second",
        }).pipe(
          Effect.provide(
            ofProcess.pipe(
              Layer.provideMerge(
                Layer.succeedContext(Context.merge(shared, process.services)),
              ),
            ),
          ),
          Scope.provide(Scope.makeUnsafe()),
        ),
      );
    const first = new MortalProcess(shared);
    if (place !== undefined) void first.killAt({ append: place.append }, place.moment);
    yield* begin("first", first);
    yield* Effect.sync(() => first.isDead).pipe(
      Effect.repeat({ until: (isDead) => isDead, schedule: Schedule.spaced("1 second") }),
      Effect.andThen(Effect.suspend(() => {
        isSlow = true;
        return begin("second", new MortalProcess(shared));
      })),
      Effect.forkScoped,
    );
    const result = yield* Effect.gen(function* () {
      const executions = yield* Executions;
      const started = yield* executions.start(parent, acme, undefined, {
        id: "p-1",
        unserved: true,
      });
      return yield* executions.result(started);
    }).pipe(
      Effect.timeout("1 hour"),
      Effect.provide(Layer.fresh(layerExecutions)),
      Effect.provideContext(shared),
    );
    const stuck = yield* Stream.runCollect(neverStuck()).pipe(Effect.provideContext(shared));
    return { appends: first.appends, result, stuck };
  })));
};

describe("code that is slow to ask again for what is recorded", () => {
  it("has all its children started, wherever its owner before died", async () => {
    const { appends, result } = await play();
    assert.ok(appends > 10);
    for (let append = 1; append <= appends; append++) {
      for (const moment of ["before", "after"] as const) {
        const after = await play({ append, moment }).catch((cause) => {
          throw new Error(`${moment} record ${append}`, { cause });
        });
        assert.deepEqual([after.result, after.stuck], [result, []], `${moment} record ${append}`);
      }
    }
  });
});
