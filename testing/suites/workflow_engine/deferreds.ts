/** What is done once, by whom and when it may be, and heard by whoever waits. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
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
  assertDeclined,
  byId,
  Declined,
  Id,
  parked,
  until,
} from "./program.ts";

const approving = (tag: string, ran: Array<string>) => {
  const Approved = Workflow.make(tag, {
    payload: Id,
    success: Schema.String,
    error: Declined,
    idempotencyKey: byId,
  });
  const live = Approved.toLayer(Effect.fnUntraced(function* () {
    yield* act(ran, "before");
    const { by } = yield* DurableDeferred.await(Approval);
    yield* act(ran, "after");
    return by;
  }));
  return { Approved, live };
};

export const deferredCases = (test: Case<WorkflowEngine>): void => {
  test(
    "who waits for a deferred goes on with what it was done with first",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const { Approved, live } = approving("Approved", ran);
      yield* Effect.gen(function* () {
        const waiting = yield* Effect.forkChild(Approved.execute({ id: "1" }));
        yield* parked(Approved.poll(yield* Approved.executionId({ id: "1" })));
        assert.deepEqual(ran, ["before"]);
        for (const by of ["ana", "bo"]) yield* approve(Approved, { id: "1" }, by);
        assert.equal(yield* Fiber.join(waiting), "ana");
        yield* approve(Approved, { id: "1" }, "after the end");
        assert.deepEqual(ran, ["before", "after"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a deferred may end with an error or a defect, and that is what it ends with for the workflow",
    Effect.gen(function* () {
      const { Approved, live } = approving("Refused", []);
      const token = (id: string) =>
        DurableDeferred.tokenFromPayload(Approval, { workflow: Approved, payload: { id } });
      yield* Effect.gen(function* () {
        const refused = yield* Effect.forkChild(Effect.flip(Approved.execute({ id: "1" })));
        yield* parked(Approved.poll(yield* Approved.executionId({ id: "1" })));
        yield* DurableDeferred.fail(Approval, {
          token: yield* token("1"),
          error: new Declined({ code: 9 }),
        });
        const error = yield* Fiber.join(refused);
        assert.ok(error instanceof Declined);
        assert.equal(error.code, 9);

        yield* DurableDeferred.failCause(Approval, {
          token: yield* token("2"),
          cause: Cause.die(new Error("a bug")),
        });
        const died = yield* Effect.exit(Approved.execute({ id: "2" }));
        assert.ok(Exit.isFailure(died) && Cause.hasDies(died.cause));
        assert.match(String(died), /a bug/);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a deferred may be done before anybody waits for it, and before there is an execution",
    Effect.gen(function* () {
      const { Approved, live } = approving("Early", []);
      yield* Effect.gen(function* () {
        for (const by of ["ana", "bo"]) yield* approve(Approved, { id: "1" }, by);
        assert.equal(yield* Approved.execute({ id: "1" }), "ana");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a look at a deferred does not wait, and sees what it was done with meanwhile",
    Effect.gen(function* () {
      const engine = yield* WorkflowEngine;
      const seen: Array<boolean> = [];
      const Looks = Workflow.make("Looks", {
        payload: Id,
        success: Schema.String,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Looks.toLayer(Effect.fnUntraced(function* () {
        for (let look = 1;; look++) {
          const found = yield* engine.deferredResult(Approval);
          seen.push(Option.isSome(found));
          if (Option.isSome(found)) return (yield* found.value).by;
          yield* DurableClock.sleep({ name: `behind look ${look}`, duration: 10 });
        }
      }));
      yield* Effect.gen(function* () {
        yield* Looks.execute({ id: "1" }, { discard: true });
        yield* until(Effect.sync(() => seen), ({ length }) => length > 0);
        yield* approve(Looks, { id: "1" }, "ana");
        assert.equal(yield* Looks.execute({ id: "1" }), "ana");
        assert.deepEqual(new Set(seen), new Set([false, true]));
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "several are awaited at once, in whatever order they are done",
    Effect.gen(function* () {
      const names = ["a", "b", "c"];
      const deferreds = names.map((name) => DurableDeferred.make(name, { success: Schema.String }));
      const Many = Workflow.make("Many", {
        payload: Id,
        success: Schema.Array(Schema.String),
        idempotencyKey: byId,
      });
      const live = Many.toLayer(() =>
        Effect.all(deferreds.map((each) => DurableDeferred.await(each)), {
          concurrency: "unbounded",
        })
      );
      yield* Effect.gen(function* () {
        const executionId = yield* Many.execute({ id: "1" }, { discard: true });
        for (const each of deferreds.toReversed()) {
          yield* parked(Many.poll(executionId));
          const token = DurableDeferred.tokenFromExecutionId(each, { workflow: Many, executionId });
          yield* DurableDeferred.succeed(each, { token, value: `${each.name} is done` });
        }
        const results = yield* Many.execute({ id: "1" });
        assert.deepEqual(results, names.map((name) => `${name} is done`));
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "the workflow may do its own, in its body, in an activity and when it cleans up",
    Effect.gen(function* () {
      const Own = ["body", "activity", "end"].map((name) =>
        DurableDeferred.make(name, { success: Schema.String })
      );
      const Itself = Workflow.make("Itself", {
        payload: Id,
        success: Schema.Array(Schema.String),
        idempotencyKey: byId,
      });
      const [ofBody, ofActivity, ofEnd] = Own as [typeof Own[0], typeof Own[0], typeof Own[0]];
      const finish = Effect.fnUntraced(function* (deferred: typeof ofBody, value: string) {
        const token = yield* DurableDeferred.token(deferred);
        yield* DurableDeferred.succeed(deferred, { token, value });
      });
      const live = Itself.toLayer(Effect.fnUntraced(function* () {
        yield* Workflow.addFinalizer(() => finish(ofEnd, "at the end"));
        yield* finish(ofBody, "first");
        yield* finish(ofBody, "second");
        yield* Activity.make({ name: "finishes", execute: finish(ofActivity, "in an activity") });
        return yield* Effect.all([ofBody, ofActivity].map((each) => DurableDeferred.await(each)));
      }));
      const result = yield* Itself.execute({ id: "1" }).pipe(Effect.provide(live));
      assert.deepEqual(result, ["first", "in an activity"]);
    }),
  );

  test(
    "what is put into a deferred is done once, and its end is the deferred's",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Kept = DurableDeferred.make("kept", { success: Schema.String, error: Declined });
      const Puts = Workflow.make("Puts", {
        payload: { id: Schema.String, fails: Schema.Boolean },
        success: Schema.Array(Schema.String),
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Puts.toLayer(Effect.fnUntraced(function* ({ fails }) {
        const work = fails ? new Declined({ code: 4 }) : act(ran, "work");
        yield* Effect.exit(DurableDeferred.into(work, Kept));
        yield* DurableDeferred.await(Approval);
        return [yield* DurableDeferred.await(Kept)];
      }));
      yield* Effect.gen(function* () {
        for (const [id, fails] of [["1", false], ["2", true]] as const) {
          const execution = yield* Puts.execute({ id, fails }, { discard: true });
          yield* parked(Puts.poll(execution));
          yield* approve(Puts, { id, fails }, "ana");
          const exit = yield* Effect.exit(Puts.execute({ id, fails }));
          if (fails) assertDeclined(exit, 4);
          else assert.deepEqual(exit, Exit.succeed(["work"]));
        }
        assert.deepEqual(ran, ["work"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "each attempt of an activity can have a deferred of its own",
    Effect.gen(function* () {
      const Asked = DurableDeferred.make("asked", { success: Schema.Boolean });
      const Asks = Workflow.make("Asks", {
        payload: Id,
        success: Schema.Int,
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Asks.toLayer(() =>
        Effect.gen(function* () {
          const attempt = yield* Activity.CurrentAttempt;
          const ofAttempt = yield* Asked.withActivityAttempt;
          const isGiven = yield* DurableDeferred.await(ofAttempt);
          return isGiven ? attempt : yield* new Declined({ code: attempt });
        }).pipe(Activity.retry({ times: 3 }))
      );
      yield* Effect.gen(function* () {
        const executionId = yield* Asks.execute({ id: "1" }, { discard: true });
        for (const attempt of [1, 2]) {
          yield* parked(Asks.poll(executionId));
          const each = DurableDeferred.make(`asked/${attempt}`, { success: Schema.Boolean });
          const token = DurableDeferred.tokenFromExecutionId(each, { workflow: Asks, executionId });
          yield* DurableDeferred.succeed(each, { token, value: attempt === 2 });
        }
        assert.equal(yield* Asks.execute({ id: "1" }), 2);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an activity that is called like what is waited for, or was done, is not taken for it",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const acts = ["done mail", "deferred asked", "clock DurableClock", "'done mail"];
      const names = ["mail/1", "asked/1", "before the start"];
      const Alike = Workflow.make("Alike", {
        payload: Id,
        success: Schema.Array(Schema.String),
        error: Declined,
        idempotencyKey: byId,
      });
      const live = Alike.toLayer(Effect.fnUntraced(function* () {
        const acted = yield* Effect.forEach(acts, (name) => act(ran, name));
        yield* DurableDeferred.await(Approval);
        yield* DurableClock.sleep({ name: "1", duration: "1 millis", inMemoryThreshold: 0 });
        const done = yield* Effect.forEach(names, (name) =>
          Effect.gen(function* () {
            const deferred = DurableDeferred.make(name, { success: Schema.String });
            const token = yield* DurableDeferred.token(deferred);
            yield* DurableDeferred.succeed(deferred, { token, value: `${name} is done` });
            return yield* DurableDeferred.await(deferred);
          }));
        return [...acted, ...done];
      }));
      yield* Effect.gen(function* () {
        yield* parked(Alike.poll(yield* Alike.execute({ id: "1" }, { discard: true })));
        yield* approve(Alike, { id: "1" }, "ana");
        assert.deepEqual(yield* Alike.execute({ id: "1" }), [
          ...acts,
          ...names.map((name) => `${name} is done`),
        ]);
        assert.deepEqual(ran, acts);
      }).pipe(Effect.provide(live));
    }),
  );
};
