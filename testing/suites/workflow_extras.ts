/** What is asked of the primitives that Weir has beyond Effect's, whichever engine they run on. */
import assert from "node:assert/strict";
import * as Cron from "effect/Cron";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import * as Activity from "effect/workflow/Activity";
import * as DurableClock from "effect/workflow/DurableClock";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import * as Workflow from "effect/workflow/Workflow";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import * as ContinueAsNew from "../../actors/workflow/continue_as_new.ts";
import * as DurableMailbox from "../../actors/workflow/durable_mailbox.ts";
import * as DurableState from "../../actors/workflow/durable_state.ts";
import * as DurableUpdate from "../../actors/workflow/durable_update.ts";
import * as WorkflowCron from "../../actors/workflow/workflow_cron.ts";
import type { WorkflowExtras } from "../../actors/workflow/workflow_extras.ts";
import * as WorkflowVersion from "../../actors/workflow/workflow_version.ts";
import { cases, type SuiteOptions } from "./suite.ts";

class TooMuch extends Schema.TaggedError<TooMuch>()("TooMuch", { left: Schema.Int }) {}

const Id = { id: Schema.String };
const byId = ({ id }: { readonly id: string }) => id;

const note = (list: Array<string>, what: string) => Effect.sync(() => void list.push(what));

const act = (list: Array<string>, name: string) =>
  Activity.make({ name, success: Schema.String, execute: Effect.as(note(list, name), name) });

const Items = DurableMailbox.make("items", { schema: Schema.Struct({ at: Schema.Date }) });
const Words = DurableMailbox.make("words", { schema: Schema.String });
const Phase = DurableState.make("phase", Schema.Literals(["begun", "counting", "done"]));
const Stop = DurableDeferred.make("stop", { success: Schema.String });
const Withdraw = DurableUpdate.make("withdraw", {
  payload: Schema.Struct({ amount: Schema.Int }),
  success: Schema.Int,
  error: TooMuch,
});

/** Looks until a cell holds something. */
const shows = <A, E, R>(read: Effect.Effect<Option.Option<A>, E, R>, expected: A) =>
  read.pipe(
    Effect.repeat({
      until: (found) => Option.isSome(found) && found.value === expected,
      schedule: Schedule.spaced("10 millis"),
    }),
    Effect.timeout("30 seconds"),
  );

export const workflowExtrasSuite = (
  name: string,
  makeLayer: () => Layer.Layer<WorkflowEngine | WorkflowExtras, unknown>,
  options: SuiteOptions,
): void => {
  const test = cases<WorkflowEngine | WorkflowExtras>(name, makeLayer, options);

  test(
    "messages are taken in their order, each once, and a repeated one is none",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Reader = Workflow.make("Reader", {
        payload: Id,
        success: Schema.Array(Schema.String),
        idempotencyKey: byId,
      });
      const live = Reader.toLayer(Effect.fnUntraced(function* () {
        yield* DurableState.set(Phase, "begun");
        const words: Array<string> = [];
        for (let count = 0; count < 4; count++) {
          words.push(yield* DurableMailbox.take(Words));
          yield* act(ran, `took ${count}`);
          // A wait in between has the body run again, where an engine works that way.
          yield* DurableClock.sleep({ name: `${count}`, duration: 20, inMemoryThreshold: 0 });
        }
        const { at } = yield* DurableMailbox.take(Items);
        return [...words, at.toISOString()];
      }));
      yield* Effect.gen(function* () {
        const executionId = yield* Reader.execute({ id: "1" }, { discard: true });
        const to = { workflow: Reader, executionId };
        yield* shows(DurableState.read(Phase, to), "begun");
        for (const [value, id] of [["a", "1"], ["b", "2"], ["a", "1"], ["c", "3"], ["b", "2"]]) {
          yield* DurableMailbox.offer(Words, { ...to, value: value!, id: id! });
        }
        yield* DurableMailbox.offer(Items, { ...to, value: { at: new Date(0) } });
        yield* DurableMailbox.offer(Words, { ...to, value: "d" });
        const read = yield* Reader.execute({ id: "1" });
        assert.deepEqual(read, ["a", "b", "c", "d", "1970-01-01T00:00:00.000Z"]);
        assert.deepEqual(ran, ["took 0", "took 1", "took 2", "took 3"]);
        const late = yield* Effect.flip(DurableMailbox.offer(Words, { ...to, value: "e" }));
        assert.equal(late._tag, "ExecutionEnded");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "who waits for a message only so long goes on without, and misses none",
    Effect.gen(function* () {
      const Patient = Workflow.make("Patient", {
        payload: Id,
        success: Schema.Array(Schema.String),
        idempotencyKey: byId,
      });
      const live = Patient.toLayer(Effect.fnUntraced(function* () {
        const none = yield* DurableMailbox.takeOption(Words, { within: "20 millis" });
        yield* DurableState.set(Phase, "counting");
        const first = yield* DurableMailbox.takeOption(Words, { within: "1 hour" });
        const second = yield* DurableMailbox.takeOption(Words, { until: Stop });
        yield* DurableState.set(Phase, "done");
        const third = yield* DurableMailbox.take(Words);
        return [none, first, second, Option.some(third)].map(Option.getOrElse(() => "none"));
      }));
      yield* Effect.gen(function* () {
        const executionId = yield* Patient.execute({ id: "1" }, { discard: true });
        const to = { workflow: Patient, executionId };
        yield* shows(DurableState.read(Phase, to), "counting");
        yield* DurableMailbox.offer(Words, { ...to, value: "a" });
        const token = DurableDeferred.tokenFromExecutionId(Stop, to);
        yield* DurableDeferred.succeed(Stop, { token, value: "ana" });
        yield* shows(DurableState.read(Phase, to), "done");
        yield* DurableMailbox.offer(Words, { ...to, value: "b" });
        assert.deepEqual(yield* Patient.execute({ id: "1" }), ["none", "a", "none", "b"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "what is set is seen from outside, each change of it, and after the end",
    Effect.gen(function* () {
      const Shown = Workflow.make("Shown", { payload: Id, idempotencyKey: byId });
      const live = Shown.toLayer(Effect.fnUntraced(function* () {
        assert.deepEqual(yield* DurableState.get(Phase), Option.none());
        yield* DurableState.set(Phase, "begun");
        assert.deepEqual(yield* DurableState.get(Phase), Option.some("begun"));
        yield* DurableMailbox.take(Words);
        yield* DurableState.set(Phase, "counting");
        yield* DurableMailbox.take(Words);
        yield* DurableState.set(Phase, "done");
      }));
      yield* Effect.gen(function* () {
        const executionId = yield* Shown.execute({ id: "1" }, { discard: true });
        const of = { workflow: Shown, executionId };
        yield* shows(DurableState.read(Phase, of), "begun");
        const watching = yield* DurableState.changes(Phase, of).pipe(
          Stream.tap((phase) =>
            phase === "done"
              ? Effect.void
              : Effect.orDie(DurableMailbox.offer(Words, { ...of, value: phase, id: phase }))
          ),
          Stream.runCollect,
          Effect.forkChild,
        );
        yield* Shown.execute({ id: "1" });
        assert.deepEqual(yield* Fiber.join(watching), ["begun", "counting", "done"]);
        assert.deepEqual(yield* DurableState.read(Phase, of), Option.some("done"));
        const later = yield* Stream.runCollect(DurableState.changes(Phase, of));
        assert.deepEqual(later, ["done"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a request is answered once, by its result or its error, and after the end no more",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Account = Workflow.make("Account", {
        payload: { id: Schema.String, balance: Schema.Int },
        success: Schema.Int,
        idempotencyKey: byId,
      });
      const live = Account.toLayer(Effect.fnUntraced(function* ({ balance }) {
        let left = balance;
        yield* DurableUpdate.serve(
          Withdraw,
          Effect.fnUntraced(function* ({ amount }, id) {
            yield* act(ran, `withdraw ${id}`);
            if (amount > left) return yield* new TooMuch({ left });
            left -= amount;
            return left;
          }),
          { until: Stop },
        );
        return left;
      }));
      yield* Effect.gen(function* () {
        const executionId = yield* Account.execute({ id: "1", balance: 10 }, { discard: true });
        const to = { workflow: Account, executionId };
        const withdraw = (amount: number, id: string) =>
          DurableUpdate.request(Withdraw, { ...to, payload: { amount }, id });
        assert.equal(yield* withdraw(3, "a"), 7);
        const error = yield* Effect.flip(withdraw(8, "b"));
        assert.ok(error instanceof TooMuch);
        assert.equal(error.left, 7);
        assert.equal(yield* withdraw(3, "a"), 7);
        const both = [withdraw(1, "c"), withdraw(1, "d")];
        const answers = yield* Effect.all(both, { concurrency: "unbounded" });
        assert.deepEqual([...answers].sort(), [5, 6]);
        const token = DurableDeferred.tokenFromExecutionId(Stop, to);
        yield* DurableDeferred.succeed(Stop, { token, value: "ana" });
        assert.equal(yield* Account.execute({ id: "1", balance: 10 }), 5);
        assert.equal(yield* withdraw(1, "d"), answers[1]);
        const late = yield* Effect.flip(withdraw(1, "e"));
        assert.equal(late._tag, "ExecutionEnded");
        assert.deepEqual(ran.sort(), ["a", "b", "c", "d"].map((id) => `withdraw ${id}`));
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a request that a workflow ends without answering fails",
    Effect.gen(function* () {
      const Deaf = Workflow.make("Deaf", { payload: Id, idempotencyKey: byId });
      const live = Deaf.toLayer(() => Effect.asVoid(DurableDeferred.await(Stop)));
      yield* Effect.gen(function* () {
        const executionId = yield* Deaf.execute({ id: "1" }, { discard: true });
        const to = { workflow: Deaf, executionId };
        const asked = yield* Effect.forkChild(
          Effect.flip(DurableUpdate.request(Withdraw, { ...to, payload: { amount: 1 } })),
          { startImmediately: true },
        );
        const token = DurableDeferred.tokenFromExecutionId(Stop, to);
        yield* DurableDeferred.succeed(Stop, { token, value: "ana" });
        assert.equal((yield* Fiber.join(asked))._tag, "ExecutionEnded");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a workflow that is continued gives the last result, has all messages, and is not undone",
    Effect.gen(function* () {
      const ran: Array<string> = [];
      const Counter = Workflow.make("Counter", {
        payload: { id: Schema.String, round: Schema.Int, sum: Schema.Int },
        success: Schema.Int,
        idempotencyKey: byId,
      });
      const Numbers = DurableMailbox.make("numbers", { schema: Schema.Int });
      const live = Counter.toLayer(Effect.fnUntraced(function* ({ id, round, sum }) {
        yield* act(ran, "begin").pipe(Counter.withCompensation(() => note(ran, "undo")));
        yield* DurableState.set(Phase, round === 0 ? "begun" : "counting");
        const next = sum + (yield* DurableMailbox.take(Numbers)) +
          (yield* DurableMailbox.take(Numbers));
        if (round === 2) return next;
        return yield* ContinueAsNew.continueAsNew(Counter, { id, round: round + 1, sum: next });
      }));
      const first = { id: "1", round: 0, sum: 0 };
      yield* Effect.gen(function* () {
        const executionId = yield* Counter.execute(first, { discard: true });
        const to = { workflow: Counter, executionId };
        const waiting = yield* Effect.forkChild(Counter.execute(first));
        for (const value of [1, 2, 3]) {
          yield* DurableMailbox.offer(Numbers, { ...to, value, id: `${value}` });
        }
        yield* shows(DurableState.read(Phase, to), "counting");
        for (const value of [1, 2, 3, 4, 5, 6]) {
          yield* DurableMailbox.offer(Numbers, { ...to, value, id: `${value}` });
        }
        assert.equal(yield* Fiber.join(waiting), 21);
        assert.equal(yield* Counter.execute(first), 21);
        assert.deepEqual(ran, ["begin", "begin", "begin"]);
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "a deferred that was done is done for whatever the workflow is continued as",
    Effect.gen(function* () {
      const Twice = Workflow.make("Twice", {
        payload: { id: Schema.String, round: Schema.Int },
        success: Schema.String,
        idempotencyKey: byId,
      });
      const live = Twice.toLayer(Effect.fnUntraced(function* ({ id, round }) {
        const by = yield* DurableDeferred.await(Stop);
        if (round === 1) return by;
        return yield* ContinueAsNew.continueAsNew(Twice, { id, round: 1 });
      }));
      yield* Effect.gen(function* () {
        const executionId = yield* Twice.execute({ id: "1", round: 0 }, { discard: true });
        const token = DurableDeferred.tokenFromExecutionId(Stop, { workflow: Twice, executionId });
        yield* DurableDeferred.succeed(Stop, { token, value: "ana" });
        assert.equal(yield* Twice.execute({ id: "1", round: 0 }), "ana");
      }).pipe(Effect.provide(live));
    }),
  );

  test(
    "an execution goes the way of the code that it began with",
    Effect.gen(function* () {
      const Changed = Workflow.make("Changed", {
        payload: Id,
        success: Schema.Struct({ isPatched: Schema.Boolean, version: Schema.Int }),
        idempotencyKey: byId,
      });
      const live = Changed.toLayer(Effect.fnUntraced(function* () {
        const isPatched = yield* WorkflowVersion.patched("new price");
        const version = yield* WorkflowVersion.version({ id: "tax", min: 2, max: 3 });
        yield* DurableClock.sleep({ name: "nap", duration: 20, inMemoryThreshold: 0 });
        return { isPatched, version };
      }));
      const found = yield* Changed.execute({ id: "1" }).pipe(Effect.provide(live));
      assert.deepEqual(found, { isPatched: true, version: 3 });
    }),
  );

  test(
    "a calendar starts one execution for each tick, however many keep it",
    Effect.gen(function* () {
      const ticks: Array<number> = [];
      const Tick = Workflow.make("Tick", {
        payload: { at: Schema.Number },
        idempotencyKey: ({ at }) => `${at}`,
      });
      const live = Tick.toLayer(({ at }) =>
        Activity.make({ name: "tick", execute: Effect.sync(() => void ticks.push(at)) })
      );
      const keeping = () =>
        WorkflowCron.layer(Tick, {
          cron: Cron.parseUnsafe("* * * * * *"),
          payload: (at) => ({ at: at.getTime() }),
        });
      yield* Effect.sync(() => ticks.length).pipe(
        Effect.repeat({ until: (count) => count >= 3, schedule: Schedule.spaced("20 millis") }),
        Effect.timeout("30 seconds"),
        Effect.provide(Layer.merge(keeping(), keeping()).pipe(Layer.provideMerge(live))),
      );
      const [first] = ticks;
      assert.equal(first! % 1_000, 0);
      assert.deepEqual(ticks, ticks.map((_, index) => first! + 1_000 * index));
    }),
  );

  test(
    "what a body counts is refused where a record stands for what is done",
    Effect.gen(function* () {
      const Hidden = Workflow.make("Hidden", { payload: Id, idempotencyKey: byId });
      const live = Hidden.toLayer(({ id }) =>
        id === "activity"
          ? Activity.make({ name: "hidden", execute: DurableState.set(Phase, "begun") })
          : DurableDeferred.raceAll({
            name: "hidden",
            success: Schema.String,
            error: Schema.Never,
            effects: [DurableMailbox.take(Words)],
          })
      );
      yield* Effect.gen(function* () {
        for (const id of ["activity", "race"]) {
          const exit = yield* Effect.exit(Hidden.execute({ id }));
          assert.ok(Exit.isFailure(exit));
          assert.match(String(exit), /where a record stands/);
        }
      }).pipe(Effect.provide(live));
    }),
  );
};
