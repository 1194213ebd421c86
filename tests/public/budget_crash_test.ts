/** Tasks that wait for a budget, wherever the worker dies: none waits for ever, and none begins too early. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const moments = ["before", "after"] as const;

/** One that waits twice: to begin, and after its first attempt has failed. */
const open = async () => {
  const weir = await inMemory({ runsTwice: false });
  const seen = { began: new Array<string>(), isOpen: false, tooEarly: 0 };
  const failed = new Set<string>();
  const work = actor("work", async (ctx) => {
    if (!seen.isOpen) seen.tooEarly++;
    await ctx.run("begin", () => void seen.began.push(ctx.executionId));
    if (!failed.has(ctx.executionId)) {
      failed.add(ctx.executionId);
      throw new Error("not yet");
    }
    return ctx.executionId;
  });
  const first = await weir.worker([work]);
  await weir.budgets.allocate("flow", { token: 1 });
  await weir.budgets.allocate("daily", { cents: 1 }, { resetEvery: "1 day" });
  await weir.budgets.consume("flow", { token: 1 });
  await weir.budgets.consume("daily", { cents: 1 });
  return { weir, work, seen, first };
};

describe("a worker that dies while tasks wait for a budget", () => {
  it("leaves none that waits for ever, or that has begun too early", async () => {
    let deaths = 0;
    let died = true;
    for (let append = 1; died; append++) {
      for (const moment of moments) {
        const { weir, work, seen, first } = await open();
        await using _ = weir;
        died = false;
        void first.crashAt({ append }, moment).then(async () => {
          died = true;
          await weir.worker([work]);
        });
        const options = {
          budgets: ["flow", "daily"],
          retry: { attempts: 2, delay: "1 minute" },
        } as const;
        const runs = [];
        for (const id of ["a", "b", "c"]) {
          runs.push(await weir.submit(work, undefined, { id, ...options }));
        }
        await weir.advance("1 hour");
        await weir.budgets.reset("flow");
        await weir.advance("1 hour");
        assert.deepEqual(seen.began, [], `${moment} append ${append}`);
        seen.isOpen = true; // the day ends by itself
        await weir.advance("24 hours");
        for (const run of runs) {
          const { status, why } = await run.describe();
          assert.equal(status, "completed", `${moment} append ${append}: ${run.id}, ${why}`);
        }
        assert.equal(seen.tooEarly, 0, `${moment} append ${append}`);
        if (died) deaths++;
      }
    }
    assert.ok(deaths > 40, `only ${deaths} deaths`);
  });

  for (const moment of moments) {
    it(`${moment} it is recorded what was consumed leaves it counted once`, async () => {
      await using weir = await inMemory();
      const eats = actor("eats", (ctx) => ctx.consume("eat", { token: 4 }));
      const first = await weir.worker([eats]);
      await weir.budgets.allocate("flow", { token: 10 });
      const crashed = first.crashAt("eat", moment);
      const run = await weir.submit(eats, undefined, { budgets: ["flow"] });
      await crashed;
      await weir.worker([eats]);
      const { outcome } = await run.result();
      assert.equal(outcome, moment === "before" ? "alreadyApplied" : "ok");
      const { dimensions } = await weir.budgets.describe("flow");
      assert.equal(dimensions["token"]?.used, 4);
    });
  }
});
