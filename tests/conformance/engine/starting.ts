/** What a start promises: one execution per id, its result, and the terms under which it runs. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import { ExecutionId, Lane } from "../../../schema/ids.ts";
import { ServerClock } from "../../../streams/server_clock.ts";
import { type Run, tenant, uniqueTenant } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  historyOf,
  resultOf,
  type Services,
  type Stage,
  until,
  untilStatus,
} from "./stage.ts";

/** Waits until the server's clock has passed a time. */
const untilTime = (time: number) =>
  until(
    "the time has come",
    Effect.flatMap(ServerClock, ({ now }) => Effect.map(now, (reached) => reached > time)),
  );

/** The same actor in the hands of different workers: each tells who ran it. */
const told = (stage: Stage, by: string, seen: Array<string>) =>
  stage.actor("told", (_, input: string) => {
    seen.push(`${by}: ${input}`);
    return by;
  });

export const startingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: starting`, () => {
    test("a start of an id that there is gives the execution that is there", (stage) =>
      Effect.gen(function* () {
        const inputs: Array<number> = [];
        const echo = stage.actor("echo", (_, input: number) => {
          inputs.push(input);
          return input;
        });
        yield* stage.work([echo]);
        const first = yield* stage.start(echo, 1, { id: "same" });
        const second = yield* stage.start(echo, 2, { id: "same" });
        assert.deepEqual([first.created, second.created], [true, false]);
        assert.equal(first.life, second.life);
        assert.equal(yield* resultOf(second), 1);
        const third = yield* stage.start(echo, 3, { id: "same" });
        assert.equal(third.created, false);
        assert.equal(yield* resultOf(third), 1);
        assert.deepEqual(inputs, [1]);
      }));

    test("of many who start one id at once, one creates it", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const echo = stage.actor("echo", () => ++runs);
        yield* stage.work([echo]);
        const started = yield* Effect.forEach(
          Array.from({ length: 20 }),
          () => stage.start(echo, undefined, { id: "same" }),
          { concurrency: 20 },
        );
        assert.equal(started.filter(({ created }) => created).length, 1);
        assert.equal(yield* resultOf(started[0]!), 1);
        assert.equal(runs, 1);
      }));

    test("the same id of two tenants is two executions", (stage) =>
      Effect.gen(function* () {
        const echo = stage.actor("echo", (ctx, input: string) => `${ctx.tenant} ${input}`);
        yield* stage.work([echo]);
        const other = uniqueTenant();
        const ours = yield* stage.start(echo, "a", { id: "same" });
        const theirs = yield* stage.start(echo, "b", { id: "same", tenant: other });
        assert.equal(theirs.created, true);
        assert.deepEqual([yield* resultOf(ours), yield* resultOf(theirs)], [
          `${tenant} a`,
          `${other} b`,
        ]);
      }));

    test("a result reaches those who waited before anybody ran it", (stage) =>
      Effect.gen(function* () {
        const echo = stage.actor("echo", (_, input: number) => input);
        const started = yield* stage.start(echo, 7);
        const waiting = yield* Effect.forEach(
          [1, 2, 3],
          () => Effect.forkChild(resultOf(started)),
        );
        const before = yield* describe(started);
        assert.deepEqual([before.status, before.reason], ["waiting", "worker"]);
        yield* stage.work([echo]);
        assert.deepEqual(yield* Effect.forEach(waiting, Fiber.join), [7, 7, 7]);
        assert.equal(yield* resultOf(started), 7);
      }));

    test("an actor that returns nothing has a result that is nothing", (stage) =>
      Effect.gen(function* () {
        const silent = stage.actor("silent", () => {});
        yield* stage.work([silent]);
        assert.equal(yield* stage.play(silent), undefined);
      }));

    test("there is no result of an execution that there is not", () =>
      Effect.gen(function* () {
        const nobody = { execution: ExecutionId.make("order/nobody"), tenant };
        const error = yield* errorOf(resultOf(nobody));
        assert.equal(error._tag, "ExecutionNotFound");
        assert.equal((yield* errorOf(describe(nobody)))._tag, "ExecutionNotFound");
      }));

    test("a delayed start begins when the delay is over", (stage) =>
      Effect.gen(function* () {
        const late = stage.actor("late", async (ctx) => (await ctx.now()).getTime());
        yield* stage.work([late]);
        // The delay counts from the call, not from when its record was stored.
        const called = yield* Effect.flatMap(ServerClock, (clock) => clock.now);
        const started = yield* stage.start(late, undefined, { delay: "400 millis" });
        assert.equal((yield* untilStatus(started, "delayed")).reason, "delay");
        const began = Number(yield* resultOf(started));
        assert.ok(began >= called + 400, `${began - called} ms`);
      }));

    test("a deadline ends what nobody has begun", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const never = stage.actor("never", () => ++runs);
        const started = yield* stage.start(never, undefined, { deadline: "100 millis" });
        const { deadline } = yield* describe(started);
        yield* untilTime(deadline!);
        yield* stage.work([never]);
        const error = yield* errorOf(resultOf(started));
        assert.equal(error._tag, "ExecutionExpired");
        assert.equal(runs, 0);
        assert.equal((yield* describe(started)).status, "expired");
      }));

    test("a deadline ends what is running, and its steps are told", (stage) =>
      Effect.gen(function* () {
        const aborted = gate();
        let hasBegun = false;
        const endless = stage.actor("endless", (ctx) =>
          ctx.run("for ever", ({ signal }) => {
            hasBegun = true;
            signal.addEventListener("abort", aborted.open);
            return gate().passed;
          }));
        yield* stage.work([endless]);
        // A slow machine may come to run it only when it is over.
        for (let deadline = 200; !hasBegun; deadline *= 2) {
          const started = yield* stage.start(endless, undefined, { deadline });
          assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionExpired");
        }
        yield* Effect.promise(() => aborted.passed);
      }));

    test("a deadline ends what is suspended", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait({ name: "go", payload: undefined }));
        yield* stage.work([waits], { residentGrace: atOnce });
        let status: string | undefined;
        for (let deadline = 500; status !== "suspended"; deadline *= 2) {
          const started = yield* stage.start(waits, undefined, { deadline });
          ({ status } = yield* untilStatus(started, "suspended", "expired"));
          assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionExpired");
        }
      }));

    test("the tags of a start are there before its code runs", (stage) =>
      Effect.gen(function* () {
        const tagged = stage.actor("tagged", () => {});
        const tags = { "team.name": "checkout", "order.size": "xl" };
        const started = yield* stage.start(tagged, undefined, { tags });
        assert.deepEqual((yield* describe(started)).tags, tags);
        yield* stage.work([tagged]);
        yield* resultOf(started);
        assert.deepEqual((yield* describe(started)).tags, tags);
      }));

    test("its priority is recorded with the start", (stage) =>
      Effect.gen(function* () {
        const quick = stage.actor("quick", () => {});
        const started = yield* stage.start(quick, undefined, { priority: -7 });
        const [start] = yield* historyOf(started);
        assert.ok(start?.kind === "start");
        assert.equal(start.priority, -7);
      }));

    test("a worker without the lane never runs it; one that has it does", (stage) =>
      Effect.gen(function* () {
        const seen: Array<string> = [];
        yield* stage.work([told(stage, "plain", seen)]);
        const started = yield* stage.start(told(stage, "", seen), "first", {
          lane: Lane.make("fast"),
        });
        assert.equal((yield* describe(started)).lane, "fast");
        assert.equal(yield* stage.play(told(stage, "", seen), "second"), "plain");
        yield* stage.work([told(stage, "fast", seen)], { lanes: [Lane.make("fast")] });
        assert.equal(yield* resultOf(started), "fast");
        assert.deepEqual(seen, ["plain: second", "fast: first"]);
      }));

    test("a worker that is bound to a lane leaves the rest to others", (stage) =>
      Effect.gen(function* () {
        const seen: Array<string> = [];
        yield* stage.work([told(stage, "fast", seen)], { lanes: [Lane.make("fast")] });
        const started = yield* stage.start(told(stage, "", seen), "any");
        const laned = yield* stage.start(told(stage, "", seen), "laned", {
          lane: Lane.make("fast"),
        });
        assert.equal(yield* resultOf(laned), "fast");
        yield* stage.work([told(stage, "plain", seen)]);
        assert.equal(yield* resultOf(started), "plain");
      }));

    test("a worker that lacks a capability never runs what requires it", (stage) =>
      Effect.gen(function* () {
        const seen: Array<string> = [];
        yield* stage.work([told(stage, "none", seen)]);
        yield* stage.work([told(stage, "one", seen)], { capabilities: ["gpu"] });
        const started = yield* stage.start(told(stage, "", seen), "both", {
          requires: ["gpu", "region:eu"],
        });
        assert.deepEqual((yield* describe(started)).requires, ["gpu", "region:eu"]);
        const gpu = yield* stage.start(told(stage, "", seen), "gpu", { requires: ["gpu"] });
        assert.equal(yield* resultOf(gpu), "one");
        yield* stage.work([told(stage, "all", seen)], {
          capabilities: ["region:eu", "gpu", "more"],
        });
        assert.equal(yield* resultOf(started), "all");
        assert.deepEqual(seen, ["one: gpu", "all: both"]);
      }));

    test("what is suspended on a lane is resumed there", (stage) =>
      Effect.gen(function* () {
        const by: Array<string> = [];
        const naps = (who: string) =>
          stage.actor("naps", async (ctx) => {
            by.push(who);
            await ctx.sleep("nap", "300 millis");
            return who;
          });
        yield* stage.work([naps("plain")], { residentGrace: atOnce });
        yield* stage.work([naps("fast")], {
          residentGrace: atOnce,
          lanes: [Lane.make("fast")],
        });
        const started = yield* stage.start(naps(""), undefined, { lane: Lane.make("fast") });
        assert.equal(yield* resultOf(started), "fast");
        assert.deepEqual(by, ["fast", "fast"]);
      }));
  });
};
