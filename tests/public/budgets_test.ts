import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, BudgetNotFound, InvalidInput, ZeroLimit } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

describe("weir.budgets", () => {
  it("counts what executions use, whatever becomes of them", async () => {
    await using weir = await inMemory();
    await weir.budgets.allocate("tenant", { token: { hard: 100, soft: 80 } });
    const ask = actor(
      "ask",
      (ctx, tokens: number) =>
        ctx.run("ask the model", async ({ idempotencyKey }) => {
          const { outcome } = await weir.budgets.consume("tenant", { token: tokens }, {
            execution: ctx.executionId,
            key: idempotencyKey,
          });
          return outcome;
        }),
    );
    await weir.worker([ask]);
    const results = [];
    for (const tokens of [70, 20, 20]) {
      results.push(await (await weir.start(ask, tokens, { id: `a-${results.length}` })).result());
    }
    assert.deepEqual(results, ["ok", "softBreach", "hardBreach"]);
    assert.deepEqual(await weir.budgets.release("ask/a-0"), {
      outcome: "released",
      amounts: { tenant: { token: 70 } },
    });
    const { dimensions } = await weir.budgets.describe("tenant");
    assert.deepEqual(dimensions["token"], {
      hard: 100,
      soft: 80,
      used: 20,
      left: 80,
      exhausted: false,
    });
  });

  it("returns to zero when an interval is over", async () => {
    await using weir = await inMemory();
    await weir.budgets.allocate("daily", { costCents: 5 }, { resetEvery: "1 day" });
    const consume = () => weir.budgets.consume("daily", { costCents: 5 });
    assert.equal((await consume()).outcome, "ok");
    await weir.advance("23 hours");
    assert.equal((await consume()).outcome, "hardBreach");
    await weir.advance("1 hour");
    assert.equal((await weir.budgets.list())[0]?.dimensions["costCents"]?.used, 0);
    assert.equal((await consume()).outcome, "ok");
    await weir.advance("10 days");
    assert.equal((await weir.budgets.describe("daily")).exhausted, false);
  });

  it("is a tenant's own, and another's by name", async () => {
    await using weir = await inMemory({ tenant: "acme" });
    await weir.budgets.allocate("tenant", { token: 1 });
    await weir.budgets.allocate("tenant", { token: 2 }, { tenant: "other" });
    assert.equal((await weir.budgets.describe("tenant")).dimensions["token"]?.hard, 1);
    assert.equal((await weir.budgets.list({ tenant: "other" }))[0]?.dimensions["token"]?.hard, 2);
    assert.equal(await weir.budgets.delete("tenant", { tenant: "other" }), true);
    await weir.budgets.replenish("tenant", { token: 3 });
    await weir.budgets.reset("tenant", { dimensions: ["token"], key: "k" });
    assert.deepEqual(await weir.budgets.reset("tenant", { key: "k" }), {
      outcome: "alreadyApplied",
    });
  });

  it("refuses what makes no sense, by its class", async () => {
    await using weir = await inMemory();
    const { budgets } = weir;
    await assert.rejects(budgets.allocate("", { token: 1 }), InvalidInput);
    await assert.rejects(budgets.allocate("a", { token: 0 }), ZeroLimit);
    await assert.rejects(budgets.consume([], { token: 1 }), InvalidInput);
    await assert.rejects(budgets.consume("a", { token: 1 }, { key: "" }), InvalidInput);
    await assert.rejects(budgets.consume("a", { token: 1 }, { tenant: "" }), InvalidInput);
    await assert.rejects(budgets.release(""), InvalidInput);
    await assert.rejects(budgets.consume("a", { token: 1 }), BudgetNotFound);
    await assert.rejects(budgets.describe("a"), BudgetNotFound);
  });
});
