import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, Forbidden, IntakeClosed, InvalidInput, signal } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const go = signal<number>("go");

describe("weir.engine", () => {
  it("pauses a tenant: what runs goes on until it waits, and all goes on in the end", async () => {
    await using weir = await inMemory();
    const begun: Array<string> = [];
    const order = actor("order", async (ctx) => {
      await ctx.run("begin", () => void begun.push(ctx.executionId));
      const n = await ctx.wait(go);
      await ctx.run("end", () => {});
      return n;
    });
    await weir.worker([order]);
    const first = await weir.start(order, undefined, { id: "first" });
    await weir.advance("1 second");
    assert.deepEqual(begun, ["order/first"]);

    const { changed, state, since } = await weir.engine.pause({ reason: "audit", by: "ana" });
    assert.deepEqual([changed, state], [true, "paused"]);
    assert.equal((await weir.engine.pause()).changed, false);
    const later = [];
    for (const id of ["a", "b", "c"]) later.push(await weir.start(order, undefined, { id }));
    for (const run of [first, ...later]) await run.signal(go, 1);
    await weir.advance("1 day");
    assert.deepEqual(begun, ["order/first"]);
    const { reason, why, heldBy } = await later[0]!.describe();
    assert.equal(reason, "paused");
    assert.equal(
      why,
      `tenant default is paused by ana since ${new Date(since).toISOString()}: audit`,
    );
    assert.deepEqual(heldBy, { tenant: "default", state, since, by: "ana", reason: "audit" });
    const other = await weir.start(order, undefined, { id: "other", tenant: "acme" });
    await other.signal(go, 2);
    assert.equal(await other.result(), 2);
    assert.deepEqual((await weir.engine.status({ tenant: "acme" })).scopes, []);
    assert.deepEqual((await weir.engine.status()).scopes, [
      { tenant: "default", state, since, by: "ana", reason: "audit" },
    ]);

    await weir.engine.resume();
    for (const run of [first, ...later]) assert.equal(await run.result(), 1);
    assert.equal(begun.length, 5);
    const told = (await weir.engine.history()).map(({ kind }) => kind);
    assert.deepEqual(told, ["enginePaused", "engineResumed"]);
  });

  it("drains a lane: new starts are refused, and what is there comes to its end", async () => {
    await using weir = await inMemory();
    const job = actor("job", (ctx) => ctx.wait(go));
    await weir.worker([job], { lanes: ["gpu", "default"] });
    const first = await weir.start(job, undefined, { id: "first", lane: "gpu" });
    await weir.engine.drain({ allTenants: true, lane: "gpu", by: "ana", reason: "new drivers" });
    const refused = await weir.start(job, undefined, { id: "second", lane: "gpu" })
      .then(() => undefined, (error) => error);
    assert.ok(refused instanceof IntakeClosed);
    assert.match(refused.message, /lane gpu is draining by ana since .* \(new drivers\)/);
    assert.match(refused.message, /engine\.resume\(\{ allTenants: true, lane: "gpu" \}\)/);
    assert.equal(refused.retryable, true);
    await weir.start(job, undefined, { id: "elsewhere" });
    await first.signal(go, 3);
    assert.equal(await first.result(), 3);
    await weir.engine.resume({ allTenants: true, lane: "gpu" });
    const again = await weir.start(job, undefined, { id: "second", lane: "gpu" });
    await again.signal(go, 4);
    assert.equal(await again.result(), 4);
  });

  it("is listed page by page", async () => {
    await using weir = await inMemory();
    const tenants = ["c", "a", "b"];
    for (const tenant of tenants) await weir.engine.disable({ tenant, lane: "x" });
    await weir.engine.drain({ allTenants: true });
    const seen: Array<string> = [];
    let from: string | undefined;
    do {
      const page = await weir.engine.status({
        allTenants: true,
        limit: 1,
        ...(from === undefined ? {} : { from }),
      });
      assert.equal(page.scopes.length, 1);
      seen.push(page.scopes[0]!.tenant ?? "all");
      from = page.next;
    } while (from !== undefined);
    assert.deepEqual(seen, ["all", "a", "b", "c"]);
    for (const from of ["", "nonsense", "e30x"]) {
      await assert.rejects(weir.engine.status({ from }), InvalidInput);
    }
    await assert.rejects(weir.engine.status({ limit: 1_001 }), InvalidInput);
  });

  it("refuses what makes no sense, and changes nothing", async () => {
    await using weir = await inMemory();
    const nonsense = [
      { tenant: "" },
      { tenant: "a", allTenants: true },
      { lane: "two words" },
      { reason: "" },
      { by: "" },
    ];
    for (const options of nonsense) await assert.rejects(weir.engine.pause(options), InvalidInput);
    assert.deepEqual((await weir.engine.status({ allTenants: true })).scopes, []);
  });

  it("is for who may cancel: in his tenant, or in all", async () => {
    await using weir = await inMemory();
    await weir.tenants.create("acme", { name: "Acme" });
    await weir.grants.assign("ana", "operator", { tenant: "acme" });
    await weir.grants.assign("root", "operator", { allTenants: true });
    await weir.grants.assign("eve", "auditor", { tenant: "acme" });
    const [ana, root, eve] = ["ana", "root", "eve"].map((who) => weir.as(who));
    assert.equal((await ana!.engine.pause({ tenant: "acme" })).by, "ana");
    await assert.rejects(ana!.engine.pause({ tenant: "acme", by: "root" }), InvalidInput);
    for (const where of [{ allTenants: true }, { allTenants: true, lane: "x" }, { tenant: "b" }]) {
      await assert.rejects(ana!.engine.pause(where), Forbidden);
    }
    await assert.rejects(eve!.engine.resume({ tenant: "acme" }), Forbidden);
    assert.equal((await eve!.engine.status({ tenant: "acme" })).scopes.length, 1);
    await assert.rejects(eve!.engine.status({ allTenants: true }), Forbidden);
    assert.equal((await root!.engine.disable({ allTenants: true })).by, "root");
    assert.equal((await eve!.engine.status({ tenant: "acme" })).scopes.length, 2);
  });
});
