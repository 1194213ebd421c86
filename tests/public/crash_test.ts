import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, signal } from "@weir/weir";
import { inMemory } from "@weir/weir/testing";

const go = signal("go");

const pick = actor("pick", (ctx, item: string) => ctx.run("pick", () => `picked ${item}`));

/** Its children need not have ended when it asks for their ends. */
const fanOut = actor("fan-out", async (ctx, items: ReadonlyArray<string>) => {
  const picks = [];
  for (const item of items) picks.push(await ctx.spawn(pick, item, { name: `pick ${item}` }));
  await ctx.wait(go);
  return Promise.all(picks.map(({ result }) => result()));
});

describe("a worker that dies", () => {
  it("between the record of a child and its start leaves no child unstarted", async () => {
    await using weir = await inMemory();
    const first = await weir.worker([fanOut, pick]);
    const crashed = first.crashAt("pick b", "after");
    const run = await weir.start(fanOut, ["a", "b", "c"]);
    await crashed;
    await weir.worker([fanOut, pick]);
    await run.signal(go, undefined);
    assert.deepEqual(await run.result(), ["picked a", "picked b", "picked c"]);
    assert.ok((await run.describe()).epoch > 1);
  });
});
