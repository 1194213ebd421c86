/** What stops at a failure, and goes on only when it is told to. */
import assert from "node:assert/strict";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import { type WorkflowEngine, WorkflowInstance } from "effect/workflow/WorkflowEngine";
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
  until,
} from "./program.ts";

export const suspensionCases = (test: Case<WorkflowEngine>): void => {
  test(
    "a workflow that is parked by a failure goes on when it is resumed",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      let isBroken = true;
      const Parked = Workflow.make("Parked", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
        annotations: Context.make(Workflow.SuspendOnFailure, true),
      });
      const live = Parked.toLayer(Effect.fnUntraced(function* () {
        yield* act(ran, "once");
        yield* note(ran, "body");
        if (isBroken) return yield* Effect.die("out of order");
        return "mended";
      }));
      yield* Effect.gen(function* () {
        const id = yield* Parked.execute({ id: "1" }, { discard: true });
        yield* parked(Parked.poll(id));
        isBroken = false;
        yield* Parked.resume(id);
        assert.equal(yield* Parked.execute({ id: "1" }), "mended");
        assert.deepEqual(ran, ["once", "body", "body"]);
      }).pipe(Effect.provide(live));
    }),
  );

  const breaking = (tag: string, error: "declines" | "dies") => {
    const ran: Array<string> = [];
    const state = { isBroken: true, tries: 0 };
    const Breaks = Workflow.make(tag, {
      payload: Id,
      success: Schema.String,
      error: Declined,
      idempotencyKey: byId,
      annotations: Context.make(Workflow.SuspendOnFailure, true),
    });
    const live = Breaks.toLayer(Effect.fnUntraced(function* () {
      yield* act(ran, "once").pipe(Breaks.withCompensation(() => note(ran, "cancel")));
      return yield* Activity.make({
        name: "breaks",
        success: Schema.String,
        error: Declined,
        execute: Effect.suspend(() => {
          state.tries++;
          if (!state.isBroken) return Effect.succeed("mended");
          return error === "dies" ? Effect.die("out of order") : new Declined({ code: 2 });
        }),
      });
    }));
    return { Breaks, live, ran, state };
  };
  /** Looks until it is parked behind a number of tries. */
  const parkedBehind = (tries: number, state: { readonly tries: number }) =>
    until(Effect.sync(() => state.tries), (found) => found === tries);

  for (const error of ["declines", "dies"] as const) {
    test(
      `a workflow whose activity ${error} is parked, and tries it again when it is resumed`,
      Effect.gen(function* () {
        const { Breaks, live, ran, state } = breaking(`Breaks, and ${error}`, error);
        yield* Effect.gen(function* () {
          const id = yield* Breaks.execute({ id: "1" }, { discard: true });
          yield* parked(Breaks.poll(id));
          yield* Breaks.resume(id);
          yield* parkedBehind(2, state);
          yield* parked(Breaks.poll(id));
          state.isBroken = false;
          yield* Breaks.resume(id);
          assert.equal(yield* Breaks.execute({ id: "1" }), "mended");
          assert.equal(state.tries, 3);
          assert.deepEqual(ran, ["once"]);
          // What is over is not resumed.
          yield* Breaks.resume(id);
          assert.equal(yield* Breaks.execute({ id: "1" }), "mended");
        }).pipe(Effect.provide(live));
      }),
    );
  }

  test(
    "what is parked by a failure hears nothing but that it is to go on, or to end",
    Effect.gen(function* () {
      const { Breaks, live, ran, state } = breaking("Deaf", "dies");
      yield* Effect.gen(function* () {
        const id = yield* Breaks.execute({ id: "1" }, { discard: true });
        yield* parked(Breaks.poll(id));
        yield* approve(Breaks, { id: "1" }, "ana");
        yield* Effect.sleep("50 millis");
        assert.equal(state.tries, 1);
        state.isBroken = false;
        yield* Breaks.interrupt(id);
        assertInterrupted(yield* Effect.exit(Breaks.execute({ id: "1" })));
        // What failed is not tried again for that, and what was done is compensated.
        assert.equal(state.tries, 1);
        assert.deepEqual(ran, ["once", "cancel"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a child that is parked by a failure keeps its parent waiting until it is resumed",
    Effect.gen(function* () {
      const { Breaks, live, state } = breaking("Broken child", "dies");
      const Parent = Workflow.make("Patient", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const parent = Parent.toLayer(({ id }) => Breaks.execute({ id }));
      yield* Effect.gen(function* () {
        const id = yield* Parent.execute({ id: "1" }, { discard: true });
        const child = yield* Breaks.executionId({ id: "1" });
        yield* parked(Breaks.poll(child));
        yield* parked(Parent.poll(id));
        state.isBroken = false;
        yield* Breaks.resume(child);
        assert.equal(yield* Parent.execute({ id: "1" }), "mended");
      }).pipe(Effect.provide(Layer.merge(live, parent)));
    }),
  );

  test(
    "a wait within other scopes and branches is a wait like any other",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Deep = Workflow.make("Deep", {
        payload: Id,
        success: Schema.Array(Schema.String),
        error: Declined,
        idempotencyKey: byId,
      });
      const waiting = Effect.map(DurableDeferred.await(Approval), ({ by }) => by);
      const live = Deep.toLayer(() =>
        Effect.all([
          Effect.scoped(Effect.andThen(
            Effect.addFinalizer(() => note(ran, "let go")),
            Effect.scoped(waiting),
          )),
          Effect.andThen(act(ran, "beside"), waiting),
        ], { concurrency: "unbounded" })
      );
      yield* Effect.gen(function* () {
        const id = yield* Deep.execute({ id: "1" }, { discard: true });
        yield* parked(Deep.poll(id));
        yield* approve(Deep, { id: "1" }, "ana");
        assert.deepEqual(yield* Deep.execute({ id: "1" }), ["ana", "ana"]);
        assert.equal(ran.filter((each) => each === "beside").length, 1);
        assert.ok(ran.includes("let go"));
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an activity may wait as well",
    Effect.gen(function* () {
      const Inside = Workflow.make("Inside", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Inside.toLayer(() =>
        Activity.make({
          name: "waits",
          success: Schema.String,
          error: Declined,
          execute: Effect.map(DurableDeferred.await(Approval), ({ by }) => by),
        })
      );
      yield* Effect.gen(function* () {
        yield* Inside.execute({ id: "1" }, { discard: true });
        yield* approve(Inside, { id: "1" }, "ana");
        assert.equal(yield* Inside.execute({ id: "1" }), "ana");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a body that suspends of its own accord runs again when it is resumed",
    Effect.gen(function* () {
      const state = { isReady: false };
      const Pauses = Workflow.make("Pauses", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Pauses.toLayer(Effect.fnUntraced(function* () {
        const instance = yield* WorkflowInstance;
        return state.isReady ? "ready" : yield* Workflow.suspend(instance);
      }));
      yield* Effect.gen(function* () {
        const id = yield* Pauses.execute({ id: "1" }, { discard: true });
        yield* parked(Pauses.poll(id));
        yield* Pauses.resume(id);
        yield* parked(Pauses.poll(id));
        state.isReady = true;
        yield* Pauses.resume(id);
        assert.equal(yield* Pauses.execute({ id: "1" }), "ready");
      }).pipe(Effect.provide(live));
    }),
  );
};
