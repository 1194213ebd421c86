/** What is recorded of activities, by their names and attempts. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import type { Case } from "../suite.ts";
import { act, Approval, approve, byId, Declined, Id, note, parked } from "./program.ts";

export const activityCases = (test: Case<WorkflowEngine>): void => {
  test(
    "an activity that fails is tried again as it says, each attempt once",
    Effect.gen(function* () {
      const tries: Array<number> = [];
      const Retried = Workflow.make("Retried", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Retried.toLayer(() =>
        Activity.make({
          name: "charge",
          success: Schema.String,
          error: Declined,
          execute: Effect.gen(function* () {
            const attempt = yield* Activity.CurrentAttempt;
            tries.push(attempt);
            if (attempt < 3) return yield* new Declined({ code: attempt });
            return "charged";
          }),
        }).pipe(Activity.retry({ times: 5 }))
      );
      assert.equal(yield* Retried.execute({ id: "1" }).pipe(Effect.provide(live)), "charged");
      assert.deepEqual(tries, [1, 2, 3]);
    }),
  );

  test(
    "an attempt is recorded once, whatever happens behind it, and has its own key",
    Effect.gen(function* () {
      const keys: Array<string> = [];
      const Keyed = Workflow.make("Keyed", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Keyed.toLayer(Effect.fnUntraced(function* () {
        yield* Activity.make({
          name: "charge",
          error: Declined,
          execute: Effect.gen(function* () {
            const ofAll = yield* Activity.idempotencyKey("charge");
            const ofAttempt = yield* Activity.idempotencyKey("charge", { includeAttempt: true });
            keys.push(ofAll, ofAttempt);
            if (keys.length < 4) return yield* new Declined({ code: 1 });
          }),
        }).pipe(Activity.retry({ times: 3 }));
        const { by } = yield* DurableDeferred.await(Approval);
        return by;
      }));
      yield* Effect.gen(function* () {
        const id = yield* Keyed.execute({ id: "1" }, { discard: true });
        yield* parked(Keyed.poll(id));
        yield* approve(Keyed, { id: "1" }, "ana");
        assert.equal(yield* Keyed.execute({ id: "1" }), "ana");
      }).pipe(Effect.provide(live));
      assert.equal(keys.length, 4);
      const [first, firstAttempt, second, secondAttempt] = keys;
      assert.equal(first, second);
      assert.equal(new Set([first, firstAttempt, secondAttempt]).size, 3);
    }),
  );

  test(
    "what an activity gives is the same when it is read again",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Typed = Schema.Struct({
        at: Schema.Date,
        big: Schema.BigInt,
        maybe: Schema.Option(Schema.Int),
        nothing: Schema.Undefined,
      });
      const value = {
        at: new Date(1_700_000_000_000),
        big: 12n,
        maybe: Option.some(1),
        nothing: undefined,
      };
      const Reads = Workflow.make("Reads", { payload: Id, success: Typed, idempotencyKey: byId });
      const live = Reads.toLayer(Effect.fnUntraced(function* () {
        const given = yield* Activity.make({
          name: "typed",
          success: Typed,
          execute: Effect.as(note(ran, "typed"), value),
        });
        const nothing = yield* Activity.make({ name: "void", execute: note(ran, "void") });
        assert.equal(nothing, undefined);
        yield* Effect.orDie(DurableDeferred.await(Approval));
        return given;
      }));
      yield* Effect.gen(function* () {
        const id = yield* Reads.execute({ id: "1" }, { discard: true });
        yield* parked(Reads.poll(id));
        yield* approve(Reads, { id: "1" }, "ana");
        assert.deepEqual(yield* Reads.execute({ id: "1" }), value);
      }).pipe(Effect.provide(live));
      assert.deepEqual(ran, ["typed", "void"]);
    }),
  );

  test(
    "a body can go on behind a failure and behind a defect of an activity",
    Effect.gen(function* () {
      const Forgiving = Workflow.make("Forgiving", {
        payload: Id,
        success: Schema.Array(Schema.String),
        idempotencyKey: byId,
      });
      const live = Forgiving.toLayer(Effect.fnUntraced(function* () {
        const declined = yield* Activity.make({
          name: "declines",
          success: Schema.String,
          error: Declined,
          execute: new Declined({ code: 7 }),
        }).pipe(Effect.catchTag("Declined", ({ code }) => Effect.succeed(`declined ${code}`)));
        const died = yield* Activity.make({
          name: "dies",
          success: Schema.String,
          execute: Effect.die(new Error("a bug")),
        }).pipe(Effect.catchDefect((defect) => Effect.succeed((defect as Error).message)));
        return [declined, died];
      }));
      const result = yield* Forgiving.execute({ id: "1" }).pipe(Effect.provide(live));
      assert.deepEqual(result, ["declined 7", "a bug"]);
    }),
  );

  test(
    "an activity that is interrupted is run again, and dies when that is too often",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const interruptRetryPolicy = Schedule.recurs(2);
      const Torn = Workflow.make("Torn", {
        payload: Id,
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Torn.toLayer(Effect.fnUntraced(function* () {
        const survived = yield* Activity.make({
          name: "twice",
          success: Schema.String,
          interruptRetryPolicy,
          execute: Effect.suspend(() => {
            ran.push("twice");
            return ran.length < 3 ? Effect.interrupt : Effect.succeed("survived");
          }),
        });
        yield* Activity.make({ name: "always", interruptRetryPolicy, execute: Effect.interrupt });
        return survived;
      }));
      const exit = yield* Effect.exit(Torn.execute({ id: "1" }).pipe(Effect.provide(live)));
      assert.ok(Exit.isFailure(exit) && Cause.hasDies(exit.cause), `${exit}`);
      assert.match(Cause.pretty(exit.cause), /always.*exhausted/);
      assert.deepEqual(ran, ["twice", "twice", "twice"]);
    }),
  );

  test(
    "activities at once and within each other are all recorded",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Nested = Workflow.make("Nested", {
        payload: Id,
        success: Schema.Array(Schema.String),
        idempotencyKey: byId,
      });
      const live = Nested.toLayer(Effect.fnUntraced(function* () {
        const all = yield* Effect.all([
          Activity.make({
            name: "outer",
            success: Schema.String,
            execute: Effect.map(act(ran, "inner"), (inner) => `outer of ${inner}`),
          }),
          act(ran, "a"),
          act(ran, "b"),
        ], { concurrency: "unbounded" });
        yield* Effect.orDie(DurableDeferred.await(Approval));
        return all;
      }));
      yield* Effect.gen(function* () {
        const id = yield* Nested.execute({ id: "1" }, { discard: true });
        yield* parked(Nested.poll(id));
        yield* approve(Nested, { id: "1" }, "ana");
        assert.deepEqual(yield* Nested.execute({ id: "1" }), ["outer of inner", "a", "b"]);
      }).pipe(Effect.provide(live));
      assert.deepEqual(ran.sort(), ["a", "b", "inner"]);
    }),
  );
};
