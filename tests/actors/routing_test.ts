/** A hundred workers and a thousand tasks: nothing runs where it may not, and all of it runs once. */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { actor } from "../../mod.ts";
import { inMemory } from "../../testing.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const workers = isFull ? 100 : 20;
const tasks = isFull ? 1_000 : 200;
const universe = Array.from({ length: 10 }, (_, i) => `c${i}`);

/** What each worker has, and what each task requires. */
const modes: Readonly<
  Record<
    string,
    readonly [
      has: (worker: number) => ReadonlyArray<string>,
      requires: (task: number) => ReadonlyArray<string>,
    ]
  >
> = {
  "each has all": [() => universe, (task) => [universe[task % 10]!]],
  "each has a half": [
    (worker) => universe.filter((_, i) => (i + worker) % 10 < 5),
    (task) => [universe[task % 10]!, universe[(task + 1) % 10]!],
  ],
  "one has what a tenth require": [
    (worker) => worker === 0 ? universe : universe.slice(1),
    (task) => [universe[task % 10]!],
  ],
};

describe(`${workers} workers and ${tasks} tasks`, () => {
  for (const [mode, [has, requires]] of Object.entries(modes)) {
    it(`are right for each other, all of them, if ${mode}`, async () => {
      await using weir = await inMemory({ runsTwice: false });
      const taken: Array<readonly [worker: number, task: number]> = [];
      const by = (worker: number) =>
        actor(
          "task",
          (ctx, task: number) => ctx.run("take", () => void taken.push([worker, task])),
        );
      for (let worker = 0; worker < workers; worker++) {
        await weir.worker([by(worker)], { capabilities: has(worker), concurrency: 1 });
      }
      const submitted = Array.from({ length: tasks }, (_, task) => task);
      const runs = await weir.submitAll(
        submitted.map((task) => ({ actor: by(0), input: task, requires: requires(task) })),
      );
      await Promise.all(runs.map((run) => run.result()));
      for (const [worker, task] of taken) {
        const missing = requires(task).filter((each) => !has(worker).includes(each));
        assert.deepEqual(missing, [], `task ${task} on worker ${worker}`);
      }
      assert.deepEqual(taken.map(([, task]) => task).sort((a, b) => a - b), submitted);
    });
  }
});
