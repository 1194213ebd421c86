/** Queues whose keeper and whose holders are killed at any append, or whose keeper stands still. */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { actor, type Run } from "../../mod.ts";
import { type KillPoint, watchWorker } from "../fixtures/engine_kill_point.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const plays = isFull ? 60 : 4;
const atOnce = 4;
const tasks = 8;
const keys = 2;
const staleFence = 10071;

const keeperOf = (scene: Scene) =>
  scene.weir.get(actor("weir-queue", () => {}), "cards", { tenant: "weir" });

const keeps = (scene: Scene, worker: string) =>
  eventually(
    `${worker} keeps the queue`,
    async () => (await keeperOf(scene).describe()).owner === worker || undefined,
    60_000,
  );

const keyOf = (i: number): string => `key-${i % keys}`;

const submitAll = (scene: Scene): Promise<ReadonlyArray<Run<number>>> =>
  Promise.all(
    Array.from({ length: tasks }, (_, i) =>
      scene.weir.submit(scene.actors.tally, { n: i, napMs: 20 }, {
        id: `t-${i}`,
        queue: { name: "cards", key: keyOf(i) },
      })),
  );

/** Everything has ended, no key had two holders at once, and nobody has a seat any more. */
const allIsWell = async (scene: Scene, runs: ReadonlyArray<Run<number>>) => {
  const results = await scene.inTime("all", Promise.all(runs.map((run) => run.result())));
  assert.deepEqual(results, runs.map((_, i) => 2 * i + 1));
  const ofKey = new Map(runs.map(({ id }, i) => [id as string, keyOf(i)]));
  for (const key of new Set(ofKey.values())) {
    const held = scene.effects().map(({ execution }) => execution)
      .filter((execution) => ofKey.get(execution) === key);
    const order = held.filter((execution, i) => execution !== held[i - 1]);
    assert.equal(order.length, tasks / keys, `${key} had two holders: ${held.join(" ")}`);
  }
  await eventually("no seat is left", async () => {
    const { waiting, running } = await scene.weir.queues.describe("cards");
    return waiting + running === 0 || undefined;
  }, 90_000);
  await scene.noneIsStuck();
};

let played = 0;

/** Has the first keeper and the first worker die, each at its point; the second ones go on. */
const play = async (server: ScratchServer, keeper: KillPoint, worker: KillPoint) => {
  const [toKeeper, toWorker] = [await startProxy(server.port), await startProxy(server.port)];
  try {
    await using scene = await openScene(server, {
      namespace: `queue_${++played}`,
      serve: { leaseTtl: "5 seconds", residentGrace: played % 2 === 0 ? "0 millis" : "1 minute" },
    });
    let killed = 0;
    watchWorker(toKeeper, keeper, () => {
      killed++;
      firstKeeper.kill();
    });
    watchWorker(toWorker, worker, () => {
      killed++;
      firstWorker.kill();
    });
    const none = { actors: [] };
    const keeping = { ...none, serve: { queues: true } };
    const firstKeeper = await scene.launch("keeper-1", { ...keeping, url: toKeeper.url });
    // It may die before it has heard of this.
    await scene.weir.queues.configure("cards", { concurrency: 3 });
    await Promise.race([keeps(scene, "keeper-1"), firstKeeper.ended]);
    const firstWorker = await scene.launch("worker-1", { actors: ["tally"], url: toWorker.url });
    const runs = await submitAll(scene);
    await scene.launch("keeper-2", keeping);
    await scene.launch("worker-2", { actors: ["tally"] });
    await allIsWell(scene, runs);
    return killed;
  } finally {
    await Promise.all([toKeeper.stop(), toWorker.stop()]);
  }
};

describe("a queue", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  it(`goes on whoever is killed at whatever append, ${plays} times (${named})`, async () => {
    const draw = chance("queue");
    const points = Array.from({ length: plays }, () => {
      const point = (appends: number): KillPoint => ({
        append: 1 + draw(appends),
        moment: draw(2) === 0 ? "unstored" : "unanswered",
      });
      return { keeper: point(16), worker: point(24) };
    });
    let killed = 0;
    const playOn = async () => {
      for (let next = points.pop(); next !== undefined; next = points.pop()) {
        try {
          const died = await play(server, next.keeper, next.worker);
          killed += died;
        } catch (cause) {
          points.length = 0;
          throw new Error(`killed at ${JSON.stringify(next)}`, { cause });
        }
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: atOnce }, playOn));
    const failures = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    if (failures.length > 0) throw failures[0];
    assert.ok(killed >= plays, `${killed} killed`);
    console.log(`${killed} keepers and workers killed`);
  });

  it("is kept by another while its keeper stands still, which then lets nobody in", async () => {
    const proxy = await startProxy(server.port);
    try {
      await using scene = await openScene(server, {
        namespace: "frozen_keeper",
        serve: { leaseTtl: "1 second", residentGrace: "0 millis" },
      });
      const { appends } = watchWorker(proxy);
      const keeping = { actors: [], serve: { queues: true } };
      const frozen = await scene.launch("frozen", { ...keeping, url: proxy.url });
      await scene.launch("worker", { actors: ["tally"] });
      await scene.weir.queues.configure("cards", { paused: true });
      await keeps(scene, "frozen");
      const runs = await submitAll(scene);
      await eventually(
        "all wait",
        async () => (await scene.weir.queues.describe("cards")).waiting === tasks || undefined,
      );
      await scene.weir.queues.configure("cards", { paused: false });
      await eventually(
        "the first have begun",
        () => scene.effects().length > 0 || undefined,
        60_000,
      );
      frozen.freeze();
      await scene.launch("next", keeping);
      await keeps(scene, "next");
      const before = appends.length;
      frozen.thaw();
      await allIsWell(scene, runs);
      const late = appends.slice(before)
        .filter(({ subject, fence }) => subject.includes(".seat.") && fence !== undefined);
      for (const { errorCode } of late) assert.equal(errorCode, staleFence);
      await frozen.drain();
    } finally {
      await proxy.stop();
    }
  });

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
