/** A disk of the server's own that is slow, or hangs, which takes a mount, and so a root user. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { Run } from "../../mod.ts";
import { openScene, reclaimsOf, type Scene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";
import { type Disk, diskOf } from "./disk.ts";

const leaseTtlMs = 3_000;
/** Longer than a lease, and than an append waits for its answer before it is repeated. */
const hangsForMs = 9_000;

interface Slow {
  readonly scene: Scene;
  readonly disk: Disk;
  /** Starts executions, one after another, until it is told to stop; gives those that were accepted. */
  readonly startMany: () => { readonly runs: ReadonlyArray<Run>; stop(): Promise<void> };
}

const onDisk = async (test: (slow: Slow) => Promise<void>): Promise<void> => {
  const server = await scratchServer({ durability: "power-safe" });
  await server.kill();
  const disk = diskOf(server);
  try {
    await server.restart();
    await using scene = await openScene(server, {
      namespace: "slow",
      serve: { residentGrace: "100 millis", leaseTtl: leaseTtlMs },
    });
    const { weir, actors: { tally } } = scene;
    const startMany: Slow["startMany"] = () => {
      const runs: Array<Run> = [];
      let isOver = false;
      const client = (async () => {
        for (let n = 0; !isOver; n++) {
          runs.push(await weir.start(tally, { n, napMs: 200 }, { id: `tally-${n}` }));
        }
      })();
      // Whoever is told of a failure before the disk is thawed leaves it frozen.
      client.catch(() => undefined);
      return {
        runs,
        stop: async () => {
          isOver = true;
          await client;
        },
      };
    };
    await test({ scene, disk, startMany });
    await scene.noneIsStuck();
  } finally {
    await server.kill();
    disk.end();
    await server.stop();
  }
};

/** All have come to their result, and a step was repeated only where somebody lost the execution. */
const allEnded = async (scene: Scene, runs: ReadonlyArray<Run>): Promise<void> => {
  const results = await scene.inTime("results", Promise.all(runs.map((run) => run.result())));
  assert.deepEqual(results, runs.map((_, n) => 2 * n + 1));
  for (const run of runs) {
    const done = scene.effects().filter(({ execution }) => execution === run.id).length;
    if (await reclaimsOf(run) === 0) assert.equal(done, 2, run.id);
    else assert.ok(done >= 2, run.id);
  }
};

/** Most of the time whoever writes has to wait. */
const hinder = async (disk: Disk, times: number): Promise<void> => {
  for (let i = 0; i < times; i++) {
    disk.freeze();
    await pause(450).finally(disk.thaw);
    await pause(30);
  }
};

it("a disk that is slow delays all, loses nothing, and takes nothing from its owner", async () =>
  await onDisk(async ({ scene, disk, startMany }) => {
    await scene.launch("worker");
    const { runs, stop } = startMany();
    await eventually("some are accepted", () => runs.length > 5 || undefined);
    await hinder(disk, 30);
    await stop();
    assert.ok(runs.length > 20, `${runs.length}`);
    await allEnded(scene, runs);
    const reclaims = await Promise.all(runs.map(reclaimsOf));
    assert.deepEqual(reclaims, runs.map(() => 0));
  }));

it("a disk that hangs for longer than leases last loses nothing, and all ends behind it", async () =>
  await onDisk(async ({ scene, disk, startMany }) => {
    await Promise.all([scene.launch("one"), scene.launch("other")]);
    const { runs, stop } = startMany();
    await eventually("some are accepted", () => runs.length > 20 || undefined);
    disk.freeze();
    try {
      await pause(1_000);
      const before = runs.length;
      await pause(hangsForMs);
      assert.equal(runs.length, before, "nothing is accepted meanwhile");
    } finally {
      disk.thaw();
    }
    const before = runs.length;
    await eventually("others are accepted", () => runs.length > before + 20 || undefined, 60_000);
    await stop();
    await allEnded(scene, runs);
  }));

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
