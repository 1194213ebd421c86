import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { actor, connect, ConnectionClosed, signal } from "@weir/weir";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";
import { removeStore, scratchStore } from "./scratch_store.ts";

const go = signal("go");
/** It never hears that it is over. */
const busy = actor("busy", async (ctx) => {
  await ctx.run("dig", () => new Promise<void>((resolve) => digs.push(resolve)));
});
const digs: Array<() => void> = [];
const waits = actor("waits", (ctx) => ctx.wait(go));

const isClosed = (landed: string) => (error: unknown) => {
  assert.ok(error instanceof ConnectionClosed, String(error));
  assert.equal(error.landed, landed);
  return true;
};

type Door = Pick<MemoryWeir, "as" | "close" | "completions" | "get" | "list" | "start" | "worker">;

const places: ReadonlyArray<
  readonly [string, (test: (weir: Door) => Promise<void>) => Promise<void>]
> = [
  ["in memory", async (test) => await test(await inMemory())],
  ["on a server", async (test) => {
    const store = await scratchStore();
    try {
      await test(await connect({ embedded: { store } }) as unknown as Door);
    } finally {
      await removeStore(store);
    }
  }],
];

for (const [place, within] of places) {
  describe(`a connection ${place} that is closed`, () => {
    it("says so to every verb, and may be closed again", () =>
      within(async (weir) => {
        await weir.worker([waits]);
        const run = await weir.start(waits, undefined);
        const acting = weir.as("ana");
        await weir.close();
        await weir.close();
        for (
          const verb of [
            () => weir.start(waits, undefined),
            () => weir.worker([waits]),
            () => weir.list(),
            () => acting.list(),
            () => run.result(),
            () => run.describe(),
            () => run.signal(go, undefined),
            () => run.history()[Symbol.asyncIterator]().next(),
            () => weir.completions()[Symbol.asyncIterator]().next(),
          ]
        ) await assert.rejects(verb(), isClosed("no"));
      }));

    it("says so to the verbs that are under way", () =>
      within(async (weir) => {
        const run = await weir.start(waits, undefined, { unserved: true });
        const result = assert.rejects(run.result(), isClosed("unknown"));
        await run.describe();
        await weir.close();
        await result;
      }));
  });
}

it("a connection that is being closed waits for the workers that start, and takes no more", async () => {
  const store = await scratchStore();
  try {
    const weir = await connect({ embedded: { store } });
    await weir.worker([busy]);
    await weir.start(busy, undefined);
    while (digs.length === 0) await setImmediate();
    const starting = weir.worker([waits]);
    const closing = weir.close();
    await assert.rejects(weir.worker([waits]), isClosed("no"));
    const late = await starting;
    digs.forEach((end) => end());
    await closing;
    await late.close();
  } finally {
    await removeStore(store);
  }
});

it("a connection that is closed leaves a list of what has ended by then", async () => {
  const store = await scratchStore();
  try {
    const quick = actor("quick", () => "done");
    const ids = ["a", "b", "c", "d", "e"];
    {
      await using weir = await connect({ embedded: { store } });
      await weir.worker([quick]);
      const runs = ids.map((id) => weir.start(quick, undefined, { id }));
      await Promise.all(runs.map(async (run) => (await run).result()));
    }
    await using weir = await connect({ embedded: { store } });
    const { executions } = await weir.list({ status: "completed" });
    assert.deepEqual(
      executions.map(({ execution }) => execution).sort(),
      ids.map((id) => `quick/${id}`),
    );
  } finally {
    await removeStore(store);
  }
});
