/** What `cancel`, `pause` and `resume` promise: code that is asked to stop, and code that is held. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { Cancelled } from "../../../schema/execution_errors.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  untilTrue,
  verb,
} from "./stage.ts";

const go = defineSignal<number>("go");

const graces = [["in memory", "5 seconds"], ["suspended", atOnce]] as const;

const cancel = (of: Named, options?: { readonly reason?: string; readonly force?: boolean }) =>
  verb((verbs) => verbs.cancel(of, options));
const pause = (of: Named, reason?: string) =>
  verb((verbs) => verbs.pause(of, reason === undefined ? {} : { reason }));
const resume = (of: Named) => verb((verbs) => verbs.resume(of));

const untilItWaits = (of: Named) =>
  until("it waits", Effect.map(describe(of), ({ reason }) => reason === "signal"));

export const stoppingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: stopping`, () => {
    for (const [what, residentGrace] of graces) {
      test(`who is cancelled is told where it stands, and undoes what it did, ${what}`, (stage) =>
        Effect.gen(function* () {
          const done: Array<string> = [];
          let refunds = 0;
          const trip = stage.actor("trip", async (ctx) => {
            await ctx.run("book", () => done.push("book"));
            try {
              await ctx.wait(go);
            } catch (error) {
              assert.ok(error instanceof Cancelled);
              assert.equal(error.reason, "rain");
              await ctx.sleep("cool off", "30 millis");
              await ctx.run("refund", (step) => {
                refunds++;
                if (step.try < 3) throw new Error("busy");
                done.push("refund");
              }, { retry: { delay: "20 millis" } });
              await ctx.wait(go, { name: "confirmed", timeout: "30 millis" });
              await ctx.run("mail", () => done.push("mail"));
              throw error;
            }
          });
          yield* stage.work([trip], { residentGrace });
          const started = yield* stage.start(trip);
          yield* untilItWaits(started);
          yield* cancel(started, { reason: "rain" });
          const error = yield* errorOf(resultOf(started));
          assert.ok(error._tag === "ExecutionCancelled");
          assert.equal(error.reason, "rain");
          assert.deepEqual(done, ["book", "refund", "mail"]);
          assert.equal(refunds, 3);
          const { status, outcome, attempt } = yield* describe(started);
          assert.deepEqual([status, outcome?.type, attempt], ["cancelled", "cancelled", 0]);
        }));
    }

    test("a step that waits for its next try is not tried again once it is cancelled", (stage) =>
      Effect.gen(function* () {
        let tries = 0;
        const flaky = stage.actor("flaky", async (ctx) => {
          try {
            await ctx.run("call", () => {
              tries++;
              throw new Error("busy");
            }, { retry: { attempts: 100, backoff: "fixed", delay: "400 millis", jitter: false } });
          } finally {
            await ctx.sleep("cool off", "1 second");
          }
        });
        yield* stage.work([flaky]);
        const started = yield* stage.start(flaky);
        yield* until(
          "it waits for its next try",
          Effect.map(describe(started), ({ waitingFor }) => waitingFor.length > 0),
        );
        yield* cancel(started);
        const before = tries;
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
        assert.ok(tries <= before + 1, `${tries} tries, ${before} before the cancel`);
      }));

    test("who is cancelled before any code ran ends at once, and runs none", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const never = stage.actor("never", () => ++runs);
        const started = yield* stage.start(never);
        yield* cancel(started, { reason: "rain" });
        yield* stage.work([never]);
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
        assert.equal(runs, 0);
      }));

    test("a step under way is told, and the code after it", (stage) =>
      Effect.gen(function* () {
        const begun = gate();
        const aborted = gate();
        const slow = stage.actor("slow", async (ctx) => {
          await ctx.run("for ever", ({ signal }) => {
            signal.addEventListener("abort", aborted.open);
            begun.open();
            return gate().passed;
          });
        });
        yield* stage.work([slow]);
        const started = yield* stage.start(slow);
        yield* Effect.promise(() => begun.passed);
        yield* cancel(started);
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
        yield* Effect.promise(() => aborted.passed);
      }));

    test("everything that is awaited ends with the cancel, and what is asked later is done", (stage) =>
      Effect.gen(function* () {
        const many = stage.actor("many", async (ctx) => {
          const all = await Promise.allSettled([
            ctx.wait(go),
            ctx.sleep("nap", "1 hour"),
            ctx.run("again", () => {
              throw new Error("no");
            }, { retry: { delay: "1 hour", maxDelay: "1 hour" } }),
          ]);
          const ends = all.map((end) =>
            end.status === "rejected" && end.reason instanceof Cancelled ? "told" : "not"
          );
          return [...ends, await ctx.run("later", () => ctx.cancelled.aborted)];
        });
        yield* stage.work([many], { residentGrace: atOnce });
        const started = yield* stage.start(many);
        yield* untilStatus(started, "suspended");
        yield* cancel(started);
        assert.deepEqual(yield* resultOf(started), ["told", "told", "told", true]);
        assert.equal((yield* describe(started)).status, "completed");
      }));

    test("who awaits nothing is told at the next thing that it asks for", (stage) =>
      Effect.gen(function* () {
        const begun = gate();
        const { open, passed } = gate();
        const busy = stage.actor("busy", async (ctx) => {
          begun.open();
          await passed;
          await ctx.run("charge", () => 1);
        });
        yield* stage.work([busy]);
        const started = yield* stage.start(busy);
        yield* Effect.promise(() => begun.passed);
        yield* cancel(started);
        yield* until(
          "it was taken up",
          Effect.map(describe(started), (found) => found.cancel !== undefined),
        );
        open();
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
        assert.deepEqual((yield* describe(started)).steps, {});
      }));

    test("a failure while it undoes is how it ended; nothing is tried again", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const trip = stage.actor("trip", async (ctx) => {
          runs++;
          await ctx.wait(go).catch(() => {
            throw new RangeError("cannot undo");
          });
        }, { retry: { attempts: 5, delay: "1 milli" } });
        yield* stage.work([trip]);
        const started = yield* stage.start(trip);
        yield* untilItWaits(started);
        yield* cancel(started);
        const error = yield* errorOf(resultOf(started));
        assert.ok(error._tag === "ExecutionFailed");
        assert.deepEqual([error.failure.name, runs], ["RangeError", 1]);
      }));

    test("a second request to cancel changes nothing; force ends what will not stop", (stage) =>
      Effect.gen(function* () {
        const stubborn = stage.actor("stubborn", async (ctx) => {
          for (;;) await ctx.wait(go).catch(() => {});
        });
        yield* stage.work([stubborn]);
        const started = yield* stage.start(stubborn);
        yield* untilItWaits(started);
        yield* cancel(started, { reason: "first" });
        yield* cancel(started, { reason: "second" });
        yield* until(
          "it waits again",
          Effect.map(describe(started), ({ waitingFor }) => waitingFor[0]?.key === "go#2"),
        );
        yield* cancel(started, { force: true });
        const error = yield* errorOf(resultOf(started));
        assert.ok(error._tag === "ExecutionCancelled");
        assert.equal(error.reason, "first");
      }));

    test("force ends what is suspended, and tells its steps", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const trip = stage.actor("trip", async (ctx) => {
          await ctx.wait(go).catch(() => ctx.run("refund", () => ++runs));
        });
        yield* stage.work([trip], { residentGrace: atOnce });
        const started = yield* stage.start(trip);
        yield* untilStatus(started, "suspended");
        yield* cancel(started, { force: true, reason: "now" });
        const error = yield* errorOf(resultOf(started));
        assert.ok(error._tag === "ExecutionCancelled");
        assert.deepEqual([error.reason, runs], ["now", 0]);
      }));

    for (const [what, residentGrace] of graces) {
      test(`who is paused goes on only when it is resumed, ${what}`, (stage) =>
        Effect.gen(function* () {
          let runs = 0;
          const waits = stage.actor("waits", async (ctx) => [
            await ctx.wait(go),
            await ctx.run("after", () => ++runs),
          ]);
          yield* stage.work([waits], { residentGrace });
          const started = yield* stage.start(waits);
          yield* untilItWaits(started);
          yield* pause(started, "stocktaking");
          const found = yield* untilStatus(started, "paused");
          assert.deepEqual([found.reason, found.paused], ["operator", { reason: "stocktaking" }]);
          assert.match(found.why, /stocktaking/);
          const sent = yield* signal(started, "go", 1);
          assert.equal(yield* sent.effect, "satisfied");
          assert.equal((yield* untilStatus(started, "paused")).signals, 1);
          assert.equal(runs, 0);
          yield* resume(started);
          assert.deepEqual(yield* resultOf(started), [1, 1]);
          assert.equal((yield* describe(started)).attempt, 0);
        }));
    }

    test("who is paused before any code ran runs none until it is resumed", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const quick = stage.actor("quick", (ctx) => ctx.run("only", () => ++runs));
        const started = yield* stage.start(quick);
        yield* pause(started);
        const worker = yield* stage.work([quick]);
        yield* untilStatus(started, "paused");
        yield* until(
          "it was let go",
          Effect.map(worker.resident, (count) => count === 0),
        );
        assert.equal(runs, 0);
        yield* resume(started);
        assert.equal(yield* resultOf(started), 1);
      }));

    test("a step under way ends and is recorded although it is paused; the next waits", (stage) =>
      Effect.gen(function* () {
        const ran: Array<string> = [];
        const begun = gate();
        const { open, passed } = gate();
        const steps = stage.actor("steps", async (ctx) => {
          await ctx.run("slow", async () => {
            begun.open();
            await passed;
            ran.push("slow");
          });
          await ctx.run("next", () => void ran.push("next"));
        });
        yield* stage.work([steps]);
        const started = yield* stage.start(steps);
        yield* Effect.promise(() => begun.passed);
        yield* pause(started);
        yield* until(
          "it is taken up",
          Effect.map(describe(started), (found) => found.paused !== undefined),
        );
        open();
        const found = yield* untilStatus(started, "paused");
        assert.deepEqual(Object.keys(found.steps), ["slow"]);
        assert.deepEqual(ran, ["slow"]);
        yield* resume(started);
        yield* resultOf(started);
        assert.deepEqual(ran, ["slow", "next"]);
      }));

    test("time goes on for who is paused", (stage) =>
      Effect.gen(function* () {
        let naps = 0;
        const sleeps = stage.actor("naps", async (ctx) => {
          await ctx.sleep("nap", "1 second");
          naps++;
        });
        yield* stage.work([sleeps], { residentGrace: atOnce });
        const started = yield* stage.start(sleeps);
        const { waitingFor: [nap] } = yield* untilStatus(started, "suspended");
        yield* pause(started);
        yield* untilStatus(started, "paused");
        assert.ok(nap?.kind === "sleep");
        yield* until(
          "the sleep is over",
          Effect.map(describe(started), ({ waitingFor }) => waitingFor.length === 0),
        );
        assert.equal(naps, 0);
        yield* resume(started);
        yield* resultOf(started);
        assert.equal(naps, 1);
      }));

    test("who is paused can still be ended by force, and by its deadline", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([waits], { residentGrace: atOnce });
        const first = yield* stage.start(waits);
        const second = yield* stage.start(waits, undefined, { deadline: "2 seconds" });
        yield* pause(first);
        yield* pause(second);
        yield* untilStatus(first, "paused");
        yield* cancel(first, { force: true });
        assert.equal((yield* errorOf(resultOf(first)))._tag, "ExecutionCancelled");
        assert.equal((yield* errorOf(resultOf(second)))._tag, "ExecutionExpired");
      }));

    test("who is cancelled while it is paused is told when it is resumed", (stage) =>
      Effect.gen(function* () {
        let undone = 0;
        const trip = stage.actor("trip", async (ctx) => {
          try {
            await ctx.wait(go);
          } catch (error) {
            await ctx.run("undo", () => ++undone);
            throw error;
          }
        });
        yield* stage.work([trip], { residentGrace: atOnce });
        const started = yield* stage.start(trip);
        yield* untilStatus(started, "suspended");
        yield* pause(started);
        yield* untilStatus(started, "paused");
        yield* cancel(started);
        yield* until(
          "the cancel is there",
          Effect.map(describe(started), (found) => found.cancel !== undefined),
        );
        assert.equal(undone, 0);
        yield* resume(started);
        assert.equal((yield* errorOf(resultOf(started)))._tag, "ExecutionCancelled");
        assert.equal(undone, 1);
        yield* untilTrue("undone", () => undone === 1);
      }));
  });
};
