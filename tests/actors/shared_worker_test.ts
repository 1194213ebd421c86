/** The workflows of a process share a worker, which costs a session and what looks after the rest. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Scope from "effect/Scope";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { layerMemory } from "../../actors/layer.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import { Sessions } from "../../streams/session.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";

const workflow = (name: string) =>
  Workflow.make(name, {
    payload: { id: Schema.String },
    success: Schema.String,
    idempotencyKey: ({ id }) => id,
  });

const One = workflow("One");
const Two = workflow("Two");
const Three = workflow("Three");
const all = [One, Two, Three];
const live = (each: typeof One) => each.toLayer(({ id }) => Effect.succeed(`${each._tag} ${id}`));

const scene = (effect: Effect.Effect<void, unknown, Scope.Scope | Sessions | WorkflowEngine>) => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  return clock.run(Effect.scoped(Effect.gen(function* () {
    const services = WeirWorkflowEngine.layer().pipe(Layer.provideMerge(layerMemory()));
    const context = yield* Layer.build(services).pipe(Effect.provideContext(clock.context));
    yield* Effect.provideContext(effect, context).pipe(Effect.provideContext(clock.context));
  })));
};

const served = Effect.map(
  Effect.flatMap(Sessions, ({ list }) => list),
  (sessions) => sessions.map(({ actors }) => [...actors ?? []].sort()),
);

describe("the worker of workflows", () => {
  it("is one for those that are registered together", () =>
    scene(Effect.gen(function* () {
      yield* Layer.build(Layer.mergeAll(live(One), live(Two), live(Three)));
      assert.deepEqual(yield* served, [["One", "Three", "Two"]]);
      for (const each of all) {
        assert.equal(yield* each.execute({ id: "1" }), `${each._tag} 1`);
      }
    })));

  it("is followed by another for those that are left, when one is no longer served", () =>
    scene(Effect.gen(function* () {
      const scopes = yield* Effect.all([Scope.make(), Scope.make(), Scope.make()]);
      yield* Effect.forEach(
        all,
        (each, i) => Layer.build(live(each)).pipe(Scope.provide(scopes[i]!)),
        { concurrency: "unbounded" },
      );
      assert.deepEqual(yield* served, [["One", "Three", "Two"]]);
      yield* Scope.close(scopes[1]!, Exit.void);
      const id = yield* Two.execute({ id: "later" }, { discard: true });
      assert.equal(yield* One.execute({ id: "1" }), "One 1");
      assert.equal(yield* Three.execute({ id: "1" }), "Three 1");
      assert.deepEqual(yield* served, [["One", "Three"]]);
      assert.deepEqual(yield* Two.poll(id), Option.none());

      yield* Layer.build(live(Two));
      assert.equal(yield* Two.execute({ id: "later" }), "Two later");
      yield* Effect.forEach([scopes[0]!, scopes[2]!], (each) => Scope.close(each, Exit.void));
      yield* Effect.sleep("1 minute");
      assert.deepEqual(yield* served, [["Two"]]);
    })));
});
