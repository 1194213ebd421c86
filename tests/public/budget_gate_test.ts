/** What a task does whose budgets have nothing left: it waits, says so, and goes on as soon as there is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, ExecutionCancelled, InvalidInput, signal } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

/** A budget of one dimension of which nothing is left. */
const exhausted = async (
  { budgets }: Awaited<ReturnType<typeof inMemory>>,
  name: string,
  dimension = "token",
) => {
  await budgets.allocate(name, { [dimension]: 10 });
  await budgets.consume(name, { [dimension]: 10 });
};

const brief = actor("brief", (ctx, input: string) => ctx.run("work", () => `did ${input}`));

describe("a task that is bound to budgets", () => {
  for (
    const [how, free] of [
      ["replenished", (weir) => weir.budgets.replenish("flow", { token: 10 })],
      ["reset", (weir) => weir.budgets.reset("flow")],
      ["raised", (weir) => weir.budgets.allocate("flow", { token: 11 })],
      ["deleted", (weir) => weir.budgets.delete("flow")],
    ] as ReadonlyArray<
      readonly [string, (weir: Awaited<ReturnType<typeof inMemory>>) => Promise<unknown>]
    >
  ) {
    it(`does not begin before an exhausted one is ${how}`, async () => {
      await using weir = await inMemory();
      await weir.worker([brief]);
      await exhausted(weir, "flow");
      const run = await weir.submit(brief, "a", { budgets: ["flow"] });
      await weir.advance("1 hour");
      const { status, reason, budget, why } = await run.describe();
      assert.deepEqual([status, reason], ["suspended", "budget"]);
      assert.deepEqual(budget, { name: "flow", dimension: "token" });
      assert.equal(why, "it waits for more token in the budget flow");
      await free(weir);
      await weir.advance("1 second");
      assert.equal((await run.describe()).status, "completed");
      assert.equal(await run.result(), "did a");
    });
  }

  it("goes on when an interval is over, though nobody asks the budget anything", async () => {
    await using weir = await inMemory();
    await weir.worker([brief]);
    await weir.budgets.allocate("daily", { token: 1 }, { resetEvery: "1 day" });
    await weir.budgets.consume("daily", { token: 1 });
    const run = await weir.submit(brief, "a", { budgets: ["daily"] });
    await weir.advance("23 hours");
    assert.equal((await run.describe()).reason, "budget");
    await weir.advance("61 minutes");
    assert.equal((await run.describe()).status, "completed");
  });

  it("goes on when another execution gives back what it has used", async () => {
    await using weir = await inMemory();
    await weir.worker([brief]);
    await weir.budgets.allocate("flow", { token: 1 });
    await weir.budgets.consume("flow", { token: 1 }, { execution: "ask/a-1" });
    const run = await weir.submit(brief, "a", { budgets: ["flow"] });
    await weir.advance("1 minute");
    await weir.budgets.release("ask/a-1");
    await weir.advance("1 second");
    assert.equal((await run.describe()).status, "completed");
  });

  it("waits for each of two, one after the other", async () => {
    await using weir = await inMemory();
    await weir.worker([brief]);
    await exhausted(weir, "own");
    await exhausted(weir, "flow", "cents");
    const run = await weir.submit(brief, "a", { budgets: ["own", "flow"] });
    await weir.advance("1 minute");
    assert.deepEqual((await run.describe()).budget, { name: "own", dimension: "token" });
    await weir.budgets.reset("own");
    await weir.advance("1 minute");
    assert.deepEqual((await run.describe()).budget, { name: "flow", dimension: "cents" });
    await weir.budgets.reset("flow");
    await weir.advance("1 second");
    assert.equal((await run.describe()).status, "completed");
  });

  it("begins at once if nobody has allocated them, and is refused if they are no names", async () => {
    await using weir = await inMemory();
    await weir.worker([brief]);
    const run = await weir.submit(brief, "a", { budgets: ["nobody's"] });
    assert.equal(await run.result(), "did a");
    await assert.rejects(weir.submit(brief, "a", { budgets: [""] }), InvalidInput);
  });

  it("is cancelled while it waits, and takes no place then", async () => {
    await using weir = await inMemory();
    await weir.worker([brief]);
    await exhausted(weir, "flow");
    const run = await weir.submit(brief, "a", { budgets: ["flow"] });
    await weir.advance("1 minute");
    await run.cancel();
    await assert.rejects(run.result(), ExecutionCancelled);
    await weir.budgets.reset("flow");
    await weir.advance("1 minute");
    assert.equal((await run.describe()).signals, 0);
  });

  it("binds what is submitted below it to the same", async () => {
    await using weir = await inMemory();
    const go = signal("go");
    const parent = actor("parent", (ctx) => ctx.wait(go));
    await weir.worker([brief, parent]);
    await weir.budgets.allocate("flow", { token: 10 });
    const above = await weir.submit(parent, undefined, { id: "p", budgets: ["flow"] });
    await weir.advance("1 second");
    await weir.budgets.consume("flow", { token: 10 });
    const below = await weir.submit(brief, "a", { parent: above.id });
    const free = await weir.submit(brief, "b", { parent: above.id, budgets: ["own"] });
    await weir.advance("1 minute");
    assert.equal((await below.describe()).reason, "budget");
    assert.equal((await free.describe()).status, "completed");
    await weir.budgets.reset("flow");
    assert.equal(await below.result(), "did a");
  });

  it("tells of 200 that wait for one, none twice and none lost", async () => {
    await using weir = await inMemory();
    const begun: Array<string> = [];
    const one = actor("one", (ctx, id: string) => ctx.run("begin", () => void begun.push(id)));
    await weir.worker([one]);
    await weir.worker([one]);
    await exhausted(weir, "flow");
    const ids = Array.from({ length: 200 }, (_, i) => `t-${i}`);
    const runs = await weir.submitAll(
      ids.map((id) => ({ actor: one, input: id, id, budgets: ["flow"] })),
    );
    await weir.advance("1 minute");
    assert.deepEqual(begun, []);
    await weir.budgets.replenish("flow", { token: 1 });
    await Promise.all(runs.map((run) => run.result()));
    assert.deepEqual(begun.toSorted(), ids.toSorted());
  });
});
