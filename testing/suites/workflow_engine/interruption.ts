/** What ends before its time, and how. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import { WorkflowEngine } from "effect/workflow/WorkflowEngine";
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

export const interruptionCases = (test: Case<WorkflowEngine>): void => {
  test(
    "an interruption takes effect where the workflow waits, and what was done is compensated",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Held = Workflow.make("Held", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Held.toLayer(Effect.fnUntraced(function* () {
        yield* act(ran, "book").pipe(Held.withCompensation(() => note(ran, "cancel")));
        yield* DurableDeferred.await(Approval);
        return yield* act(ran, "never");
      }));
      yield* Effect.gen(function* () {
        const id = yield* Held.execute({ id: "1" }, { discard: true });
        yield* parked(Held.poll(id));
        yield* Held.interrupt(id);
        const exit = yield* Effect.exit(Held.execute({ id: "1" }));
        assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), `${exit}`);
        assert.deepEqual(ran, ["book", "cancel"]);
        // What is over, or never was, is not interrupted.
        yield* Held.interrupt(id);
        yield* Held.interrupt("0".repeat(32));
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an interruption that cannot wait ends what runs",
    Effect.gen(function* () {
      const engine = yield* WorkflowEngine;
      const isRunning = yield* Deferred.make<void>();
      const Stuck = Workflow.make("Stuck", { payload: Id, idempotencyKey: byId });
      const live = Stuck.toLayer(() =>
        Activity.make({
          name: "hang",
          execute: Effect.andThen(Deferred.succeed(isRunning, undefined), Effect.never),
        })
      );
      yield* Effect.gen(function* () {
        const id = yield* Stuck.execute({ id: "1" }, { discard: true });
        yield* Deferred.await(isRunning);
        yield* engine.interruptUnsafe(Stuck, id);
        const exit = yield* Effect.exit(Stuck.execute({ id: "1" }));
        assert.ok(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), `${exit}`);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an interruption lets finish what runs, and what would begin behind it does not",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const isRunning = yield* Deferred.make<void>();
      const mayGoOn = yield* Deferred.make<void>();
      const Busy = Workflow.make("Busy", { payload: Id, idempotencyKey: byId });
      const live = Busy.toLayer(Effect.fnUntraced(function* () {
        yield* Activity.make({
          name: "runs",
          execute: Deferred.succeed(isRunning, undefined).pipe(
            Effect.andThen(Deferred.await(mayGoOn)),
            Effect.andThen(note(ran, "runs")),
          ),
        }).pipe(Busy.withCompensation(() => note(ran, "cancel")));
        // It never waits; and it may take a moment until it is told.
        for (let n = 1;; n++) yield* Activity.make({ name: `${n}`, execute: Effect.sleep(5) });
      }));
      yield* Effect.gen(function* () {
        const id = yield* Busy.execute({ id: "1" }, { discard: true });
        yield* Deferred.await(isRunning);
        yield* Busy.interrupt(id);
        assert.deepEqual(yield* Busy.poll(id), Option.none());
        yield* Deferred.succeed(mayGoOn, undefined);
        assertInterrupted(yield* Effect.exit(Busy.execute({ id: "1" })));
        assert.deepEqual(ran, ["runs", "cancel"]);
        const found = yield* Busy.poll(id);
        assert.ok(Option.isSome(found) && found.value._tag === "Complete");
        assertInterrupted(found.value.exit);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a workflow that has nothing left to wait for is not interrupted any more",
    Effect.gen(function* () {
      const isRunning = yield* Deferred.make<void>();
      const mayGoOn = yield* Deferred.make<void>();
      const Last = Workflow.make("Last", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Last.toLayer(() =>
        Activity.make({
          name: "last",
          success: Schema.String,
          execute: Deferred.succeed(isRunning, undefined).pipe(
            Effect.andThen(Deferred.await(mayGoOn)),
            Effect.as("done"),
          ),
        })
      );
      yield* Effect.gen(function* () {
        const id = yield* Last.execute({ id: "1" }, { discard: true });
        yield* Deferred.await(isRunning);
        yield* Last.interrupt(id);
        yield* Deferred.succeed(mayGoOn, undefined);
        assert.equal(yield* Last.execute({ id: "1" }), "done");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "what cleans up behind an interruption may do activities, and wait",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Tidy = Workflow.make("Tidy", { payload: Id, error: Declined, idempotencyKey: byId });
      const live = Tidy.toLayer(Effect.fnUntraced(function* () {
        yield* act(ran, "book").pipe(
          Tidy.withCompensation(() =>
            DurableClock.sleep({ name: "brief", duration: 20 }).pipe(
              Effect.andThen(act(ran, "cancel")),
              Effect.asVoid,
            )
          ),
        );
        yield* DurableDeferred.await(Approval);
      }));
      yield* Effect.gen(function* () {
        const id = yield* Tidy.execute({ id: "1" }, { discard: true });
        yield* parked(Tidy.poll(id));
        yield* Tidy.interrupt(id);
        assertInterrupted(yield* Effect.exit(Tidy.execute({ id: "1" })));
        assert.deepEqual(ran, ["book", "cancel"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an interruption that cannot wait ends what is parked as well, and is none of what is over",
    Effect.gen(function* () {
      const engine = yield* WorkflowEngine;
      const Waits = Workflow.make("Waits", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Waits.toLayer(() => Effect.map(DurableDeferred.await(Approval), ({ by }) => by));
      yield* Effect.gen(function* () {
        const id = yield* Waits.execute({ id: "1" }, { discard: true });
        yield* parked(Waits.poll(id));
        yield* engine.interruptUnsafe(Waits, id);
        assertInterrupted(yield* Effect.exit(Waits.execute({ id: "1" })));

        yield* approve(Waits, { id: "2" }, "ana");
        assert.equal(yield* Waits.execute({ id: "2" }), "ana");
        yield* engine.interruptUnsafe(Waits, yield* Waits.executionId({ id: "2" }));
        yield* engine.interruptUnsafe(Waits, "0".repeat(32));
        assert.equal(yield* Waits.execute({ id: "2" }), "ana");
      }).pipe(Effect.provide(live));
    }),
  );
};
