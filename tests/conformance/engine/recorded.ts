/** What an actor draws and shows: time, chance, tags and cells, the same in every replay. */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import { signal as defineSignal } from "../../../actors/signal.ts";
import { type Run } from "../subject_matter.ts";
import {
  atOnce,
  describe,
  engineTests,
  gate,
  kindsOf,
  resultOf,
  type Services,
  signal,
  until,
  untilStatus,
} from "./stage.ts";

const go = defineSignal<number>("go");

export const recordedSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: recorded values`, () => {
    test("time and chance are the same in every replay, and differ between executions", (stage) =>
      Effect.gen(function* () {
        const seen = new Map<string, Array<unknown>>();
        const draws = stage.actor("draws", async (ctx) => {
          const first = [(await ctx.now()).getTime(), ctx.uuid(), ctx.random()];
          await ctx.sleep("nap", "40 millis");
          const then = [(await ctx.now()).getTime(), ctx.uuid(), ctx.random()];
          seen.set(ctx.executionId, [...seen.get(ctx.executionId) ?? [], first]);
          await ctx.wait(go);
          return [first, then];
        });
        yield* stage.work([draws], { residentGrace: atOnce });
        const plays = yield* Effect.forEach([1, 2], () =>
          Effect.gen(function* () {
            const started = yield* stage.start(draws);
            yield* until(
              "it waits",
              Effect.map(describe(started), ({ reason }) => reason === "signal"),
            );
            yield* signal(started, "go", 1);
            const [first, then] = (yield* resultOf(started)) as Array<[number, string, number]>;
            const mine = seen.get(started.execution)!;
            assert.ok(mine.length >= 2);
            for (const found of mine) assert.deepEqual(found, first);
            assert.ok(then![0] >= first![0] + 40);
            for (const [, uuid, random] of [first!, then!]) {
              assert.match(
                uuid,
                /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
              );
              assert.ok(random >= 0 && random < 1);
            }
            return [first![1], then![1], first![2], then![2]];
          }));
        assert.equal(new Set(plays.flat()).size, 8);
      }));

    test("uuid and random cost no record, and now costs one", (stage) =>
      Effect.gen(function* () {
        const draws = stage.actor("draws", async (ctx) => {
          ctx.uuid();
          ctx.random();
          await ctx.now();
        });
        yield* stage.work([draws]);
        const started = yield* stage.start(draws);
        yield* resultOf(started);
        assert.deepEqual(yield* kindsOf(started), ["start", "noted", "done"]);
      }));

    test("tags come and go while it runs, and everybody sees them", (stage) =>
      Effect.gen(function* () {
        const { open, passed } = gate();
        const tagged = stage.actor("tagged", async (ctx) => {
          await ctx.tag("order.size", "xl");
          await ctx.tag("order.urgent");
          await ctx.run("slow", () => passed);
          await ctx.untag("team.name");
          await ctx.tag("order.size", "s");
          await ctx.wait(go);
        });
        yield* stage.work([tagged], { residentGrace: atOnce });
        const started = yield* stage.start(tagged, undefined, { tags: { "team.name": "x" } });
        const early = { "team.name": "x", "order.size": "xl", "order.urgent": "" };
        yield* until(
          "it is tagged",
          Effect.map(describe(started), ({ tags }) => Object.keys(tags).length === 3),
        );
        assert.deepEqual((yield* describe(started)).tags, early);
        open();
        yield* untilStatus(started, "suspended");
        const late = { "order.size": "s", "order.urgent": "" };
        assert.deepEqual((yield* describe(started)).tags, late);
        yield* signal(started, "go", 1);
        yield* resultOf(started);
        assert.deepEqual((yield* describe(started)).tags, late);
        const tags = (yield* kindsOf(started)).filter((kind) => kind === "tag");
        assert.equal(tags.length, 5);
      }));

    test("a cell can be read at any time, by its actor and by everybody", (stage) =>
      Effect.gen(function* () {
        const { open, passed } = gate();
        const seen: Array<unknown> = [];
        const phases = stage.actor("phases", async (ctx) => {
          const phase = ctx.state<{ name: string }>("phase");
          const count = ctx.state<number>("count");
          seen.push(phase.get());
          await phase.set({ name: "begun" });
          await count.set(1);
          await ctx.run("slow", () => passed);
          await count.set((count.get() ?? 0) + 1);
          await ctx.wait(go);
          seen.push(phase.get());
          await phase.set(undefined);
          return [phase.get() ?? "none", count.get()];
        });
        yield* stage.work([phases], { residentGrace: atOnce });
        const started = yield* stage.start(phases);
        const found = yield* until(
          "it has begun",
          Effect.map(describe(started), (found) => found.cells["count"] === 1 ? found : undefined),
        );
        assert.equal(found.status, "active");
        assert.deepEqual(found.cells, { phase: { name: "begun" }, count: 1 });
        open();
        yield* untilStatus(started, "suspended");
        assert.deepEqual((yield* describe(started)).cells, { phase: { name: "begun" }, count: 2 });
        yield* signal(started, "go", 1);
        assert.deepEqual(yield* resultOf(started), ["none", 2]);
        assert.deepEqual((yield* describe(started)).cells, { count: 2 });
        assert.deepEqual(seen.filter((cell) => cell !== undefined), [{ name: "begun" }]);
      }));
  });
};
