/** Mail that comes when all is over is looked at together, however much there is. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
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
const childId = (n: number) => ExecutionId.make(`child/c-${n}`);

/** Has so many children, and ends when it is told to, which cancels all of them. */
const actorsWith = (children: number): ReadonlyArray<ActorCode> => [
  { name: child, run: (weir) => weir.wait("go") },
  {
    name: parent,
    run: (weir) =>
      Effect.forEach(Array.from({ length: children }, (_, n) => n), (n) =>
        weir.spawn(`${n}`, {
          actor: child,
          tenant: acme,
          input: undefined,
          execution: childId(n),
          onParentEnd: "cancel",
        })).pipe(Effect.andThen(weir.wait("go"))),
  },
];

/** What the children's ends, which their parent awaits no more, have a worker read and append. */
const costOf = (children: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const executions = yield* Executions;
    const cost = { records: 0, cancels: 0 };
    const counted: Log["Service"] = {
      ...log,
      append: (to, message) => {
        if (message.kind === "mail" && to.label?.startsWith("child/")) cost.cancels++;
        return log.append(to, message);
      },
      read: (filter, options) =>
        Stream.tap(log.read(filter, options), () => Effect.sync(() => cost.records++)),
      readThrough: (filter, options) =>
        Effect.tap(
          log.readThrough(filter, options),
          (entries) => Effect.sync(() => cost.records += entries.length),
        ),
    };
    yield* makeWorker({ actors: actorsWith(children), identity: WorkerInstanceId.make("w1") }).pipe(
      Effect.provideService(Log, counted),
    );
    const run = yield* executions.start(parent, acme, undefined);
    // Until all wait.
    yield* Effect.sleep("1 second");
    Object.assign(cost, { records: 0, cancels: 0 });
    yield* executions.signal(run, "go", undefined);
    yield* executions.result(run);
    for (let n = 0; n < children; n++) {
      const ended = Effect.flip(executions.result({ execution: childId(n), tenant: acme }));
      assert.equal((yield* ended)._tag, "ExecutionCancelled");
    }
    yield* Effect.sleep("1 hour");
    return cost;
  }).pipe(Effect.scoped, Effect.provide(layerMemory()));

it("what many children tell a parent that has ended has nobody told anything again", () =>
  new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.gen(function* () {
    const [few, many] = [yield* costOf(10), yield* costOf(200)];
    assert.deepEqual([few.cancels, many.cancels], [10, 200]);
    const perChild = many.records / 200;
    assert.ok(perChild <= 2 * few.records / 10, `${few.records} and ${many.records} records`);
  })));
