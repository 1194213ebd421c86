/**
 * A leader of the log that is cut off from its peers and from nobody else: those who speak to it are
 * told nothing until it is found again. It takes a root user, for networks of their own.
 */
import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type Run } from "../../mod.ts";
import { recordedSteps } from "../fixtures/engine_chronicle.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchCluster, withConnection } from "../fixtures/server.ts";
import { openLink } from "./network.ts";

const namespace = "parted";
const deadlineMs = 120_000;
/** Longer than a leader takes to notice that it has no majority. */
const partedMs = 25_000;

/** The place among the servers of the one that leads the log, as one of them has it. */
const leaderAt = (url: string): Promise<number | undefined> =>
  withConnection(url, async (connection) => {
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 2_000 });
    const { cluster } = await manager.streams.info(`KV_${namespace}`);
    const leader = cluster?.leader?.split("-").at(-1);
    return leader === undefined ? undefined : Number(leader) - 1;
  });

it("a leader that is cut off from its peers costs nothing that was accepted", async () => {
  const links = [openLink(), openLink(), openLink()];
  const cluster = await scratchCluster({ durability: "bounded" }, links);
  const { servers } = cluster;
  try {
    const creator = await connect({ servers: cluster.urls, namespace, replicas: 3 });
    await creator.close();
    const parted = await eventually("one leads", () => leaderAt(servers[0]!.url), deadlineMs);
    const [next, last] = servers.filter((_, i) => i !== parted);
    await using scene = await openScene(next!, {
      namespace,
      replicas: 3,
      serve: { residentGrace: "500 millis", leaseTtl: "5 seconds" },
    });
    const { weir, actors: { tally } } = scene;
    const workers = [
      await scene.launch("of-leader", { url: servers[parted]!.url }),
      await scene.launch("of-other", { url: next!.url }),
    ];
    const client = await connect({ servers: servers[parted]!.url, namespace, replicas: 3 });
    const accepted: Array<number> = [];
    const refused: Array<unknown> = [];
    let isOver = false;
    const load = (async () => {
      for (let i = 0; !isOver; i++) {
        await client.start(tally, { n: i, napMs: 200 }, { id: `tally-${i}` }).then(
          () => accepted.push(i),
          (error) => refused.push(error),
        );
        await pause(20);
      }
    })();
    await eventually("some are accepted", () => accepted.length > 20 || undefined, deadlineMs);

    const others = links.filter((_, i) => i !== parted);
    for (const other of others) links[parted]!.part(other);
    const partedAt = Date.now();
    await eventually("another leads", async () => {
      const leader = await leaderAt(last!.url);
      return leader !== undefined && leader !== parted || undefined;
    }, deadlineMs);
    const meanwhile = await weir.start(tally, { n: 1, napMs: 10 }, { id: "meanwhile" });
    await eventually("it is over", () => Date.now() > partedAt + partedMs || undefined, deadlineMs);
    const before = accepted.length;
    for (const other of others) links[parted]!.join(other);
    await eventually(
      "others are accepted",
      () => accepted.length > before + 20 || undefined,
      deadlineMs,
    );
    isOver = true;
    await load;
    await client.close();
    console.log(`${before} accepted before, ${accepted.length} in all, ${refused.length} refused`);
    for (const error of refused) assert.match((error as { code?: string }).code ?? "", /^WEIR_/);

    const runs: ReadonlyArray<Run<number>> = accepted.map((i) => weir.get(tally, `tally-${i}`));
    assert.deepEqual(
      await scene.inTime("their results", Promise.all(runs.map((run) => run.result())), deadlineMs),
      accepted.map((i) => 2 * i + 1),
    );
    assert.equal(await meanwhile.result(), 3);
    for (const run of runs) assert.deepEqual(await recordedSteps(run), ["one", "two"]);
    await Promise.all(workers.map((worker) => worker.drain()));
    await scene.noneIsStuck();
  } finally {
    await cluster.stop();
    for (const link of links) link.end();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
