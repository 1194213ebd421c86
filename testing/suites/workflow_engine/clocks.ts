/** How long a workflow sleeps. */
import assert from "node:assert/strict";
import * as Clock from "effect/Clock";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import { act, Approval, approve, byId, Declined, Id, note, parked, until } from "./program.ts";

export const clockCases = (test: Case<WorkflowEngine>): void => {
  test(
    "a clock holds the workflow for its time, and no longer",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Slow = Workflow.make("Slow", { payload: Id, idempotencyKey: byId });
      const live = Slow.toLayer(Effect.fnUntraced(function* () {
        yield* act(ran, "before");
        yield* DurableClock.sleep({ name: "brief", duration: "200 millis" });
        yield* DurableClock.sleep({
          name: "long",
          duration: "300 millis",
          inMemoryThreshold: "0 millis",
        });
        yield* act(ran, "after");
      }));
      const begun = yield* Clock.currentTimeMillis;
      yield* Slow.execute({ id: "1" }).pipe(Effect.provide(live));
      assert.deepEqual(ran, ["before", "after"]);
      assert.ok((yield* Clock.currentTimeMillis) - begun > 400);
    }),
  );

  test(
    "of a clock that is scheduled again the first deadline counts, from when it was scheduled",
    Effect.gen(function* () {
      const engine = yield* WorkflowEngine;
      const Twice = Workflow.make("Twice", {
        payload: Id,
        success: Schema.Int,
        idempotencyKey: byId,
      });
      const isScheduled = yield* Deferred.make<void>();
      const live = Twice.toLayer(Effect.fnUntraced(function* (_, executionId) {
        const begun = yield* Clock.currentTimeMillis;
        const sleep = (duration: number) => ({ name: "nap", duration, inMemoryThreshold: 0 });
        yield* engine.scheduleClock(Twice, { executionId, clock: DurableClock.make(sleep(500)) });
        yield* Deferred.succeed(isScheduled, undefined);
        yield* Activity.make({ name: "work", execute: Effect.sleep(400) });
        yield* DurableClock.sleep(sleep(3_600_000));
        yield* DurableClock.sleep(sleep(3_600_000));
        return (yield* Clock.currentTimeMillis) - begun;
      }));
      const took = yield* Twice.execute({ id: "1" }).pipe(
        Effect.timeout("30 seconds"),
        Effect.provide(live),
      );
      // Twice as much, if it had begun only when it was waited for.
      assert.ok(took < 30_000, String(took));
    }),
  );

  test(
    "sleeps at once end in their own order, and what was slept is not slept again",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Naps = Workflow.make("Naps", { payload: Id, idempotencyKey: byId, error: Declined });
      const live = Naps.toLayer(Effect.fnUntraced(function* () {
        yield* Effect.all(
          [300, 100, 200].map((duration) =>
            Effect.andThen(
              DurableClock.sleep({ name: `${duration}`, duration, inMemoryThreshold: 150 }),
              note(ran, `${duration}`),
            )
          ),
          { concurrency: "unbounded" },
        );
        yield* note(ran, "all");
        yield* DurableDeferred.await(Approval);
      }));
      yield* Effect.gen(function* () {
        const id = yield* Naps.execute({ id: "1" }, { discard: true });
        yield* until(Effect.sync(() => ran), (ran) => ran.includes("all"));
        yield* parked(Naps.poll(id));
        // What woke it may have had it run from the top, and then all that was over is over at once.
        assert.deepEqual(new Set(ran), new Set(["100", "200", "300", "all"]));
        yield* approve(Naps, { id: "1" }, "ana");
        yield* Naps.execute({ id: "1" });
      }).pipe(Effect.provide(live));
    }),
  );
};
