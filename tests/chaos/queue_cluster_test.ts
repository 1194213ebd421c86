/** A queue on three replicas, while the server that leads them is killed. */
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { actor, connect, type Weir } from "../../mod.ts";
import {
  eventually,
  leftovers,
  type ScratchCluster,
  scratchCluster,
  withConnection,
} from "../fixtures/server.ts";

const keys = ["a", "b", "c"];
const ofEach = 8;

let cluster: ScratchCluster;
let weirs: ReadonlyArray<Weir> = [];
before(async () => {
  cluster = await scratchCluster({ durability: "bounded" });
  const open = () => connect({ servers: cluster.urls, replicas: 3, durability: "bounded" });
  weirs = [await open(), await open()];
});
after(async () => {
  for (const weir of weirs) await weir.close();
  await cluster.stop();
  assert.deepEqual(await leftovers(), []);
});

/** The server that leads the log. */
const leader = () =>
  eventually("somebody leads", async () => {
    const info = await withConnection(
      cluster.servers[0]!.url,
      async (nats) =>
        (await nats.request("$JS.API.STREAM.INFO.KV_weir")).json<
          { readonly cluster?: { readonly leader?: string } }
        >(),
    );
    const name = info?.cluster?.leader;
    return name === undefined ? undefined : cluster.servers[Number(name.split("-").at(-1)) - 1];
  }, 30_000);

it("a queue lets in one of a key at a time, and everybody in the end, whoever leads", async () => {
  const inside = new Map<string, number>();
  const done: Array<string> = [];
  let most = 0;
  const work = actor("work", (ctx, key: string) =>
    ctx.run("work", async () => {
      const now = (inside.get(key) ?? 0) + 1;
      inside.set(key, now);
      most = Math.max(most, now);
      await sleep(20);
      inside.set(key, inside.get(key)! - 1);
      done.push(ctx.executionId);
    }));
  for (const weir of weirs) await weir.worker([work], { queues: true });
  const [weir] = weirs as [Weir];
  await weir.queues.configure("cards", { concurrency: 2 });
  const runs = await Promise.all(
    keys.flatMap((key) =>
      Array.from(
        { length: ofEach },
        (_, n) => weir.submit(work, key, { id: `${key}-${n}`, queue: { name: "cards", key } }),
      )
    ),
  );
  await eventually("some are done", () => done.length > 4 || undefined, 120_000);
  const victim = await leader();
  await victim.kill();
  const before = done.length;
  await eventually("it goes on", () => done.length > before + 4 || undefined, 120_000);
  await victim.restart();
  await Promise.all(runs.map((run) => run.result()));
  assert.equal(most, 1);
  assert.deepEqual([...new Set(done)].sort(), runs.map(({ id }) => id).sort());
});
