import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { connect } from "../../mod.ts";
import { actorsOf } from "../fixtures/engine_actors.ts";
import { effectsIn, newEffectsFile } from "../fixtures/engine_effects.ts";
import { startWorker, type WorkerProcess } from "../fixtures/engine_process.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const executions = isFull ? 10_000 : 400;
const starting = 50;
const fleet = 3;
/** A worker is killed whenever so many more executions have begun. */
const killEvery = isFull ? 1_000 : 120;
const deadlineMs = isFull ? 600_000 : 120_000;

it(`${executions} executions, ${fleet} workers, one killed every ${killEvery}: all finish (${named})`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  const namespace = "fleet";
  const weir = await connect({ servers: server.url, namespace });
  const effects = newEffectsFile();
  const draw = chance("fleet");
  const { tally } = actorsOf({ effects, worker: "client" });
  const workers: Array<WorkerProcess> = [];
  let launched = 0;
  const launch = async () => {
    const worker = await startWorker({
      url: server.url,
      namespace,
      effects,
      worker: `worker-${launched++}`,
      serve: { residentGrace: "100 millis", leaseTtl: "5 seconds", concurrency: 200 },
    });
    workers.push(worker);
  };
  try {
    await Promise.all(Array.from({ length: fleet }, launch));
    let next = 0;
    let finished = 0;
    const results: Array<number> = [];
    const go = async () => {
      while (next < executions) {
        const n = next++;
        const run = await weir.start(tally, { n, napMs: draw(2_000) }, { id: `o-${n}` });
        results[n] = await run.result();
        finished++;
      }
    };
    const load = Promise.all(Array.from({ length: isFull ? 500 : starting }, go));
    load.catch(() => {});
    const isOver = () => finished === executions;
    for (let killed = 1; !isOver(); killed++) {
      const isDue = () => finished >= killed * killEvery || isOver() || undefined;
      await Promise.race([load, eventually("many have finished", isDue, deadlineMs)]);
      if (isOver()) break;
      workers.splice(draw(workers.length), 1)[0]!.kill();
      await launch();
    }
    await load;
    assert.deepEqual(results, Array.from({ length: executions }, (_, n) => 2 * n + 1));
    const done = new Map<string, number>();
    for (const { execution, step } of effectsIn(effects)) {
      const key = `${execution} ${step}`;
      done.set(key, (done.get(key) ?? 0) + 1);
    }
    assert.equal(done.size, 2 * executions);
    console.log(
      `${launched - fleet} workers killed; ${
        effectsIn(effects).length - done.size
      } effects happened again`,
    );
    await Promise.all(workers.map((worker) => worker.drain()));
  } finally {
    for (const worker of workers) worker.kill();
    await weir.close();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
