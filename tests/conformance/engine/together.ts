/** What holds when much is under way at once, when it is run again, and when the code has changed. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { ActorContext } from "../../../actors/actor.ts";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { KindMismatch, NameInUse } from "../../../schema/execution_errors.ts";
import type { Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  errorOf,
  type Gate,
  gate,
  kindsOf,
  resultOf,
  type Services,
  signal,
  type Stage,
  until,
  untilStatus,
  wake,
} from "./stage.ts";

const go = defineSignal<number>("go");
const stop = defineSignal<string>("stop");

/** Every order of some things. */
const orders = <A>(things: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  things.length === 0
    ? [[]]
    : things.flatMap((first, i) => orders(things.toSpliced(i, 1)).map((rest) => [first, ...rest]));

/** Runs old code until it is suspended, and new code on what that has left. */
const deploy = (
  stage: Stage,
  old: (context: ActorContext) => Promise<unknown>,
  changed: (context: ActorContext) => Promise<unknown>,
) =>
  Effect.gen(function* () {
    const before = stage.actor("order", old);
    const first = yield* stage.work([before], { residentGrace: atOnce });
    const started = yield* stage.start(before);
    yield* untilStatus(started, "suspended");
    yield* first.leave;
    yield* stage.work([stage.actor("order", changed)], { residentGrace: atOnce });
    yield* signal(started, "go", 1);
    return started;
  });

export const togetherSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: together`, () => {
    test("steps that finish in any order reach the code in that order again", (stage) =>
      Effect.gen(function* () {
        const plays = orders(["a", "b", "c"]).map((order) => ({
          order,
          gates: new Map(order.map((name): [string, Gate] => [name, gate()])),
          seen: [] as Array<Array<string>>,
        }));
        const races = stage.actor("races", async (ctx, play: number) => {
          const { gates, seen } = plays[play]!;
          const mine: Array<string> = [];
          seen.push(mine);
          await Promise.all(
            ["a", "b", "c"].map((name) =>
              ctx.run(name, () => gates.get(name)!.passed).then(() => mine.push(name))
            ),
          );
          const last = mine.join("");
          await ctx.run(`after ${last}`, () => 1);
          await ctx.wait(go);
          return last;
        });
        yield* stage.work([races], { residentGrace: atOnce });
        for (const [i, { order, gates, seen }] of plays.entries()) {
          const started = yield* stage.start(races, i);
          for (const [done, name] of order.entries()) {
            gates.get(name)!.open();
            yield* until(
              `${name} is recorded`,
              Effect.map(describe(started), ({ steps }) => Object.keys(steps).length > done),
            );
          }
          yield* untilStatus(started, "suspended");
          yield* signal(started, "go", 1);
          assert.equal(yield* resultOf(started), order.join(""));
          assert.equal(seen.length, 2);
          assert.deepEqual(seen[1], seen[0]);
        }
      }));

    test("steps, sleeps, waits and children at once are decided alike in every replay", (stage) =>
      Effect.gen(function* () {
        const seen: Array<Array<string>> = [];
        const child = stage.actor("child", (ctx) => ctx.sleep("nap", "40 millis"));
        const mixed = stage.actor("mixed", async (ctx) => {
          const mine: Array<string> = [];
          seen.push(mine);
          const note = (what: string) => () => void mine.push(what);
          await Promise.all([
            ctx.run("step", () => 1).then(note("step")),
            ctx.run("flaky", (step) => {
              if (step.try < 3) throw new Error("no");
            }, { retry: { delay: "20 millis" } }).then(note("flaky")),
            ctx.sleep("short", "10 millis").then(note("short")),
            ctx.sleep("long", "90 millis").then(note("long")),
            ctx.wait(go).then(note("go")),
            ctx.wait(stop, { timeout: "50 millis" }).then(note("stop")),
            ctx.call(child, undefined, { id: ctx.executionId }).then(note("child")),
            ctx.now().then(note("now")),
            ctx.tag("team.name", "x").then(note("tag")),
          ]);
          await ctx.sleep("end", "30 millis");
          await ctx.wait(go, { name: "last" });
          return mine;
        });
        yield* stage.work([mixed, child], { residentGrace: atOnce });
        const started = yield* stage.start(mixed);
        yield* signal(started, "go", 1);
        yield* until(
          "all but the last is over",
          Effect.map(describe(started), ({ waitingFor }) => waitingFor[0]?.key === "last"),
        );
        yield* signal(started, "go", 2);
        const last = yield* resultOf(started);
        assert.ok(seen.length >= 2, `${seen.length} runs`);
        assert.equal((last as Array<string>).length, 9);
        for (const mine of seen) {
          assert.deepEqual(mine, (last as Array<string>).slice(0, mine.length));
        }
      }));

    test("who won a race has won it in every replay", (stage) =>
      Effect.gen(function* () {
        const winners: Array<string> = [];
        const { open, passed } = gate();
        const races = stage.actor("races", async (ctx) => {
          const winner = await Promise.race([
            ctx.run("slow", () => passed).then(() => "slow"),
            ctx.sleep("nap", "60 millis").then(() => "nap"),
            ctx.wait(go).then(() => "go"),
          ]);
          winners.push(winner);
          if (winner === "nap") await ctx.run("after", () => open());
          await ctx.sleep("first", "20 millis");
          await ctx.wait(go, { name: "second" });
          return winner;
        });
        yield* stage.work([races], { residentGrace: atOnce });
        const started = yield* stage.start(races);
        yield* untilStatus(started, "suspended");
        yield* signal(started, "go", 1);
        yield* signal(started, "go", 2);
        assert.equal(yield* resultOf(started), "nap");
        assert.ok(winners.length >= 2);
        assert.deepEqual(new Set(winners), new Set(["nap"]));
      }));

    test("a wait's signal and its timeout, close together, are decided once", (stage) =>
      Effect.gen(function* () {
        const seen = new Map<string, Array<number>>();
        const waits = stage.actor("waits", async (ctx) => {
          const found = await ctx.wait(go, { timeout: "30 millis" }) ?? 0;
          seen.set(ctx.executionId, [...seen.get(ctx.executionId) ?? [], found]);
          await ctx.sleep("nap", "20 millis");
          return found;
        });
        yield* stage.work([waits], { residentGrace: atOnce });
        yield* Effect.forEach(
          Array.from({ length: 20 }, (_, i) => i),
          (i) =>
            Effect.gen(function* () {
              const started = yield* stage.start(waits);
              yield* Effect.sleep(20 + i);
              const sent = yield* Effect.option(signal(started, "go", 1));
              const found = yield* resultOf(started);
              const effects = sent._tag === "Some" ? [yield* sent.value.effect] : [];
              assert.equal(found, effects[0] === "satisfied" ? 1 : 0);
              assert.deepEqual(new Set(seen.get(started.execution)), new Set([found]));
            }),
          { concurrency: 20 },
        );
      }));

    test("a name that is used again gets a number, and each use its own result", (stage) =>
      Effect.gen(function* () {
        const bodies: Array<Array<number>> = [];
        let draws = 0;
        const loops = stage.actor("loops", async (ctx) => {
          const mine: Array<number> = [];
          bodies.push(mine);
          for (let i = 0; i < 3; i++) mine.push(await ctx.run("draw", () => ++draws));
          await ctx.wait(go);
          return mine;
        });
        yield* stage.work([loops], { residentGrace: atOnce });
        const started = yield* stage.start(loops);
        yield* wake(started, "go");
        assert.deepEqual(yield* resultOf(started), [1, 2, 3]);
        assert.deepEqual(bodies, [[1, 2, 3], [1, 2, 3]]);
        assert.deepEqual(Object.keys((yield* describe(started)).steps), [
          "draw",
          "draw#2",
          "draw#3",
        ]);
      }));

    for (
      const [what, second] of [
        ["a step", (ctx: ActorContext) => ctx.run("charge", () => 2)],
        ["a sleep", (ctx: ActorContext) => ctx.sleep("charge", "1 hour")],
        ["a wait", (ctx: ActorContext) => ctx.wait(go, { name: "charge" })],
      ] as const
    ) {
      test(`one name for a step and ${what} at once is an error that names it`, (stage) =>
        Effect.gen(function* () {
          const errors: Array<unknown> = [];
          const { open, passed } = gate();
          const twice = stage.actor("twice", async (ctx) => {
            const first = ctx.run("charge", () => passed);
            await second(ctx).catch((error) => errors.push(error));
            open();
            await first;
            await ctx.wait(go);
            return ctx.run("charge", () => "again");
          });
          yield* stage.work([twice], { residentGrace: atOnce });
          const started = yield* stage.start(twice);
          yield* wake(started, "go");
          assert.equal(yield* resultOf(started), "again");
          assert.equal(errors.length, 2);
          for (const error of errors) {
            assert.ok(error instanceof NameInUse);
            assert.equal(error.step, "charge");
          }
        }));
    }

    test("one name twice in Promise.all fails the whole, in every replay", (stage) =>
      Effect.gen(function* () {
        let naps = 0;
        const twice = stage.actor("twice", async (ctx) => {
          await ctx.sleep("nap", "20 millis");
          naps++;
          await Promise.all([1, 2, 3].map((i) => ctx.run("charge", () => i)));
        });
        yield* stage.work([twice], { residentGrace: atOnce });
        const started = yield* stage.start(twice);
        const error = yield* errorOf(resultOf(started));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "NameInUse");
        assert.match(error.failure.message, /"charge"/);
        assert.equal(naps, 1);
      }));

    test("a step that was inserted runs; those that were there do not run again", (stage) =>
      Effect.gen(function* () {
        const ran: Array<string> = [];
        const step = (ctx: ActorContext, name: string) =>
          ctx.run(name, () => {
            ran.push(name);
            return name;
          });
        const started = yield* deploy(stage, async (ctx) => {
          await step(ctx, "charge");
          await step(ctx, "ship");
          return ctx.wait(go);
        }, async (ctx) => {
          const before = await step(ctx, "check");
          const all = [before, await step(ctx, "charge"), await step(ctx, "pack")];
          return [...all, await step(ctx, "ship"), await ctx.wait(go)];
        });
        assert.deepEqual(yield* resultOf(started), ["check", "charge", "pack", "ship", 1]);
        assert.deepEqual(ran, ["charge", "ship", "check", "pack"]);
      }));

    test("steps that changed places keep their results", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const started = yield* deploy(stage, async (ctx) => {
          await ctx.run("a", () => ++runs);
          await ctx.run("b", () => ++runs);
          await ctx.sleep("nap", "10 millis");
          return ctx.wait(go);
        }, async (ctx) => {
          const found = await ctx.wait(go);
          await ctx.sleep("nap", "1 hour");
          return [found, await ctx.run("b", () => ++runs), await ctx.run("a", () => ++runs)];
        });
        assert.deepEqual(yield* resultOf(started), [1, 2, 1]);
        assert.equal(runs, 2);
      }));

    test("a step that was renamed is a new one", (stage) =>
      Effect.gen(function* () {
        let runs = 0;
        const started = yield* deploy(stage, async (ctx) => {
          await ctx.run("charge", () => ++runs);
          return ctx.wait(go);
        }, async (ctx) => [await ctx.run("charge card", () => ++runs), await ctx.wait(go)]);
        assert.deepEqual(yield* resultOf(started), [2, 1]);
      }));

    for (
      const [what, recorded, asked] of [
        ["a step by a sleep", "run", (ctx: ActorContext) => ctx.sleep("charge", "1 milli")],
        ["a step by a wait", "run", (ctx: ActorContext) => ctx.wait(go, { name: "charge" })],
      ] as const
    ) {
      test(`${what} of its name is an error that names both`, (stage) =>
        Effect.gen(function* () {
          const errors: Array<unknown> = [];
          const started = yield* deploy(stage, async (ctx) => {
            await ctx.run("charge", () => 1);
            return ctx.wait(go);
          }, async (ctx) => {
            await asked(ctx).catch((error) => errors.push(error));
            return ctx.wait(go);
          });
          assert.equal(yield* resultOf(started), 1);
          for (const error of errors) {
            assert.ok(error instanceof KindMismatch);
            assert.deepEqual([error.step, error.recorded], ["charge", recorded]);
          }
          assert.ok(errors.length > 0);
        }));
    }

    test("a kind mismatch that nobody handles is how the execution failed", (stage) =>
      Effect.gen(function* () {
        const started = yield* deploy(stage, async (ctx) => {
          await ctx.sleep("charge", "10 millis");
          return ctx.wait(go);
        }, (ctx) => ctx.run("charge", () => 1));
        const error = yield* errorOf(resultOf(started));
        assert.ok(error._tag === "ExecutionFailed");
        assert.equal(error.failure.name, "KindMismatch");
        assert.ok(!(yield* kindsOf(started)).includes("step"));
      }));

    test("attack 16: a replayed sleep keeps its deadline, also when the code has another", (stage) =>
      Effect.gen(function* () {
        const old = stage.actor("naps", async (ctx) => {
          await ctx.sleep("nap", "600 millis");
          return (await ctx.now()).getTime();
        });
        const first = yield* stage.work([old], { residentGrace: atOnce });
        const started = yield* stage.start(old);
        const { waitingFor: [nap] } = yield* untilStatus(started, "suspended");
        assert.ok(nap?.kind === "sleep");
        yield* first.leave;
        yield* stage.work([
          stage.actor("naps", async (ctx) => {
            await ctx.sleep("before", "10 millis");
            await ctx.sleep("nap", "1 hour");
            return (await ctx.now()).getTime();
          }),
        ], { residentGrace: atOnce });
        const over = Number(yield* resultOf(started));
        assert.ok(over >= nap.due && over < nap.due + 60_000, `${over - nap.due} ms after`);
      }));
  });
};
