/** What budgets promise to tasks: none begins when nothing is left, and all go on as soon as there is. */
import assert from "node:assert/strict";
import { suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import * as Post from "../../../actors/engine/post.ts";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { BudgetName } from "../../../schema/budget.ts";
import { BudgetExhausted } from "../../../schema/execution_errors.ts";
import { Budgets } from "../../../streams/budgets.ts";
import { spendAddress, spendFilter } from "../../../streams/budgets/places.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { type Run, tenant } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  resultOf,
  type Services,
  signal,
  type Stage,
  until,
  untilStatus,
  untilTrue,
  verb,
} from "./stage.ts";

const go = defineSignal("go");

/** A budget that no other test has, with something left of it or nothing. */
const budget = (stage: Stage, name: string, used: number) =>
  Effect.gen(function* () {
    const budgets = yield* Budgets;
    const own = BudgetName.make(stage.name(name));
    yield* budgets.allocate(tenant, own, { token: 10 });
    if (used > 0) yield* budgets.consume(tenant, [own], { token: used });
    return own;
  });

const use = <A, E>(act: (budgets: Budgets["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Budgets, act);

const reset = (name: BudgetName) => use((budgets) => budgets.reset(tenant, name));
const drain = (name: BudgetName) =>
  use((budgets) => budgets.consume(tenant, [name], { token: 10 }, { overage: "allow" }));

const waitsForBudget = (of: Named) =>
  until(
    `${of.execution} waits for a budget`,
    Effect.map(describe(of), ({ reason }) => reason === "budget"),
  );

const waitersOf = (name: BudgetName) =>
  Effect.gen(function* () {
    const log = yield* Log;
    const filter = spendFilter(spendAddress(log.layout, tenant, name, "waiters"));
    const found = yield* Stream.runCollect(log.read(filter));
    return Array.from(found).filter(({ removed }) => !removed).length;
  });

/** The words of work in which an execution was told to rest and to go on. */
const restsOf = (of: Named) =>
  verb((executions) =>
    Effect.map(
      Stream.runCollect(executions.workHistory(of)),
      (events) =>
        Array.from(events).flatMap((event) =>
          event.kind === "runSuspended"
            ? [event.reason]
            : event.kind === "runResumed"
            ? ["resumed"]
            : []
        ),
    )
  );

const depose = (of: Named) =>
  Effect.gen(function* () {
    const post = Post.make(yield* Log);
    yield* (yield* Leases).revoke(post.addressOf(of.execution, of.tenant), { by: "operator" });
  }).pipe(Effect.catchTag("LeaseNotHeld", () => Effect.void));

export const budgetingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: budgeting`, () => {
    for (const residentGrace of ["5 seconds" as const, atOnce]) {
      test(`what is bound to an exhausted budget begins when that is reset (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          let begun = 0;
          const one = stage.actor("one", (ctx) => ctx.run("begin", () => ++begun));
          yield* stage.work([one], { residentGrace });
          const flow = yield* budget(stage, "flow", 10);
          const waits = yield* stage.start(one, undefined, { budgets: [flow] });
          yield* waitsForBudget(waits);
          assert.deepEqual((yield* describe(waits)).budget, { name: flow, dimension: "token" });
          assert.deepEqual([begun, yield* waitersOf(flow)], [0, 1]);
          yield* reset(flow);
          assert.equal(yield* resultOf(waits), 1);
          yield* until("nobody waits", Effect.map(waitersOf(flow), (count) => count === 0));
          // It had not begun, so it was never suspended.
          assert.deepEqual(yield* restsOf(waits), []);
        }));

      test(`the next attempt waits, and its time does not run (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          let attempts = 0;
          const flow = yield* budget(stage, "flow", 0);
          const flaky = stage.actor("flaky", async (ctx) => {
            await ctx.run("kept", () => attempts);
            if (++attempts === 1) throw new Error("not yet");
            return ctx.run("last", () => attempts);
          });
          yield* stage.work([flaky], { residentGrace });
          yield* drain(flow);
          const one = yield* stage.start(flaky, undefined, {
            budgets: [flow],
            retry: { attempts: 2, delay: "10 millis" },
            timeout: "2 seconds",
          });
          yield* waitsForBudget(one);
          yield* reset(flow);
          yield* untilTrue("the first attempt has failed", () => attempts === 1);
          yield* resultOf(one);
          assert.deepEqual([attempts, (yield* describe(one)).steps["kept"]], [
            2,
            { type: "value", value: 0 },
          ]);
        }));
    }

    test("an attempt that failed is followed by one that waits", (stage) =>
      Effect.gen(function* () {
        let attempts = 0;
        const flow = yield* budget(stage, "flow", 0);
        const budgets = yield* Budgets;
        const flaky = stage.actor("flaky", async (ctx) => {
          await ctx.run(
            "use up",
            () =>
              Effect.runPromise(
                budgets.consume(tenant, [flow], { token: 10 }, { overage: "allow" }),
              ),
          );
          if (++attempts === 1) throw new Error("not yet");
        });
        yield* stage.work([flaky], { residentGrace: atOnce });
        const one = yield* stage.start(flaky, undefined, {
          budgets: [flow],
          retry: { attempts: 2, delay: "1 millis" },
        });
        yield* waitsForBudget(one);
        assert.equal(attempts, 1);
        yield* depose(one);
        yield* reset(flow);
        yield* resultOf(one);
        assert.equal(attempts, 2);
      }));

    test("who is cancelled while it waits is told of nothing, by force as well", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", (ctx) => ctx.run("begin", () => 1));
        yield* stage.work([one], { residentGrace: atOnce });
        const flow = yield* budget(stage, "flow", 10);
        for (const force of [true, false]) {
          const waits = yield* stage.start(one, undefined, { id: `${force}`, budgets: [flow] });
          yield* waitsForBudget(waits);
          yield* verb((verbs) => verbs.cancel(waits, { force }));
          yield* untilStatus(waits, "cancelled");
          yield* until("nobody waits", Effect.map(waitersOf(flow), (count) => count === 0));
        }
        yield* reset(flow);
      }));

    for (const residentGrace of ["5 seconds" as const, atOnce]) {
      test(`what has something to undo undoes it when it is cancelled between two attempts (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          const undone: Array<string> = [];
          const flow = yield* budget(stage, "flow", 0);
          let attempts = 0;
          const books = stage.actor("books", async (ctx) => {
            await ctx.run("book", () => 1);
            try {
              if (++attempts === 1) throw new Error("not yet");
              await ctx.wait(go);
            } catch (error) {
              if (ctx.cancelled.aborted) await ctx.run("undo", () => void undone.push("book"));
              throw error;
            }
          });
          yield* stage.work([books], { residentGrace });
          const one = yield* stage.start(books, undefined, {
            budgets: [flow],
            retry: { attempts: 3, delay: "500 millis" },
          });
          yield* untilTrue("it has failed", () => attempts === 1);
          yield* drain(flow);
          yield* waitsForBudget(one);
          yield* verb((verbs) => verbs.cancel(one));
          yield* untilStatus(one, "cancelled");
          assert.deepEqual(undone, ["book"]);
        }));
    }

    test("a budget comes before a queue: who waits for it takes no seat", (stage) =>
      Effect.gen(function* () {
        const one = stage.actor("one", (ctx) => ctx.run("begin", () => 1));
        yield* stage.work([one], { residentGrace: atOnce, queues: true });
        const flow = yield* budget(stage, "flow", 10);
        const queue = { name: stage.name("q"), key: "k" };
        const waits = yield* stage.start(one, undefined, { id: "a", budgets: [flow], queue });
        yield* waitsForBudget(waits);
        yield* resultOf(yield* stage.start(one, undefined, { id: "b", queue }));
        yield* reset(flow);
        assert.equal(yield* resultOf(waits), 1);
      }));

    test("children are bound to what their parent is bound to", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", (ctx) => ctx.run("begin", () => 1));
        const parent = stage.actor("parent", async (ctx) => {
          await ctx.wait(go);
          return ctx.call(child, undefined, { id: `of-${stage.name("child")}` });
        });
        yield* stage.work([child, parent], { residentGrace: atOnce });
        const flow = yield* budget(stage, "flow", 0);
        const one = yield* stage.start(parent, undefined, {
          budgets: [{ name: flow, onExhausted: "warn" }],
        });
        yield* untilStatus(one, "suspended");
        yield* drain(flow);
        yield* signal(one, "go");
        const execution = yield* until(
          "the child is called",
          Effect.map(describe(one), ({ waitingFor: [first] }) =>
            first?.kind === "call" && first.execution),
        );
        const called = stage.follow(execution);
        yield* waitsForBudget(called);
        yield* reset(flow);
        assert.equal(yield* resultOf(one), 1);
      }));

    test("many that wait in many workers all begin, each once", (stage) =>
      Effect.gen(function* () {
        const begun: Array<string> = [];
        const one = stage.actor(
          "one",
          (ctx) => ctx.run("begin", () => void begun.push(ctx.executionId)),
        );
        for (let i = 0; i < 3; i++) yield* stage.work([one], { residentGrace: atOnce });
        const flow = yield* budget(stage, "flow", 10);
        const started = yield* Effect.forEach(
          Array.from({ length: 40 }, (_, i) => `many-${i}`),
          (id) => stage.start(one, undefined, { id, budgets: [flow] }),
          { concurrency: 8 },
        );
        yield* Effect.forEach(started, waitsForBudget, { concurrency: 8 });
        yield* reset(flow);
        yield* Effect.forEach(started, (each) => resultOf(each), { concurrency: "unbounded" });
        assert.equal(begun.length, 40);
        assert.equal(new Set(begun).size, 40);
      }));

    for (const residentGrace of ["5 seconds" as const, atOnce]) {
      test(`what runs is suspended before its next step, and goes on there (${residentGrace})`, (stage) =>
        Effect.gen(function* () {
          const done: Array<string> = [];
          const flow = yield* budget(stage, "flow", 0);
          const two = stage.actor("two", async (ctx) => {
            await ctx.run("first", () => void done.push("first"));
            await ctx.wait(go);
            await ctx.run("second", () => void done.push("second"));
            await ctx.run("third", () => void done.push("third"));
          });
          yield* stage.work([two], { residentGrace });
          const one = yield* stage.start(two, undefined, { budgets: [flow], timeout: "1 hour" });
          yield* untilTrue("it is half done", () => done.length === 1);
          yield* drain(flow);
          yield* signal(one, "go");
          yield* waitsForBudget(one);
          assert.deepEqual(done, ["first"]);
          yield* depose(one);
          yield* reset(flow);
          yield* resultOf(one);
          assert.deepEqual(done, ["first", "second", "third"]);
          const rests = (yield* restsOf(one)).filter((rest) => rest?.startsWith("budget"));
          assert.deepEqual(rests, [`budget: no token left in ${flow}`]);
        }));
    }

    test("being suspended ten times is no attempt, and the time of one begins anew", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        let failures = 0;
        const steps = Array.from({ length: 10 }, (_, i) => `step ${i}`);
        const many = stage.actor("many", async (ctx) => {
          for (const step of steps) {
            await ctx.wait(go);
            await ctx.run(step, () => step);
          }
          failures++;
          throw new Error("at last");
        });
        yield* stage.work([many], { residentGrace: atOnce });
        const one = yield* stage.start(many, undefined, {
          budgets: [flow],
          retry: { attempts: 2, delay: "1 millis" },
          timeout: "2 seconds",
        });
        for (const step of steps) {
          yield* drain(flow);
          yield* signal(one, "go");
          yield* waitsForBudget(one);
          if (step === "step 5") yield* Effect.sleep("3 seconds");
          yield* reset(flow);
          yield* until(
            `${step} is done`,
            Effect.map(describe(one), ({ steps }) => steps[step] !== undefined),
          );
        }
        yield* untilStatus(one, "failed");
        assert.equal(failures, 2);
        assert.equal((yield* describe(one)).attempt, 1);
      }));

    test("one that is to fail is told so at its next step, also when it runs again", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        const told: Array<string> = [];
        const careful = stage.actor("careful", async (ctx) => {
          await ctx.wait(go);
          try {
            await ctx.run("dear", () => void told.push("dear"));
          } catch (error) {
            assert.ok(error instanceof BudgetExhausted);
            told.push(`${error.budget === flow} ${error.dimension}`);
          }
          await ctx.wait(go, { name: "again" });
          return ctx.run("dear", () => "done");
        });
        yield* stage.work([careful], { residentGrace: atOnce });
        const one = yield* stage.start(careful, undefined, {
          budgets: [{ name: flow, onExhausted: "fail" }],
        });
        yield* untilStatus(one, "suspended");
        yield* drain(flow);
        yield* signal(one, "go");
        yield* until(
          "it was told",
          Effect.map(describe(one), ({ waitingFor: [first] }) => first?.key === "again"),
        );
        yield* reset(flow);
        yield* signal(one, "go");
        assert.equal(yield* resultOf(one), "done");
        assert.deepEqual(new Set(told), new Set(["true token"]));
      }));

    test("one that is only warned goes on, and is told while it is at it", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        const begun = gate();
        const careful = stage.actor("careful", async (ctx) => {
          const { exhausted } = ctx.budget(flow);
          const why = await ctx.run("long", () => {
            begun.open();
            return new Promise<string>((resolve) =>
              exhausted.addEventListener("abort", () => resolve(String(exhausted.reason.budget)))
            );
          });
          return [why, await ctx.run("next", () => "next")];
        });
        yield* stage.work([careful]);
        const one = yield* stage.start(careful, undefined, {
          budgets: [{ name: flow, onExhausted: "warn" }],
        });
        yield* Effect.promise(() => begun.passed);
        yield* drain(flow);
        assert.deepEqual(yield* resultOf(one), [flow, "next"]);
      }));

    test("what is consumed counts once, whoever dies, and is given back when it fails", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        const eats = stage.actor("eats", async (ctx) => {
          const { outcome } = await ctx.consume("eat", { token: 4 });
          await ctx.wait(go);
          return [outcome, (await ctx.consume("eat", { token: 3 })).outcome];
        });
        yield* stage.work([eats], { residentGrace: atOnce });
        const one = yield* stage.start(eats, undefined, { budgets: [flow] });
        yield* untilStatus(one, "suspended");
        yield* depose(one);
        yield* signal(one, "go");
        assert.deepEqual(yield* resultOf(one), ["ok", "ok"]);
        const { dimensions } = yield* use((budgets) => budgets.describe(tenant, flow));
        assert.equal(dimensions["token"]?.used, 7);
        yield* use((budgets) => budgets.release(tenant, one.execution));
        const after = yield* use((budgets) => budgets.describe(tenant, flow));
        assert.equal(after.dimensions["token"]?.used, 0);
      }));

    test("who consumes more than is left waits until there is as much, fails, or is told", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        const eats = stage.actor(
          "eats",
          async (ctx) => (await ctx.consume("eat", { token: 8 })).outcome,
        );
        yield* stage.work([eats], { residentGrace: atOnce });
        yield* use((budgets) => budgets.consume(tenant, [flow], { token: 5 }));
        const bound = (onExhausted: "suspend" | "fail" | "warn") => [{ name: flow, onExhausted }];
        const waits = yield* stage.start(eats, undefined, { budgets: bound("suspend") });
        yield* waitsForBudget(waits);
        const told = yield* stage.start(eats, undefined, { budgets: bound("warn") });
        assert.equal(yield* resultOf(told), "hardBreach");
        const fails = yield* stage.start(eats, undefined, { budgets: bound("fail") });
        const error = yield* errorOf(resultOf(fails));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "BudgetExhausted");
        // It is more, but not enough.
        yield* use((budgets) => budgets.allocate(tenant, flow, { token: 12 }));
        yield* waitsForBudget(waits);
        assert.equal(yield* waitersOf(flow), 1);
        yield* use((budgets) => budgets.allocate(tenant, flow, { token: 13 }));
        assert.equal(yield* resultOf(waits), "ok");
      }));

    test("what was used is counted whatever is left, and what undoes is held up by nothing", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        const undone: Array<string> = [];
        const eats = stage.actor("eats", async (ctx) => {
          try {
            const { outcome } = await ctx.consume("eat", { token: 25 }, { overage: "allow" });
            await ctx.consume("eat", { token: 5 }, { overage: "allow" });
            undone.push(outcome);
            await ctx.run("more", () => undone.push("more"));
          } catch (error) {
            await ctx.run("undo", () => void undone.push("undo"));
            throw error;
          }
        });
        yield* stage.work([eats], { residentGrace: atOnce });
        const one = yield* stage.start(eats, undefined, { budgets: [flow] });
        yield* waitsForBudget(one);
        yield* verb((verbs) => verbs.cancel(one));
        yield* untilStatus(one, "cancelled");
        assert.deepEqual(new Set(undone), new Set(["ok", "undo"]));
        const { dimensions } = yield* use((budgets) => budgets.describe(tenant, flow));
        assert.equal(dimensions["token"]?.used, 30);
      }));

    test("what does not succeed gives back what it has consumed, if it is to, once", (stage) =>
      Effect.gen(function* () {
        const flow = yield* budget(stage, "flow", 0);
        const eats = stage.actor("eats", async (ctx, end: string) => {
          await ctx.consume("eat", { token: 3 });
          if (end === "fails") throw new Error("as it should");
          if (end === "waits") await ctx.wait(go);
        });
        yield* stage.work([eats], { residentGrace: atOnce });
        const used = use((budgets) => budgets.describe(tenant, flow)).pipe(
          Effect.map(({ dimensions }) => dimensions["token"]?.used),
        );
        const budgets = [{ name: flow, release: "on-failure" as const }];
        yield* errorOf(resultOf(yield* stage.start(eats, "fails", { id: "fails", budgets })));
        yield* until("it is given back", Effect.map(used, (used) => used === 0));
        yield* resultOf(yield* stage.start(eats, "succeeds", { id: "succeeds", budgets }));
        assert.equal(yield* used, 3);
        const waits = yield* stage.start(eats, "waits", { id: "waits", budgets });
        yield* untilStatus(waits, "suspended");
        assert.equal(yield* used, 6);
        yield* verb((verbs) => verbs.cancel(waits));
        yield* untilStatus(waits, "cancelled");
        yield* until("it is given back", Effect.map(used, (used) => used === 3));
      }));
  });
};
