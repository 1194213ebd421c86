import assert from "node:assert/strict";
import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { actor, connect, signal } from "../../mod.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";

const go = signal<number>("go");

// Defect A11 of ActionQueue: a record that a crash left half written kept it from starting.
it("a store whose end is torn starts again, and what is under way goes on", async () => {
  const server = await scratchServer({ durability: "bounded" });
  let charges = 0;
  const waits = actor("waits", async (ctx) => {
    await ctx.run("charge", () => void charges++);
    return await ctx.wait(go);
  });
  const first = await connect({ servers: server.url, durability: "bounded" });
  const worker = await first.worker([waits], { residentGrace: "0 millis" });
  const run = await first.start(waits, undefined, { id: "w-1" });
  await eventually(
    "it waits",
    async () => (await run.describe()).status === "suspended" || undefined,
  );
  await worker.close();
  // The last thing that is stored, and of which nobody will know.
  await first.start(waits, undefined, { id: "w-2" });
  await first.close();
  await server.kill();
  let torn = 0;
  for (const path of await readdir(server.store, { recursive: true })) {
    if (!path.includes("KV_weir")) continue;
    const file = join(server.store, path);
    // The index says where blocks end; without it the server reads them to their ends.
    if (path.endsWith("index.db")) await writeFile(file, "");
    if (!path.endsWith(".blk")) continue;
    const { length } = await readFile(file);
    if (length < 100) continue;
    await truncate(file, length - 7);
    torn++;
  }
  assert.ok(torn > 0, "nothing was torn");
  await server.restart();
  const weir = await connect({ servers: server.url, durability: "bounded" });
  const next = await weir.worker([waits]);
  const again = weir.get(waits, "w-1");
  await again.signal(go, 1);
  assert.deepEqual([await again.result(), charges], [1, 1]);
  const fresh = await weir.start(waits, undefined, { id: "w-2" });
  await fresh.signal(go, 2);
  assert.deepEqual([await fresh.result(), charges], [2, 2]);
  await next.close();
  await weir.close();
  await server.stop();
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
