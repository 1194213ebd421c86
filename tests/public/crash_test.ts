import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { actor, ExecutionCancelled, signal } from "@weir/weir";
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

/** Books a trip; one that is cancelled is given back, step by step. */
const trip = actor("trip", async (ctx) => {
  const room = await ctx.run("book room", () => "room 7");
  try {
    await ctx.sleep("think", "1 hour");
    return await ctx.call(pick, room);
  } catch (error) {
    await ctx.run("give room back", () => room);
    await ctx.run("tell", () => "it is off");
    throw error;
  }
});

const moments = ["before", "after"] as const;
const restLonger = { residentGrace: "2 hours" } as const;

describe("a worker that dies", () => {
  // Seed 3: nobody but the next worker does anything.
  for (const residentGrace of ["0 millis", "2 hours"] as const) {
    for (const moment of moments) {
      for (const step of ["book room", "think", "pick"]) {
        it(`${moment} ${step}, kept ${residentGrace}, is followed by one that comes to the end`, async () => {
          await using weir = await inMemory();
          const first = await weir.worker([trip, pick], { residentGrace });
          const crashed = first.crashAt(step, moment);
          const run = await weir.start(trip, undefined);
          if (step === "pick") await weir.advance("1 hour");
          await crashed;
          await weir.worker([trip, pick], { residentGrace });
          assert.equal(await run.result(), "picked room 7");
        });
      }
    }
  }

  for (const moment of moments) {
    for (const step of ["give room back", "tell"]) {
      it(`${moment} ${step} leaves no cancellation half done`, async () => {
        await using weir = await inMemory();
        const first = await weir.worker([trip, pick], restLonger);
        const run = await weir.start(trip, undefined);
        await weir.advance("1 minute");
        const crashed = first.crashAt(step, moment);
        await run.cancel();
        await crashed;
        await weir.worker([trip, pick]);
        await assert.rejects(run.result(), ExecutionCancelled);
        const { steps } = await run.describe();
        assert.deepEqual(Object.keys(steps), ["book room", "give room back", "tell"]);
      });
    }
  }

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
