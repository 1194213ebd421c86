/** Triggers whose keeper dies at each of its records in turn, before it is stored or right after. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor } from "../../../actors/actor.ts";
import { signal } from "../../../actors/signal.ts";
import { inMemory } from "../../../testing/memory_weir.ts";
import type { Moment } from "../../../testing/process.ts";

const go = signal<unknown>("go");
const end = signal("end");
const kept = { triggers: true } as const;

/** How many records a keeper may write before nothing here happens any more. */
const appends = 26;

/** One play in which the first keeper dies at its nth record; says whether it died. */
const play = async (append: number, moment: Moment): Promise<boolean> => {
  await using weir = await inMemory();
  const told = actor("told", (ctx) => ctx.wait(end));
  const brief = actor("brief", (_, input: string) => input);
  await weir.worker([told, brief]);
  const keeper = await weir.worker([], kept);
  let died = false;
  keeper.crashAt({ append }, moment).then(() => died = true);
  const listener = await weir.start(told, undefined, { id: "l" });
  const then = (name: string) => ({ signal: listener, name });
  await weir.budgets.allocate("b", { d: 10 });
  await weir.triggers.create({ id: "once", when: { event: "e" }, then: then("once") });
  await weir.triggers.create({
    id: "each",
    when: { event: "e" },
    then: then("each"),
    standing: true,
  });
  await weir.triggers.create({
    id: "half",
    when: { budget: "b", dimension: "d", percent: 50 },
    then: then("half"),
    standing: true,
  });
  const late = await weir.submit(brief, "late", { id: "late", delay: "1 day" });
  await weir.triggers.create({
    id: "end",
    when: { completed: "brief/first" },
    then: { promote: late },
  });
  await weir.triggers.create({
    id: "more",
    when: { state: "brief/first", is: "completed" },
    then: { submit: brief, options: { id: "more" } },
  });
  await weir.advance("1 second");
  await weir.worker([], kept);
  for (const n of [1, 2, 3]) {
    await weir.emit("e", n);
    await weir.budgets.consume("b", { d: 6 }, { overage: "allow" });
    await weir.budgets.reset("b");
    await weir.advance("1 second");
  }
  await weir.start(brief, "first", { id: "first" });
  await weir.advance("3 minutes");
  const { buffered } = await listener.describe();
  const times = (name: string) => buffered.filter((each) => each.name === name).length;
  const where = `at record ${append}, ${moment}`;
  assert.deepEqual([times("once"), times("each"), times("half")], [1, 3, 3], where);
  const fired = (await weir.triggers.list()).map(({ id, fired, state }) => [id, fired, state]);
  assert.deepEqual(fired, [
    ["each", 3, "active"],
    ["end", 1, "over"],
    ["half", 3, "active"],
    ["more", 1, "over"],
    ["once", 1, "over"],
  ], where);
  assert.equal((await late.describe()).status, "completed", where);
  const more = weir.get(brief, "more");
  assert.deepEqual(await more.result(), { execution: "brief/first", state: "completed" }, where);
  return died;
};

describe("triggers", () => {
  for (const moment of ["before", "after"] as const) {
    it(`fire once for each thing, whichever record their keeper dies ${moment}`, async () => {
      for (let append = 1; append <= appends; append++) {
        assert.ok(await play(append, moment), `it did not come to record ${append}`);
      }
    });
  }

  it("end a circle through children, and through signals until somebody else sends one", async () => {
    await using weir = await inMemory();
    const child = actor("child", () => "done");
    const parent = actor("parent", (ctx) => ctx.call(child, undefined));
    const wakes = actor("wakes", async (ctx) => {
      for (;;) await ctx.wait(go);
    });
    await weir.worker([child, parent, wakes], { ...kept, residentGrace: 0 });
    await weir.triggers.create({
      id: "children",
      when: { completed: { actor: child } },
      then: { submit: parent, input: null },
      standing: true,
    });
    await weir.start(parent, undefined, { id: "first" });
    const woken = await weir.start(wakes, undefined, { id: "w" });
    await weir.triggers.create({
      id: "signals",
      when: { state: woken, is: "suspended" },
      then: { signal: woken, name: go },
      standing: true,
    });
    const stopped = async (id: string) => {
      await weir.advance("1 minute");
      const { fired, refused } = await weir.triggers.describe(id);
      return [fired, refused !== undefined];
    };
    assert.deepEqual(await stopped("children"), [50, true]);
    assert.deepEqual(await stopped("signals"), [50, true]);
    await woken.signal(go, "by hand");
    assert.deepEqual(await stopped("signals"), [100, true]);
    await woken.cancel({ force: true });
  });

  for (const standing of [true, false]) {
    const ends = standing ? "is cancelled" : "has fired";
    it(`go on when one that ${ends} has more before it than it can hold`, async () => {
      await using weir = await inMemory();
      const told = actor("told", (ctx) => ctx.wait(end));
      await weir.worker([told], kept);
      const listener = await weir.start(told, undefined, { id: "l" });
      const create = (id: string, event: string, stands: boolean) =>
        weir.triggers.create({
          id,
          when: { event },
          then: { signal: listener, name: id },
          standing: stands,
        });
      const firedOf = async (id: string) => (await weir.triggers.describe(id)).fired;
      await create("busy", "many", standing);
      await create("other", "few", true);
      await weir.emit("few", 1);
      await weir.advance("1 second");
      await Promise.all(Array.from({ length: 3_000 }, (_, i) => weir.emit("many", i)));
      assert.ok(await firedOf("busy") < 1_000);
      if (standing) await weir.triggers.cancel("busy");
      await create("later", "few", true);
      await weir.emit("few", 2);
      await weir.advance("1 minute");
      assert.deepEqual([await firedOf("other"), await firedOf("later")], [2, 1]);
      await listener.cancel({ force: true });
    });
  }

  it("are forgotten a week after their end, and their names are free again", async () => {
    await using weir = await inMemory();
    const told = actor("told", (ctx) => ctx.wait(go));
    const keeper = await weir.worker([told], kept);
    const listener = await weir.start(told, undefined, { id: "l" });
    const of = { id: "t", when: { event: "e" }, then: { signal: listener, name: "go" } } as const;
    await weir.triggers.create(of);
    await weir.emit("e", 1);
    await weir.advance("1 minute");
    await keeper.close();
    await weir.advance("6 days");
    assert.equal((await weir.triggers.create(of)).created, false);
    await weir.advance("2 days");
    await weir.worker([told], kept);
    await weir.advance("1 minute");
    assert.deepEqual(await weir.triggers.list(), []);
    assert.equal((await weir.triggers.create(of)).created, true);
    assert.equal(await listener.result(), 1);
  });
});
