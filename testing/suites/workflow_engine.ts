/** What is asked of Effect's `WorkflowEngine`, whoever implements it. */
import assert from "node:assert/strict";
import * as Cause from "effect/Cause";
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { cases, type SuiteOptions } from "./suite.ts";

class Declined extends Schema.TaggedError<Declined>()("Declined", { code: Schema.Int }) {}

const Id = { id: Schema.String };
const byId = ({ id }: { readonly id: string }) => id;

const note = (list: Array<string>, what: string) => Effect.sync(() => void list.push(what));

/** An activity that notes that it ran. */
const act = (list: Array<string>, name: string) =>
  Activity.make({ name, success: Schema.String, execute: Effect.as(note(list, name), name) });

/** Looks until an execution is parked. */
const parked = <A, E, R>(
  poll: Effect.Effect<Option.Option<Workflow.Result<A, E>>, never, R>,
) =>
  poll.pipe(
    Effect.repeat({
      until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
      schedule: Schedule.spaced("10 millis"),
    }),
    Effect.timeout("30 seconds"),
  );

export const workflowEngineSuite = (
  name: string,
  makeLayer: () => Layer.Layer<WorkflowEngine, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases<WorkflowEngine>(name, makeLayer, options);

  test(
    "a workflow gives its result, and is the same execution whenever it is executed again",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Hello = Workflow.make("Hello", {
        payload: { name: Schema.String, at: Schema.Date },
        success: Schema.Struct({ greeting: Schema.String, at: Schema.Date }),
        idempotencyKey: ({ name }) => name,
      });
      const live = Hello.toLayer(Effect.fnUntraced(function* ({ name, at }) {
        const greeting = yield* Activity.make({
          name: "greet",
          success: Schema.String,
          execute: Effect.as(note(ran, "greet"), `hello ${name}`),
        });
        return { greeting, at };
      }));
      const at = new Date(1_700_000_000_000);
      yield* Effect.gen(function* () {
        const first = yield* Hello.execute({ name: "ana", at });
        assert.deepEqual(first, { greeting: "hello ana", at });
        const again = yield* Hello.execute({ name: "ana", at: new Date(0) });
        assert.deepEqual(again, first);
        assert.deepEqual(ran, ["greet"]);
        const id = yield* Hello.execute({ name: "bo", at }, { discard: true });
        assert.equal(id, yield* Hello.executionId({ name: "bo", at }));
        assert.equal((yield* Hello.execute({ name: "bo", at })).greeting, "hello bo");
        const found = yield* Hello.poll(id);
        assert.ok(Option.isSome(found) && found.value._tag === "Complete");
        assert.deepEqual(yield* Hello.poll("0".repeat(32)), Option.none());
      }).pipe(Effect.provide(live));
    }),
  );

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
    "an error is of its class again at the caller, and a defect is a defect",
    Effect.gen(function* () {
      const Fails = Workflow.make("Fails", {
        payload: { how: Schema.Literals(["declines", "dies"]) },
        error: Declined,
        idempotencyKey: ({ how }) => how,
      });
      const live = Fails.toLayer(({ how }) =>
        how === "dies"
          ? Effect.die(new Error("a bug"))
          : Activity.make({ name: "charge", error: Declined, execute: new Declined({ code: 7 }) })
      );
      yield* Effect.gen(function* () {
        const error = yield* Effect.flip(Fails.execute({ how: "declines" }));
        assert.ok(error instanceof Declined);
        assert.equal(error.code, 7);
        const exit = yield* Effect.exit(Fails.execute({ how: "dies" }));
        assert.ok(Exit.isFailure(exit) && Cause.hasDies(exit.cause));
        assert.match(Cause.pretty(exit.cause), /a bug/);
      }).pipe(Effect.provide(live));
    }),
  );

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

  const Approval = DurableDeferred.make("approval", {
    success: Schema.Struct({ by: Schema.String }),
    error: Declined,
  });
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
    const token = (id: string) =>
      DurableDeferred.tokenFromPayload(Approval, { workflow: Approved, payload: { id } });
    return { Approved, live, token };
  };

  test(
    "who waits for a deferred goes on with what it was done with first",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const { Approved, live, token } = approving("Approved", ran);
      yield* Effect.gen(function* () {
        const waiting = yield* Effect.forkChild(Approved.execute({ id: "1" }));
        yield* parked(Approved.poll(yield* Approved.executionId({ id: "1" })));
        assert.deepEqual(ran, ["before"]);
        for (const by of ["ana", "bo"]) {
          yield* DurableDeferred.succeed(Approval, { token: yield* token("1"), value: { by } });
        }
        assert.equal(yield* Fiber.join(waiting), "ana");
        assert.deepEqual(ran, ["before", "after"]);

        const refused = yield* Effect.forkChild(Effect.flip(Approved.execute({ id: "2" })));
        yield* parked(Approved.poll(yield* Approved.executionId({ id: "2" })));
        yield* DurableDeferred.fail(Approval, {
          token: yield* token("2"),
          error: new Declined({ code: 9 }),
        });
        const error = yield* Fiber.join(refused);
        assert.ok(error instanceof Declined);

        yield* DurableDeferred.done(Approval, {
          token: yield* token("3"),
          exit: Exit.die(new Error("a bug")),
        });
        const died = yield* Effect.exit(Approved.execute({ id: "3" }));
        assert.match(String(died), /a bug/);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a deferred may be done before anybody waits for it, and before there is an execution",
    Effect.gen(function* () {
      const { Approved, live, token } = approving("Early", []);
      yield* Effect.gen(function* () {
        yield* DurableDeferred.succeed(Approval, {
          token: yield* token("1"),
          value: { by: "ana" },
        });
        assert.equal(yield* Approved.execute({ id: "1" }), "ana");
      }).pipe(Effect.provide(live));
    }),
  );

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
};
