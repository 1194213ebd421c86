/** Whose turn it is, with nothing written at all. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { type Task, Turns } from "../../../streams/budgets/turns.ts";

interface Named extends Task {
  readonly name: string;
}

const task = (name: string, ...things: ReadonlyArray<string>): Named => ({
  name,
  things,
  isAbandoned: false,
});

const scene = (options = { mostTasks: 100, mostThings: 100 }) => {
  const taken: Array<{ readonly tasks: ReadonlyArray<Named>; readonly done: () => void }> = [];
  const turns = new Turns<Named>((tasks, done) => void taken.push({ tasks, done }), options);
  const namesOf = () => taken.map(({ tasks }) => tasks.map(({ name }) => name).join(""));
  return { turns, taken, namesOf };
};

describe("turns", () => {
  it("go on side by side for what has nothing in common, and together for what has", async () => {
    const { turns, namesOf } = scene();
    const tasks = [task("1", "a"), task("2", "b"), task("3", "c"), task("4", "a", "b")];
    tasks.forEach((one) => turns.submit(one));
    await setImmediate();
    assert.deepEqual(namesOf(), ["124", "3"]);
  });

  it("take everything that came meanwhile at once, in the order in which it came", async () => {
    const { turns, taken, namesOf } = scene();
    turns.submit(task("1", "a"));
    await setImmediate();
    ["2", "3", "4"].forEach((name) => turns.submit(task(name, "a")));
    await setImmediate();
    assert.deepEqual(namesOf(), ["1"]);
    taken[0]!.done();
    await setImmediate();
    assert.deepEqual(namesOf(), ["1", "234"]);
  });

  it("are not overtaken: who waits for one of two things holds the other", async () => {
    const { turns, taken, namesOf } = scene();
    turns.submit(task("1", "a"));
    await setImmediate();
    turns.submit(task("2", "a", "b"));
    turns.submit(task("3", "b"));
    turns.submit(task("4", "c"));
    await setImmediate();
    assert.deepEqual(namesOf(), ["1", "4"]);
    taken[0]!.done();
    await setImmediate();
    assert.deepEqual(namesOf(), ["1", "4", "23"]);
  });

  it("are bounded, and leave out whom nobody waits for", async () => {
    const { turns, taken, namesOf } = scene({ mostTasks: 2, mostThings: 100 });
    const tasks = ["1", "2", "3", "4"].map((name) => task(name, "a"));
    tasks.forEach((one) => turns.submit(one));
    await setImmediate();
    tasks[2]!.isAbandoned = true;
    taken[0]!.done();
    await setImmediate();
    assert.deepEqual(namesOf(), ["12", "4"]);
  });

  it("are all had once, in order, and never two at the same thing", async () => {
    const things = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(things, fc.boolean()), { maxLength: 60 }),
        async (asked) => {
          const busy = new Set<string>();
          const had: Array<Named> = [];
          const open: Array<() => void> = [];
          const turns = new Turns<Named>((tasks, done) => {
            const own = new Set(tasks.flatMap(({ things }) => things));
            for (const thing of own) assert.ok(!busy.has(thing));
            own.forEach((thing) => busy.add(thing));
            had.push(...tasks);
            open.push(() => {
              own.forEach((thing) => busy.delete(thing));
              done();
            });
          }, { mostTasks: 3, mostThings: 4 });
          const tasks = asked.map(([things], n) => task(String(n), ...things));
          for (const [n, [, isEnding]] of asked.entries()) {
            turns.submit(tasks[n]!);
            if (isEnding) open.shift()?.();
            if (n % 3 === 0) await Promise.resolve();
          }
          while (had.length < tasks.length) {
            open.splice(0).forEach((end) => end());
            await Promise.resolve();
          }
          for (const thing of ["a", "b", "c", "d"]) {
            const order = (list: ReadonlyArray<Named>) =>
              list.filter(({ things }) => things.includes(thing)).map(({ name }) => name);
            assert.deepEqual(order(had), order(tasks));
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
