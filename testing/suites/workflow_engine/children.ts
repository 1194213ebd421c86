/** What parents and children have to do with each other. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import {
  act,
  Approval,
  approve,
  assertInterrupted,
  byId,
  Declined,
  Id,
  note,
  parked,
} from "./program.ts";

export const childCases = (test: Case<WorkflowEngine>): void => {
  test(
    "a parent has the result of its child, or its error, and one child is one execution",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Child = Workflow.make("Child", {
        payload: { n: Schema.Int },
        success: Schema.Int,
        error: Declined,
        idempotencyKey: ({ n }) => `${n}`,
      });
      const Parent = Workflow.make("Parent", {
        payload: Id,
        success: Schema.Struct({ sum: Schema.Int, code: Schema.Int }),
        idempotencyKey: byId,
      });
      const live = Layer.merge(
        Child.toLayer(Effect.fnUntraced(function* ({ n }) {
          yield* act(ran, `child ${n}`);
          yield* DurableClock.sleep({ name: "nap", duration: 20, inMemoryThreshold: 0 });
          if (n < 0) return yield* new Declined({ code: n });
          return n;
        })),
        Parent.toLayer(Effect.fnUntraced(function* () {
          const numbers = yield* Effect.all(
            [1, 2, 1].map((n) => Child.execute({ n })),
            { concurrency: "unbounded" },
          ).pipe(Effect.orDie);
          const { code } = yield* Effect.flip(Child.execute({ n: -3 })).pipe(Effect.orDie);
          return { sum: numbers.reduce((a, b) => a + b), code };
        })),
      );
      const found = yield* Parent.execute({ id: "1" }).pipe(Effect.provide(live));
      assert.deepEqual(found, { sum: 4, code: -3 });
      assert.deepEqual(ran.sort(), ["child -3", "child 1", "child 2"]);
    }),
  );

  test(
    "a parent that does not wait for its child ends before it, and the child goes on",
    Effect.gen(function* () {
      const Child = Workflow.make("LeftAlone", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const Parent = Workflow.make("Careless", {
        payload: { id: Schema.String, detached: Schema.Boolean },
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Layer.merge(
        Child.toLayer(() => Effect.map(DurableDeferred.await(Approval), ({ by }) => by)),
        Parent.toLayer(({ id, detached }) => Child.execute({ id }, { discard: true, detached })),
      );
      yield* Effect.gen(function* () {
        for (const [id, detached] of [["1", false], ["2", true]] as const) {
          const child = yield* Parent.execute({ id, detached });
          assert.equal(child, yield* Child.executionId({ id }));
          yield* parked(Child.poll(child));
          yield* approve(Child, { id }, "ana");
          assert.equal(yield* Child.execute({ id }), "ana");
        }
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a child that waits keeps its parent waiting, and others may wait for it as well",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Child = Workflow.make("Sought", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const Parent = Workflow.make("Seeker", {
        payload: { of: Schema.String },
        success: Schema.String,
        error: Declined,
        idempotencyKey: ({ of }) => of,
      });
      const live = Layer.merge(
        Child.toLayer(Effect.fnUntraced(function* () {
          yield* act(ran, "begin");
          const { by } = yield* DurableDeferred.await(Approval);
          return by;
        })),
        Parent.toLayer(({ of }) => Effect.map(Child.execute({ id: "1" }), (by) => `${of} ${by}`)),
      );
      yield* Effect.gen(function* () {
        const parents = yield* Effect.forEach(
          ["a", "b"],
          (of) => Parent.execute({ of }, { discard: true }),
        );
        const child = yield* Child.executionId({ id: "1" });
        const outside = yield* Effect.forkChild(Child.execute({ id: "1" }));
        for (const parent of parents) yield* parked(Parent.poll(parent));
        yield* parked(Child.poll(child));
        yield* approve(Child, { id: "1" }, "ana");
        assert.equal(yield* Parent.execute({ of: "a" }), "a ana");
        assert.equal(yield* Fiber.join(outside), "ana");
        assert.deepEqual(ran, ["begin"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "who interrupts a parent interrupts the child that it waits for, and none that is detached",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Child = Workflow.make("Followed", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const Parent = Workflow.make("Leading", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Layer.merge(
        Child.toLayer(Effect.fnUntraced(function* ({ id }) {
          yield* act(ran, `book ${id}`).pipe(
            Child.withCompensation(() => note(ran, `cancel ${id}`)),
          );
          const { by } = yield* DurableDeferred.await(Approval);
          return by;
        })),
        Parent.toLayer(Effect.fnUntraced(function* () {
          yield* Child.execute({ id: "free" }, { discard: true, detached: true });
          return yield* Child.execute({ id: "bound" });
        })),
      );
      yield* Effect.gen(function* () {
        const parent = yield* Parent.execute({ id: "1" }, { discard: true });
        for (const id of ["free", "bound"]) {
          yield* parked(Child.poll(yield* Child.executionId({ id })));
        }
        yield* parked(Parent.poll(parent));
        yield* Parent.interrupt(parent);
        assertInterrupted(yield* Effect.exit(Parent.execute({ id: "1" })));
        assertInterrupted(yield* Effect.exit(Child.execute({ id: "bound" })));
        assert.ok(ran.includes("cancel bound"));
        yield* approve(Child, { id: "free" }, "ana");
        assert.equal(yield* Child.execute({ id: "free" }), "ana");
        assert.ok(!ran.includes("cancel free"));
      }).pipe(Effect.provide(live));
    }),
  );
};
