import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, signal } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const go = signal("go");

/** Notes when its function comes by, outside of any step. */
const watched = () => {
  const came: Array<string> = [];
  const stays = actor("stays", async (ctx) => {
    came.push("begin");
    try {
      await ctx.sleep("stay", "10 minutes");
      await ctx.wait(go);
      return "left";
    } catch (error) {
      came.push("catch");
      throw error;
    } finally {
      came.push("finally");
    }
  });
  return { came, stays };
};

describe("a function that is left where it stands", () => {
  it("runs neither catch nor finally when it is suspended, and finally when it ends", async () => {
    const { came, stays } = watched();
    await using weir = await inMemory({ runsTwice: false });
    await weir.worker([stays], { residentGrace: "0 millis" });
    const run = await weir.start(stays, undefined);
    await weir.advance("20 minutes");
    assert.deepEqual(came, ["begin", "begin"]);
    await run.signal(go, undefined);
    assert.equal(await run.result(), "left");
    assert.deepEqual(came, ["begin", "begin", "begin", "finally"]);
  });

  it("nor when its worker is closed, or has lost it", async () => {
    const { came, stays } = watched();
    await using weir = await inMemory({ runsTwice: false });
    const options = { residentGrace: "1 day" } as const;
    const first = await weir.worker([stays], options);
    const run = await weir.start(stays, undefined);
    await weir.advance("1 minute");
    await first.close();
    await weir.worker([stays], options);
    await weir.advance("20 minutes");
    await run.revokeLease();
    await weir.advance("1 minute");
    assert.deepEqual(came, ["begin", "begin", "begin"]);
    await run.signal(go, undefined);
    assert.equal(await run.result(), "left");
    assert.deepEqual(came.slice(3), ["finally"]);
  });

  it("says what it waits for, and who is missing to go on with it", async () => {
    const { stays } = watched();
    await using weir = await inMemory({ runsTwice: false });
    const worker = await weir.worker([stays], { residentGrace: "0 millis" });
    const run = await weir.start(stays, undefined);
    await weir.advance("20 minutes");
    assert.equal((await run.describe()).why, "it waits for the signal go");
    await worker.close();
    await run.signal(go, undefined);
    const { status, reason, why } = await run.describe();
    assert.deepEqual([status, reason], ["suspended", "signal"]);
    assert.equal(why, "it waits for the signal go, and no worker that is alive serves stays");
  });

  it("is told where it stands when it is asked to stop", async () => {
    const { came, stays } = watched();
    await using weir = await inMemory({ runsTwice: false });
    await weir.worker([stays], { residentGrace: "0 millis" });
    const run = await weir.start(stays, undefined);
    await weir.advance("1 minute");
    await run.cancel();
    assert.equal((await run.outcome()).type, "cancelled");
    assert.deepEqual(came, ["begin", "begin", "catch", "finally"]);
  });
});
