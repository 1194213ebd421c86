/** What is a new attempt and what is not, what ends the tries, and running again what has ended. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import type { Actor, ActorContext } from "../../../actors/actor.ts";
import type { Named } from "../../../actors/executions.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { Cancelled } from "../../../schema/execution_errors.ts";
import { ExecutionId } from "../../../schema/ids.ts";
import { Leases } from "../../../streams/lease.ts";
import { Log } from "../../../streams/log.ts";
import { executionAddress } from "../../../streams/subjects.ts";
import { type Run, tenant, uniqueWorker } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  gate,
  kindsOf,
  recordsOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
  verb,
} from "./stage.ts";

const go = defineSignal<number>("go");

const retry = (of: Named, from?: "failure" | "start") =>
  verb((verbs) => verbs.retry(of, from === undefined ? {} : { from }));

/** Owners that claim an execution and are gone before they record anything. */
const failedOwners = (of: Named, count: number) =>
  Effect.gen(function* () {
    const leases = yield* Leases;
    const address = executionAddress((yield* Log).layout, of.tenant, of.execution);
    for (let i = 0; i < count; i++) {
      yield* leases.acquire(address, { worker: uniqueWorker(), ttl: "10 seconds" });
      yield* leases.revoke(address, { by: "operator" });
    }
  });

interface Way {
  readonly what: string;
  readonly attempts: ReadonlyArray<number>;
  readonly code: (ctx: ActorContext, child: Actor<undefined, number>) => Promise<unknown>;
  readonly retried?: boolean;
}

/** Every way in which an execution leaves a worker, and the attempts that its code sees. */
const ways: ReadonlyArray<Way> = [
  { what: "a sleep", attempts: [0], code: (ctx) => ctx.sleep("nap", "40 millis") },
  {
    what: "a wait",
    attempts: [0],
    code: (ctx) => ctx.wait(go, { timeout: "40 millis" }),
  },
  {
    what: "a child",
    attempts: [0],
    code: (ctx, child) => ctx.call(child, undefined, { id: ctx.executionId }),
  },
  {
    what: "the pause before a step's next try",
    attempts: [0],
    code: (ctx) =>
      ctx.run("flaky", (step) => {
        if (step.try === 1) throw new Error("no");
      }, { retry: { delay: "40 millis", jitter: false } }),
  },
  {
    what: "a failure that is tried again",
    attempts: [0, 1, 2],
    retried: true,
    code: async (ctx) => {
      if (ctx.attempt < 2) throw new Error("no");
      await ctx.now();
    },
  },
];

export const attemptsSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: attempts`, () => {
    for (const { what, attempts, code, retried } of ways) {
      const verdict = retried === true ? "begins a new attempt" : "continues the attempt";
      test(`seed 7: ${what} ${verdict}`, (stage) =>
        Effect.gen(function* () {
          const seen: Array<number> = [];
          const child = stage.actor("child", async (ctx, _: undefined) => {
            await ctx.sleep("nap", "40 millis");
            return 1;
          });
          const leaves = stage.actor("leaves", async (ctx) => {
            seen.push(ctx.attempt);
            await code(ctx, child);
          }, retried === true ? { retry: { delay: "10 millis" } } : {});
          yield* stage.work([leaves, child], { residentGrace: atOnce });
          const started = yield* stage.start(leaves);
          yield* resultOf(started);
          // On a busy machine what is short may be over before anything is let go.
          assert.deepEqual(new Set(seen), new Set(attempts));
          const { attempt } = yield* describe(started);
          assert.equal(attempt, attempts.at(-1));
          assert.equal((yield* recordsOf(started, "done"))[0]!.attempt, attempts.at(-1));
        }));
    }

    test("seed 7: a worker that leaves in order hands the attempt on", (stage) =>
      Effect.gen(function* () {
        const seen: Array<number> = [];
        const begun = gate();
        const { open, passed } = gate();
        const steps = stage.actor("steps", async (ctx) => {
          seen.push(ctx.attempt);
          await ctx.run("slow", async () => {
            begun.open();
            await passed;
          });
          await ctx.wait(go);
        });
        const first = yield* stage.work([steps]);
        const started = yield* stage.start(steps);
        yield* Effect.promise(() => begun.passed);
        const leaving = yield* Effect.forkChild(first.leave);
        open();
        yield* Fiber.join(leaving);
        yield* stage.work([steps]);
        yield* signal(started, "go", 1);
        yield* resultOf(started);
        assert.deepEqual(seen, [0, 0]);
        const found = yield* describe(started);
        assert.deepEqual([found.attempt, found.reclaims], [0, 0]);
      }));

    test("seed 7: what another takes away begins a new attempt", (stage) =>
      Effect.gen(function* () {
        const seen: Array<number> = [];
        const counts = stage.actor("counts", async (ctx) => {
          seen.push(ctx.attempt);
          await ctx.wait(go);
        });
        const started = yield* stage.start(counts);
        yield* failedOwners(started, 2);
        yield* stage.work([counts]);
        yield* signal(started, "go", 1);
        yield* resultOf(started);
        assert.deepEqual(seen, [2]);
        assert.equal((yield* describe(started)).attempt, 2);
      }));

    test("attack 17: owners that die before they record anything are counted, and end it", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const poison = stage.actor("poison", () => ++runs);
        const [within, beyond] = [yield* stage.start(poison), yield* stage.start(poison)];
        yield* failedOwners(within, 3);
        yield* failedOwners(beyond, 4);
        yield* stage.work([poison], { maxReclaims: 3 });
        assert.equal(yield* resultOf(within), 1);
        const error = yield* errorOf(resultOf(beyond));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "max_reclaims_exceeded");
        assert.equal(runs, 1);
      }));

    test("seed 24: suspensions and reclaims do not eat the tries of the whole", (stage) =>
      Effect.gen(function* () {
        let failures = 0;
        const flaky = stage.actor("flaky", async (ctx) => {
          for (let i = 0; i < 4; i++) await ctx.sleep(`nap ${i}`, "10 millis");
          failures++;
          throw new Error("no");
        }, { retry: { attempts: 3, delay: "10 millis" } });
        const started = yield* stage.start(flaky);
        yield* failedOwners(started, 2);
        yield* stage.work([flaky], { residentGrace: atOnce });
        yield* errorOf(resultOf(started));
        assert.equal(failures, 3);
        assert.equal((yield* recordsOf(started, "attemptFailed")).length, 2);
        assert.equal((yield* describe(started)).attempt, 4);
      }));

    test("a new attempt keeps what succeeded, and tries what failed", (stage) =>
      Effect.gen(function* () {
        const ran: Array<string> = [];
        const flaky = stage.actor("flaky", async (ctx) => {
          await ctx.run("good", () => void ran.push("good"));
          await ctx.sleep("nap", "10 millis");
          await ctx.run("bad", () => {
            ran.push("bad");
            if (ctx.attempt === 0) throw new Error("no");
          }, { retry: { attempts: 1 } });
        }, { retry: { delay: "10 millis" } });
        yield* stage.work([flaky], { residentGrace: atOnce });
        const started = yield* stage.start(flaky);
        yield* resultOf(started);
        assert.deepEqual(ran, ["good", "bad", "bad"]);
      }));

    test("a retry from the failure keeps what succeeded; one from the start keeps nothing", (stage) =>
      Effect.gen(function* () {
        const ran: Array<string> = [];
        let broken = true;
        const fragile = stage.actor("fragile", async (ctx) => {
          const { uuid } = ctx;
          await ctx.state<number>("runs").set(ctx.attempt);
          await ctx.run("good", () => void ran.push("good"));
          await ctx.run("bad", () => {
            ran.push("bad");
            if (broken) throw new RangeError("no");
          }, { retry: { attempts: 1 } });
          return [ctx.attempt, typeof uuid()];
        });
        yield* stage.work([fragile], { residentGrace: atOnce });
        const started = yield* stage.start(fragile);
        yield* errorOf(resultOf(started));
        broken = false;
        const behind = yield* retry(started);
        assert.deepEqual(yield* resultOf(started, behind), [1, "string"]);
        assert.deepEqual(ran, ["good", "bad", "bad"]);
        const again = yield* retry(started, "start");
        assert.deepEqual(yield* resultOf(started, again), [2, "string"]);
        assert.deepEqual(ran, ["good", "bad", "bad", "good", "bad"]);
        const found = yield* describe(started);
        assert.deepEqual([found.status, found.attempt, found.replays], ["completed", 2, 2]);
        assert.deepEqual(found.cells, { runs: 2 });
      }));

    test("what was cancelled or has expired can be run again, without its deadline", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) =>
          ctx.wait(go).catch((error) => {
            assert.ok(error instanceof Cancelled);
            throw error;
          }));
        yield* stage.work([waits], { residentGrace: atOnce });
        const cancelled = yield* stage.start(waits);
        const expired = yield* stage.start(waits, undefined, { deadline: "100 millis" });
        yield* untilStatus(cancelled, "suspended");
        yield* verb((verbs) => verbs.cancel(cancelled));
        assert.equal((yield* errorOf(resultOf(cancelled)))._tag, "ExecutionCancelled");
        assert.equal((yield* errorOf(resultOf(expired)))._tag, "ExecutionExpired");
        for (const  of of[cancelled, expired]) {
          const behind = yield* retry(of);
          yield* untilStatus(of, "suspended");
          yield* signal(of, "go", 1);
          assert.equal(yield* resultOf(of, behind), 1);
        }
      }));

    test("a retry that is asked for twice is one", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const counts = stage.actor("counts", (ctx) => ctx.run("count", () => ++runs));
        yield* stage.work([counts]);
        const started = yield* stage.start(counts);
        yield* resultOf(started);
        const asked = yield* Effect.forEach([1, 2, 3], () => Effect.exit(retry(started, "start")), {
          concurrency: 3,
        });
        const [first] = asked;
        assert.ok(first?._tag === "Success");
        yield* resultOf(started, first.value);
        assert.equal(runs, 2);
        assert.equal((yield* recordsOf(started, "replayed")).length, 1);
      }));

    test("an execution is run again ten times, and no more", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const counts = stage.actor("counts", (ctx) => ctx.run("count", () => ++runs));
        yield* stage.work([counts]);
        const started = yield* stage.start(counts);
        yield* resultOf(started);
        for (let i = 0; i < 10; i++) {
          yield* resultOf(started, yield* retry(started, "start"));
        }
        const error = yield* errorOf(retry(started, "start"));
        assert.ok(error._tag === "RetryLimitExceeded");
        assert.equal(error.limit, 10);
        assert.equal(runs, 11);
      }));

    test("only what has ended can be run again", (stage) =>
      Effect.gen(function* () {
        const waits = stage.actor("waits", (ctx) => ctx.wait(go));
        yield* stage.work([waits], { residentGrace: atOnce });
        const started = yield* stage.start(waits);
        yield* untilStatus(started, "suspended");
        const error = yield* errorOf(retry(started));
        assert.ok(error._tag === "ExecutionNotEnded");
        assert.equal(error.status, "suspended");
        assert.ok(!(yield* kindsOf(started)).includes("retry"));
        const nobody = { execution: ExecutionId.make("order/nobody"), tenant };
        assert.equal((yield* errorOf(retry(nobody)))._tag, "ExecutionNotFound");
      }));

    test("a parent is told the first end of its child, whatever becomes of the child later", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const child = stage.actor("child", () => ++runs);
        const parent = stage.actor("parent", async (ctx) => [
          await ctx.call(child, undefined, { id: "c-1" }),
          await ctx.wait(go),
        ]);
        yield* stage.work([parent, child]);
        const started = yield* stage.start(parent);
        yield* until(
          "it waits",
          Effect.map(describe(started), ({ reason }) => reason === "signal"),
        );
        const of = stage.follow(ExecutionId.make(`${child.name}/c-1`));
        assert.equal(yield* resultOf(of, yield* retry(of, "start")), 2);
        yield* signal(started, "go", 1);
        assert.deepEqual(yield* resultOf(started), [1, 1]);
      }));
  });
};
