/** Mail that comes when all is over is looked at together, however much there is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { ActorCode } from "../../../actors/engine/operations.ts";
import * as Post from "../../../actors/engine/post.ts";
import { make as makeWorker } from "../../../actors/engine/worker.ts";
import { Executions } from "../../../actors/executions.ts";
import { layerMemory } from "../../../actors/layer.ts";
import { ActorName, ExecutionId, Tenant, WorkerInstanceId } from "../../../schema/ids.ts";
import { Log } from "../../../streams/log.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";

const acme = Tenant.make("acme");
const child = ActorName.make("child");
const parent = ActorName.make("parent");
const over = ActorName.make("over");
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

/** What passes a log on, and counts. */
const counting = (log: Log["Service"]) => {
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
  return { cost, counted };
};

/** What the children's ends, which their parent awaits no more, have a worker read and append. */
const costOfChildren = (children: number) =>
  Effect.gen(function* () {
    const executions = yield* Executions;
    const { cost, counted } = counting(yield* Log);
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

/** What a worker reads for so many who asked how something ends while it ended. */
const costOfAskers = (askers: number) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const executions = yield* Executions;
    const { cost, counted } = counting(log);
    const actors: ReadonlyArray<ActorCode> = [{ name: over, run: () => Effect.succeed("over") }];
    yield* makeWorker({ actors, identity: WorkerInstanceId.make("w1") }).pipe(
      Effect.provideService(Log, counted),
    );
    const run = yield* executions.start(over, acme, undefined);
    yield* executions.result(run);
    yield* Effect.sleep("1 second");
    cost.records = 0;
    const post = Post.make(log);
    const to = post.addressOf(run.execution, acme);
    const start = Option.getOrThrow(yield* post.findStart(to));
    const named = Array.from({ length: askers }, (_, n) => ExecutionId.make(`asks/a-${n}`));
    yield* Effect.forEach(named, (execution) =>
      post.join(to, { life: start.sequence, record: start.record }, {
        execution,
        tenant: acme,
        life: 1,
        key: "over",
        call: 1,
      }), { concurrency: "unbounded" });
    yield* Effect.sleep("1 hour");
    for (const execution of named) {
      const told = yield* log.last(post.addressOf(execution, acme), "mail");
      assert.ok(Option.isSome(told), `${execution} was not told`);
    }
    return cost;
  }).pipe(Effect.scoped, Effect.provide(layerMemory()));

describe("what comes when all is over", () => {
  it("has nobody told anything again, if it is what many children tell their parent", () =>
    new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.gen(function* () {
      const [few, many] = [yield* costOfChildren(10), yield* costOfChildren(200)];
      assert.deepEqual([few.cancels, many.cancels], [10, 200]);
      const perChild = many.records / 200;
      assert.ok(perChild <= 2 * few.records / 10, `${few.records} and ${many.records} records`);
    })));

  it("is answered from the end alone, if many asked for that", () =>
    new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.gen(function* () {
      const [few, many] = [yield* costOfAskers(10), yield* costOfAskers(200)];
      const perAsker = many.records / 200;
      assert.ok(perAsker <= 2 * few.records / 10, `${few.records} and ${many.records} records`);
    })));
});
