/** What is undone, what is cleaned up, and when. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schema from "effect/Schema";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import { act, Approval, approve, byId, Declined, Id, note, parked, until } from "./program.ts";

export const compensationCases = (test: Case<WorkflowEngine>): void => {
  test(
    "what was done is compensated in reverse, once, and only if the whole fails",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Trip = Workflow.make("Trip", {
        payload: { id: Schema.String, fails: Schema.Boolean },
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Trip.toLayer(Effect.fnUntraced(function* ({ fails }) {
        const book = (what: string) =>
          act(ran, what).pipe(Trip.withCompensation((value) => note(ran, `cancel ${value}`)));
        yield* book("flight");
        yield* book("hotel");
        if (fails) return yield* new Declined({ code: 1 });
        return "booked";
      }));
      yield* Effect.gen(function* () {
        assert.equal(yield* Trip.execute({ id: "1", fails: false }), "booked");
        assert.deepEqual(ran.splice(0), ["flight", "hotel"]);
        yield* Effect.flip(Trip.execute({ id: "2", fails: true }));
        assert.deepEqual(ran, ["flight", "hotel", "cancel hotel", "cancel flight"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "what was done before a wait is compensated behind it, once, and told of the reason",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Late = Workflow.make("Late", { payload: Id, error: Declined, idempotencyKey: byId });
      const live = Late.toLayer(Effect.fnUntraced(function* () {
        const book = (what: string) =>
          act(ran, what).pipe(
            Late.withCompensation((value, cause) =>
              note(ran, `cancel ${value}: ${(Cause.squash(cause) as Declined).code}`)
            ),
          );
        yield* book("flight");
        yield* DurableDeferred.await(Approval);
        yield* book("hotel");
        return yield* new Declined({ code: 5 });
      }));
      yield* Effect.gen(function* () {
        const id = yield* Late.execute({ id: "1" }, { discard: true });
        yield* parked(Late.poll(id));
        yield* approve(Late, { id: "1" }, "ana");
        yield* Effect.flip(Late.execute({ id: "1" }));
      }).pipe(Effect.provide(live));
      assert.deepEqual(ran, ["flight", "hotel", "cancel hotel: 5", "cancel flight: 5"]);
    }),
  );

  test(
    "what compensates may be activities, which run as any other",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Undone = Workflow.make("Undone", {
        payload: Id,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Undone.toLayer(Effect.fnUntraced(function* () {
        yield* act(ran, "book").pipe(
          Undone.withCompensation(() => Effect.asVoid(act(ran, "cancel"))),
        );
        return yield* new Declined({ code: 1 });
      }));
      const error = yield* Effect.flip(Undone.execute({ id: "1" }).pipe(Effect.provide(live)));
      assert.ok(error instanceof Declined);
      assert.deepEqual(ran, ["book", "cancel"]);
    }),
  );

  test(
    "a finalizer of the workflow runs when all is over, and is told how",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Final = Workflow.make("Final", {
        payload: { id: Schema.String, fails: Schema.Boolean },
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Final.toLayer(Effect.fnUntraced(function* ({ fails }) {
        yield* Workflow.addFinalizer((exit) =>
          Exit.isFailure(exit) ? note(ran, "failed") : note(ran, "over")
        );
        const { by } = yield* DurableDeferred.await(Approval);
        yield* note(ran, "body");
        return fails ? yield* new Declined({ code: 1 }) : by;
      }));
      yield* Effect.gen(function* () {
        for (const [id, fails] of [["1", false], ["2", true]] as const) {
          const execution = yield* Final.execute({ id, fails }, { discard: true });
          yield* parked(Final.poll(execution));
          // It is not over while it waits.
          assert.deepEqual(ran, []);
          yield* approve(Final, { id, fails }, "ana");
          yield* Effect.exit(Final.execute({ id, fails }));
          assert.deepEqual(ran.splice(0).slice(0, 2), ["body", fails ? "failed" : "over"]);
        }
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "what the workflow's scope holds is let go when all is over, and not before",
    Effect.gen(function* () {
      let held = 0;
      const Holding = Workflow.make("Holding", {
        payload: Id,
        success: Schema.Int,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Holding.toLayer(Effect.fnUntraced(function* () {
        const resource = Effect.acquireRelease(
          Effect.sync(() => ++held),
          () => Effect.sync(() => --held),
        );
        yield* Workflow.provideScope(resource);
        yield* DurableDeferred.await(Approval);
        return held;
      }));
      yield* Effect.gen(function* () {
        const id = yield* Holding.execute({ id: "1" }, { discard: true });
        yield* parked(Holding.poll(id));
        yield* approve(Holding, { id: "1" }, "ana");
        assert.ok((yield* Holding.execute({ id: "1" })) > 0);
        yield* until(Effect.sync(() => held), (left) => left === 0);
      }).pipe(Effect.provide(live));
    }),
  );
};
