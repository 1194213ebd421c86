/** What `run` promises: a recorded result, tries that count, and pauses that replays do not move. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { StepContext } from "../../../actors/actor.ts";
import type { RetryPolicy } from "../../../actors/retry_policy.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { NonRetryable, StepFailed } from "../../../schema/execution_errors.ts";
import { ServerClock } from "../../../streams/server_clock.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  engineTests,
  errorOf,
  gate,
  recordsOf,
  resultOf,
  type Services,
  signal,
  untilStatus,
  wake,
} from "./stage.ts";

const first = defineSignal("first");
const second = defineSignal("second");
const listed = defineSignal<{ list: Array<number> }>("listed");

/** What a busy machine may add to a pause. */
const slackMs = 2_000;

const soon = { delay: "20 millis", backoff: "fixed", jitter: false } as const;

export const stepsSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: steps`, () => {
    test("a recorded step never runs again, however often the code does", (stage) =>
      Effect.gen(function* () {
        let charges = 0;
        let bodies = 0;
        const order = stage.actor("order", async (ctx) => {
          bodies++;
          const receipt = await ctx.run("charge", () => ++charges);
          await ctx.wait(first);
          await ctx.wait(second);
          return { receipt, again: await ctx.run("charge again", () => ++charges) };
        });
        yield* stage.work([order], { residentGrace: atOnce });
        const started = yield* stage.start(order);
        yield* wake(started, "first");
        yield* wake(started, "second");
        assert.deepEqual(yield* resultOf(started), { receipt: 1, again: 2 });
        assert.equal(charges, 2);
        assert.equal(bodies, 3);
      }));

    test("what code does to what it is given changes nothing that is recorded", (stage) =>
      Effect.gen(function* () {
        const child = stage.actor("child", () => ({ list: [1] }));
        const changes = stage.actor("changes", async (ctx, input: { list: Array<number> }) => {
          const given = [
            input,
            await ctx.run("load", () => ({ list: [1] })),
            await ctx.wait(listed),
            await ctx.call(child, undefined),
          ];
          for (const { list } of given) list.push(2);
          if (ctx.attempt === 0) throw new Error("once more");
          return given.map(({ list }) => list.length);
        }, { retry: { attempts: 2, delay: "10 millis" } });
        yield* stage.work([child, changes]);
        const started = yield* stage.start(changes, { list: [1] });
        yield* signal(started, "listed", { list: [1] });
        assert.deepEqual(yield* resultOf(started), [2, 2, 2, 2]);
      }));

    test("a name that looks like the second use of another takes nobody's place", (stage) =>
      Effect.gen(function* () {
        const ran: Array<string> = [];
        const names = ["sku#2", "sku", "sku", "box", "box", "box#2"];
        const packs = stage.actor("packs", async (ctx) => {
          const packed: Array<string> = [];
          for (const [i, name] of names.entries()) {
            packed.push(
              await ctx.run(name, () => {
                ran.push(`${name} at ${i}`);
                return `${name} at ${i}`;
              }),
            );
          }
          await ctx.wait(first);
          return packed;
        });
        yield* stage.work([packs], { residentGrace: atOnce });
        const started = yield* stage.start(packs);
        yield* wake(started, "first");
        const all = names.map((name, i) => `${name} at ${i}`);
        assert.deepEqual(yield* resultOf(started), all);
        assert.deepEqual(ran, all);
      }));

    test("a resident actor goes on without a replay", (stage) =>
      Effect.gen(function* () {
        let bodies = 0;
        const naps = stage.actor("naps", async (ctx) => {
          bodies++;
          await ctx.sleep("first", "20 millis");
          await ctx.sleep("second", "20 millis");
        });
        yield* stage.work([naps]);
        yield* stage.play(naps);
        assert.equal(bodies, 1);
      }));

    test("a result is the same when it is new and when it is read", (stage) =>
      Effect.gen(function* () {
        const seen: Array<unknown> = [];
        const values = stage.actor("values", async (ctx) => {
          const given = { zero: -0, gone: undefined, list: [undefined, null], ["__proto__"]: 1 };
          seen.push(await ctx.run("give", () => given));
          await ctx.wait(first);
        });
        yield* stage.work([values], { residentGrace: atOnce });
        const started = yield* stage.start(values);
        yield* wake(started, "first");
        yield* resultOf(started);
        const expected = { zero: 0, list: [null, null], ["__proto__"]: 1 };
        assert.deepEqual(seen, [expected, expected]);
      }));

    test("tries count from 1 and share one idempotency key, which no other step has", (stage) =>
      Effect.gen(function* () {
        const tries: Array<number> = [];
        const keys: Array<string> = [];
        const flaky = stage.actor("flaky", async (ctx) => {
          await ctx.run("charge", (step) => {
            tries.push(step.try);
            keys.push(step.idempotencyKey);
            if (step.try < 4) throw new Error("not yet");
          }, { retry: { ...soon, attempts: 4 } });
          await ctx.run("other", (step) => void keys.push(step.idempotencyKey));
        });
        yield* stage.work([flaky], { residentGrace: atOnce });
        const started = yield* stage.start(flaky);
        yield* resultOf(started);
        assert.deepEqual(tries, [1, 2, 3, 4]);
        assert.deepEqual(keys.map((key) => keys.indexOf(key)), [0, 0, 0, 0, 4]);
        const other = yield* stage.start(flaky);
        yield* resultOf(other);
        assert.notEqual(keys[5], keys[0]);
        assert.equal((yield* recordsOf(started, "stepFailed")).length, 3);
      }));

    test("a step that fails for good is a typed error at its await", (stage) =>
      Effect.gen(function* () {
        const caught: Array<unknown> = [];
        let tries = 0;
        const careful = stage.actor("careful", async (ctx) => {
          try {
            await ctx.run("charge", () => {
              tries++;
              throw Object.assign(new RangeError("too much"), { cents: 42 });
            }, { retry: { ...soon, attempts: 3 } });
          } catch (error) {
            caught.push(error);
          }
          await ctx.wait(first);
          return "handled";
        });
        yield* stage.work([careful], { residentGrace: atOnce });
        const started = yield* stage.start(careful);
        yield* wake(started, "first");
        assert.equal(yield* resultOf(started), "handled");
        assert.equal(tries, 3);
        assert.equal(caught.length, 2);
        for (const error of caught) {
          assert.ok(error instanceof StepFailed);
          const { name, message, data } = error.failure;
          assert.deepEqual([error.step, name, message, data], [
            "charge",
            "RangeError",
            "too much",
            { cents: 42 },
          ]);
        }
      }));

    test("a failure that nobody handles is that of the execution, and names the step", (stage) =>
      Effect.gen(function* () {
        const careless = stage.actor("careless", (ctx) =>
          ctx.run("charge", () => {
            throw new RangeError("too much");
          }, { retry: { attempts: 1 } }));
        yield* stage.work([careless]);
        const error = yield* errorOf(stage.play(careless));
        assert.equal(error._tag, "ExecutionFailed");
        assert.ok(error._tag === "ExecutionFailed");
        const { name, message, step } = error.failure;
        assert.deepEqual([name, message, step], ["RangeError", "too much", "charge"]);
      }));

    for (
      const [what, raise, retry] of [
        ["that says so itself", () => new NonRetryable({ reason: "no" }), {}],
        ["with retryable false", () => Object.assign(new Error("no"), { retryable: false }), {}],
        ["that retryIf refuses", () => new RangeError("no"), {
          retryIf: ({ name }) => name !== "RangeError",
        }],
      ] satisfies ReadonlyArray<[string, () => unknown, RetryPolicy]>
    ) {
      test(`an error ${what} is not tried again`, (stage) =>
        Effect.gen(function* () {
          let tries = 0;
          const flaky = stage.actor("flaky", (ctx) =>
            ctx.run("charge", () => {
              tries++;
              if (tries === 1) throw new Error("transient");
              throw raise();
            }, { retry: { ...soon, attempts: 9, ...retry } }));
          yield* stage.work([flaky]);
          assert.equal((yield* errorOf(stage.play(flaky)))._tag, "ExecutionFailed");
          assert.equal(tries, 2);
        }));
    }

    for (
      const [what, retry] of [
        ["a delay that is none", { delay: "5 secs" as "5 seconds" }],
        ["a longest delay that is none", { maxDelay: NaN }],
        ["a count that is none", { attempts: Number("many") }],
        ["a factor that is none", { factor: NaN }],
        ["pauses of no kind", { backoff: "linear" as "fixed" }],
      ] satisfies ReadonlyArray<[string, RetryPolicy]>
    ) {
      test(`a retry policy with ${what} is refused before the first try, or the worker`, (stage) =>
        Effect.gen(function* () {
          let tries = 0;
          const charge = () => {
            tries++;
            throw new Error("no");
          };
          const odd = stage.actor("odd", (ctx) => ctx.run("charge", charge, { retry }));
          yield* stage.work([odd]);
          const error = yield* errorOf(stage.play(odd));
          assert.ok(error._tag === "ExecutionFailed");
          assert.equal(error.failure.name, "InvalidInput");
          const whole = stage.actor("whole", charge, { retry });
          assert.equal((yield* errorOf(stage.work([whole])))._tag, "InvalidInput");
          assert.equal(tries, 0);
        }));
    }

    test("a step that is done is not judged again by its retry policy", (stage) =>
      Effect.gen(function* () {
        let retry: RetryPolicy = {};
        const charge = stage.actor("charge", async (ctx) => {
          await ctx.run("charge", () => 1, { retry });
          await ctx.wait(first);
        });
        yield* stage.work([charge], { residentGrace: atOnce });
        const started = yield* stage.start(charge);
        yield* untilStatus(started, "suspended");
        retry = { attempts: 0 };
        yield* wake(started, "first");
        assert.equal(yield* resultOf(started), undefined);
      }));

    for (
      const [what, retry, pauses] of [
        ["fixed", { backoff: "fixed", delay: "60 millis" }, [60, 60, 60]],
        ["growing", { delay: "20 millis", factor: 3 }, [20, 60, 180]],
        ["capped", { delay: "20 millis", factor: 500, maxDelay: "80 millis" }, [20, 80, 80]],
        ["shortened by half at most", { delay: "80 millis", jitter: true }, [40, 80, 160]],
      ] satisfies ReadonlyArray<[string, RetryPolicy, ReadonlyArray<number>]>
    ) {
      test(`pauses between tries are ${what}`, (stage) =>
        Effect.gen(function* () {
          const clock = yield* ServerClock;
          const begun: Array<number> = [];
          const flaky = stage.code("flaky", (operations) =>
            operations.run("charge", () =>
              Effect.gen(function* () {
                begun.push(yield* clock.now);
                return yield* Effect.fail(new Error("no"));
              }), { retry: { attempts: 4, jitter: false, ...retry } }));
          yield* stage.work([], { codes: [flaky], residentGrace: atOnce });
          const started = yield* stage.start(flaky);
          yield* errorOf(resultOf(started));
          const failed = yield* recordsOf(started, "stepFailed");
          assert.deepEqual([begun.length, failed.length], [4, 3]);
          for (const [i, pause] of pauses.entries()) {
            const { retryAt } = failed[i]!;
            const set = retryAt - begun[i]!;
            const longest = retry.jitter === true ? 2 * pause : pause;
            assert.ok(set >= pause - 1 && set < longest + slackMs, `set for ${set} ms after`);
            // The virtual clock adds fractions of milliseconds.
            assert.ok(begun[i + 1]! > retryAt - 0.01, `${retryAt - begun[i + 1]!} ms too early`);
          }
        }));
    }

    test("a try that takes too long is given up and told", (stage) =>
      Effect.gen(function* () {
        const aborted = gate();
        const tries: Array<number> = [];
        const slow = stage.actor("slow", (ctx) =>
          ctx.run("charge", async (step) => {
            tries.push(step.try);
            if (step.try === 2) return "done";
            step.signal.addEventListener("abort", aborted.open);
            await gate().passed;
          }, { timeout: "80 millis", retry: soon }));
        yield* stage.work([slow]);
        const started = yield* stage.start(slow);
        assert.equal(yield* resultOf(started), "done");
        yield* Effect.promise(() => aborted.passed);
        assert.deepEqual(tries, [1, 2]);
        const [failed] = yield* recordsOf(started, "stepFailed");
        assert.equal(failed!.failure.name, "StepTimeout");
      }));

    test("a try that falls silent is given up; the next knows how far it had come", (stage) =>
      Effect.gen(function* () {
        const progress: Array<unknown> = [];
        const slow = stage.actor("slow", (ctx) =>
          ctx.run("copy", async (step: StepContext) => {
            progress.push(step.progress);
            if (step.try === 3) return "done";
            step.heartbeat({ row: step.try * 10 });
            await gate().passed;
          }, { heartbeatTimeout: "80 millis", retry: soon }));
        yield* stage.work([slow], { residentGrace: atOnce });
        const started = yield* stage.start(slow);
        assert.equal(yield* resultOf(started), "done");
        assert.deepEqual(progress, [undefined, { row: 10 }, { row: 20 }]);
        const failed = yield* recordsOf(started, "stepFailed");
        assert.deepEqual(failed.map(({ failure }) => failure.name), [
          "HeartbeatTimeout",
          "HeartbeatTimeout",
        ]);
      }));

    test("a step lives as long as its heart beats", (stage) =>
      Effect.gen(function* () {
        const tries: Array<number> = [];
        const slow = stage.code("slow", (operations) =>
          operations.run("copy", (step) =>
            Effect.gen(function* () {
              tries.push(step.try);
              for (let i = 0; i < 6; i++) {
                step.heartbeat();
                yield* Effect.sleep("100 millis");
              }
              return "done";
            }), { heartbeatTimeout: "400 millis" }));
        yield* stage.work([], { codes: [slow] });
        assert.equal(yield* stage.play(slow), "done");
        assert.deepEqual(tries, [1]);
      }));

    for (
      const [what, value] of [
        ["a function", () => 1],
        ["a bigint", { cents: 1n }],
        ["a number that JSON lacks", NaN],
      ] satisfies ReadonlyArray<[string, unknown]>
    ) {
      test(`${what} is no result: the step fails, once`, (stage) =>
        Effect.gen(function* () {
          let tries = 0;
          const odd = stage.actor("odd", (ctx) =>
            ctx.run("odd", () => {
              tries++;
              return value;
            }));
          yield* stage.work([odd]);
          const error = yield* errorOf(stage.play(odd));
          assert.ok(error._tag === "ExecutionFailed");
          assert.equal(error.failure.name, "InvalidInput");
          assert.equal(tries, 1);
        }));
    }

    test("what waits for its next try says so", (stage) =>
      Effect.gen(function* () {
        const flaky = stage.actor("flaky", (ctx) =>
          ctx.run("charge", () => {
            throw new Error("card declined");
          }, { retry: { delay: "1 hour" } }));
        yield* stage.work([flaky], { residentGrace: atOnce });
        const started = yield* stage.start(flaky);
        const found = yield* untilStatus(started, "suspended");
        assert.equal(found.reason, "retry");
        assert.match(found.why, /charge.*card declined/);
        const [awaited] = found.waitingFor;
        assert.ok(awaited?.kind === "run" && awaited.key === "charge");
        assert.equal(found.owner, undefined);
      }));
  });
};
