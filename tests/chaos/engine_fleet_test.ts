import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import type { Run } from "../../mod.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const executions = isFull ? 10_000 : 1_000;
const atOnce = isFull ? 500 : 100;
const fleet = 3;
/** A worker is killed whenever so many more executions have begun. */
const killEvery = isFull ? 1_000 : 250;
const deadlineMs = isFull ? 600_000 : 120_000;

it(`${executions} executions, ${fleet} workers, one killed every ${killEvery}: all finish (${named})`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  const draw = chance("fleet");
  let launched = 0;
  try {
    await using scene = await openScene(server, {
      namespace: "fleet",
      serve: { residentGrace: "100 millis", leaseTtl: "5 seconds", concurrency: 200 },
    });
    const { weir, actors: { tally } } = scene;
    const launch = () => scene.launch(`worker-${launched++}`);
    const workers = await Promise.all(Array.from({ length: fleet }, launch));
    let next = 0;
    let finished = 0;
    const runs: Array<Run<number>> = [];
    const results: Array<number> = [];
    const go = async () => {
      while (next < executions) {
        const n = next++;
        runs[n] = await weir.start(tally, { n, napMs: draw(2_000) }, { id: `o-${n}` });
        results[n] = await runs[n].result();
        finished++;
      }
    };
    const load = Promise.all(Array.from({ length: atOnce }, go));
    load.catch(() => {});
    const isOver = () => finished === executions;
    for (let killed = 1; !isOver(); killed++) {
      const isDue = () => finished >= killed * killEvery || isOver() || undefined;
      await Promise.race([load, eventually("many have finished", isDue, deadlineMs)]);
      if (isOver()) break;
      workers.splice(draw(workers.length), 1)[0]!.kill();
      workers.push(await launch());
    }
    await scene.inTime("all of them", load, deadlineMs);
    assert.deepEqual(results, Array.from({ length: executions }, (_, n) => 2 * n + 1));
    const done = new Map<string, number>();
    for (const { execution, step } of scene.effects()) {
      const key = `${execution} ${step}`;
      done.set(key, (done.get(key) ?? 0) + 1);
    }
    assert.equal(done.size, 2 * executions);
    console.log(
      `${launched - fleet} workers killed; ${
        scene.effects().length - done.size
      } effects happened again`,
    );
    await Promise.all(workers.map((worker) => worker.drain()));
    await scene.noneIsStuck();
  } finally {
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
