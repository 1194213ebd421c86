/** Who wins a race, and that it stays so. */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import { act, Approval, approve, byId, Declined, Id, note, parked, until } from "./program.ts";

export const raceCases = (test: Case<WorkflowEngine>): void => {
  test(
    "a clock and a deferred race, and both sides may win",
    Effect.gen(function* () {
      const Winner = DurableDeferred.make("winner", { success: Schema.String });
      const Signal = DurableDeferred.make("signal", { success: Schema.String });
      const Raced = Workflow.make("Raced", {
        payload: { id: Schema.String, ms: Schema.Int },
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Raced.toLayer(({ ms }) =>
        DurableDeferred.raceAll({
          name: Winner.name,
          success: Schema.String,
          error: Schema.Never,
          effects: [
            DurableDeferred.await(Signal),
            Effect.as(
              DurableClock.sleep({ name: "limit", duration: ms, inMemoryThreshold: 0 }),
              "late",
            ),
          ],
        })
      );
      yield* Effect.gen(function* () {
        assert.equal(yield* Raced.execute({ id: "1", ms: 50 }), "late");
        const payload = { id: "2", ms: 3_600_000 };
        const waiting = yield* Effect.forkChild(Raced.execute(payload));
        yield* parked(Raced.poll(yield* Raced.executionId(payload)));
        const token = yield* DurableDeferred.tokenFromPayload(Signal, {
          workflow: Raced,
          payload,
        });
        yield* DurableDeferred.succeed(Signal, { token, value: "in time" });
        assert.equal(yield* Fiber.join(waiting), "in time");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "the winner of a race stays the winner, whatever comes behind it",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Signals = ["a", "b"].map((name) =>
        DurableDeferred.make(name, { success: Schema.String })
      );
      const Decided = Workflow.make("Decided", {
        payload: Id,
        success: Schema.Array(Schema.String),
        error: Declined,
        idempotencyKey: byId,
      });
      const [A, B] = Signals as [typeof Signals[0], typeof Signals[0]];
      const live = Decided.toLayer(Effect.fnUntraced(function* () {
        const winner = yield* DurableDeferred.raceAll({
          name: "first",
          success: Schema.String,
          error: Schema.Never,
          effects: [DurableDeferred.await(A), DurableDeferred.await(B)],
        });
        yield* act(ran, `${winner} won`);
        yield* DurableDeferred.await(Approval);
        return [winner, yield* DurableDeferred.await(A), yield* DurableDeferred.await(B)];
      }));
      yield* Effect.gen(function* () {
        const executionId = yield* Decided.execute({ id: "1" }, { discard: true });
        const finish = (deferred: typeof A) =>
          DurableDeferred.succeed(deferred, {
            token: DurableDeferred.tokenFromExecutionId(deferred, {
              workflow: Decided,
              executionId,
            }),
            value: deferred.name,
          });
        yield* parked(Decided.poll(executionId));
        yield* finish(B);
        yield* until(Effect.sync(() => ran), ({ length }) => length > 0);
        yield* finish(A);
        yield* parked(Decided.poll(executionId));
        yield* approve(Decided, { id: "1" }, "ana");
        assert.deepEqual(yield* Decided.execute({ id: "1" }), ["b", "a", "b"]);
        assert.deepEqual(ran, ["b won"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "of activities that race the first to succeed counts, and the rest is interrupted",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Fastest = Workflow.make("Fastest", {
        payload: Id,
        success: Schema.Array(Schema.String),
        error: Declined,
        idempotencyKey: byId,
      });
      const racer = (name: string, execute: Effect.Effect<unknown>) =>
        Activity.make({
          name,
          success: Schema.String,
          execute: Effect.andThen(execute, Effect.as(note(ran, name), name)),
        });
      const live = Fastest.toLayer(Effect.fnUntraced(function* () {
        const winner = yield* Activity.raceAll("fastest", [
          racer("slow", Effect.never),
          racer("fast", Effect.sleep(20)),
        ]);
        yield* DurableDeferred.await(Approval);
        return [winner];
      }));
      yield* Effect.gen(function* () {
        const id = yield* Fastest.execute({ id: "1" }, { discard: true });
        yield* parked(Fastest.poll(id));
        yield* approve(Fastest, { id: "1" }, "ana");
        assert.deepEqual(yield* Fastest.execute({ id: "1" }), ["fast"]);
        assert.deepEqual(ran, ["fast"]);
      }).pipe(Effect.provide(live));
    }),
  );
};
