/**
 * What workers have and executions require: nothing runs where it may not, whatever is missing is said
 * and waited for, and what only few can do comes to its turn while there is more for everybody.
 */
import assert from "node:assert/strict";
import { describe as suite } from "node:test";
import * as Effect from "effect/Effect";
import type { Run } from "../subject_matter.ts";
import { describe, engineTests, resultOf, type Services, type Stage, untilTrue } from "./stage.ts";

const universe = ["a", "b", "c", "d", "e", "f"];
const workers = 6;

/** What each worker has, and what each task requires. */
const modes: Readonly<
  Record<string, {
    readonly has: (worker: number) => ReadonlyArray<string>;
    readonly requires: (task: number) => ReadonlyArray<string>;
  }>
> = {
  "all workers have everything": {
    has: () => universe,
    requires: (task) => [universe[task % 6]!],
  },
  "each worker has a part": {
    has: (worker) => universe.filter((_, i) => (i + worker) % 6 < 3),
    requires: (task) => [universe[task % 6]!, universe[(task + 1) % 6]!],
  },
  "one worker has what is scarce": {
    has: (worker) => worker === 0 ? universe : universe.slice(1),
    requires: (task) => [universe[task % 6]!],
  },
};

/** Who took which task, in the order in which they were taken. */
const takes = (stage: Stage) => {
  const taken: Array<{ readonly worker: number; readonly task: number }> = [];
  /** The code as a worker has it, which says that it was this one. */
  const by = (worker: number) =>
    stage.actor("task", (ctx, task: number) => ctx.run("take", () => taken.push({ worker, task })));
  return { taken, by };
};

export const routingSuite = (name: string, run: Run<Services>): void => {
  const test = engineTests(run);
  suite(`${name}: routing`, () => {
    for (const [what, { has, requires }] of Object.entries(modes)) {
      test(`each task runs once and where it may, if ${what}`, (stage) =>
        Effect.gen(function* () {
          const { taken, by } = takes(stage);
          for (let worker = 0; worker < workers; worker++) {
            yield* stage.work([by(worker)], { capabilities: has(worker), concurrency: 1 });
          }
          const tasks = Array.from({ length: 60 }, (_, i) => i);
          const started = yield* Effect.forEach(
            tasks,
            (task) => stage.start(by(0), task, { requires: requires(task) }),
            { concurrency: 20 },
          );
          yield* Effect.forEach(started, (each) => resultOf(each), { concurrency: "unbounded" });
          for (const { worker, task } of taken) {
            const missing = requires(task).filter((each) => !has(worker).includes(each));
            assert.deepEqual(missing, [], `task ${task} on worker ${worker}`);
          }
          assert.deepEqual(taken.map(({ task }) => task).sort((a, b) => a - b), tasks);
        }));
    }

    test("what nobody has is named, holds up nobody, and runs as soon as somebody comes", (stage) =>
      Effect.gen(function* () {
        const { taken, by } = takes(stage);
        yield* stage.work([by(0)], { capabilities: ["a"], concurrency: 1 });
        yield* stage.work([by(1)], { capabilities: ["b"], concurrency: 1 });
        const start = (task: number, requires: ReadonlyArray<string>) =>
          stage.start(by(0), task, { requires });
        const [rare, both] = [yield* start(1, ["rare"]), yield* start(2, ["a", "b"])];
        for (let task = 10; task < 30; task++) {
          yield* resultOf(yield* start(task, [["a"], ["b"], []][task % 3]!));
        }
        const why = (of: typeof rare) =>
          Effect.map(describe(of), ({ status, reason, why }) => [status, reason, why]);
        assert.deepEqual(yield* why(rare), [
          "waiting",
          "capability",
          "no worker that is alive has the capability rare",
        ]);
        assert.deepEqual(yield* why(both), [
          "waiting",
          "capability",
          "no worker that is alive has all of the capabilities a, b",
        ]);
        assert.equal(taken.length, 20);
        yield* stage.work([by(2)], { capabilities: ["a", "b", "rare"], concurrency: 1 });
        yield* Effect.forEach([rare, both], (each) => resultOf(each));
        assert.deepEqual(
          taken.slice(20).sort((x, y) => x.task - y.task),
          [{ worker: 2, task: 1 }, { worker: 2, task: 2 }],
        );
      }));

    test("what only one can do comes to its turn however much there is for everybody", (stage) =>
      Effect.gen(function* () {
        const waiting = 150;
        const { taken, by } = takes(stage);
        /** What had been taken already when each scarce one was submitted. */
        const scarce = new Map<number, number>();
        const late = () =>
          taken.flatMap(({ task }, i) => scarce.has(task) ? [i - scarce.get(task)!] : []);
        let submitted = 0;
        const submit = (requires: ReadonlyArray<string> = []) =>
          stage.start(by(0), submitted++, { requires });
        for (let i = 0; i < waiting; i++) yield* submit();
        for (let worker = 0; worker < 4; worker++) {
          const capabilities = worker === 0 ? ["scarce"] : [];
          yield* stage.work([by(worker)], { capabilities, concurrency: 1 });
        }
        yield* untilTrue("some are taken", () => taken.length > 10);
        for (let i = 0; i < 4; i++) {
          scarce.set(submitted, taken.length);
          yield* submit(["scarce"]);
        }
        // As many wait as ever, until the scarce ones have had their turn.
        while (late().length < scarce.size && submitted < 1_000) {
          if (submitted - taken.length < waiting) yield* submit();
          else yield* Effect.sleep("1 millis");
        }
        assert.equal(late().length, scarce.size);
        assert.ok(Math.max(...late()) <= 100, `after ${late().join(", ")} others`);
        yield* untilTrue("all are taken", () => taken.length === submitted);
      }));
  });
};
