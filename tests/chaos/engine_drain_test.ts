import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, it } from "node:test";
import type { Run } from "../../mod.ts";
import { approval } from "../fixtures/engine_actors.ts";
import { openScene, reclaimsOf, type Scene } from "../fixtures/engine_scene.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const rolling = isFull ? 3_000 : 300;
const replaceEvery = isFull ? 300 : 60;
const each = 10;

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

/** Each effect happened once, and no lease was ever taken from anybody. */
const wasHandedOver = async (scene: Scene, runs: ReadonlyArray<Run>): Promise<void> => {
  const effects = scene.effects().map(({ execution, step }) => `${execution} ${step}`);
  assert.deepEqual(effects.filter((effect, i) => effects.indexOf(effect) !== i), []);
  for (const run of runs) {
    assert.equal((await run.describe()).attempt, 0, run.id);
    assert.equal(await reclaimsOf(run), 0, run.id);
  }
};

const statusOf = async (run: Run) => (await run.describe()).status;

it("a worker that is drained ends what it has begun, and leaves the rest to others", async () => {
  await using scene = await openScene(server, { namespace: "drain" });
  const { weir, actors: { busy, order, sleeper, tally } } = scene;
  const gate = join(scratchFolder("gate"), "open");
  const serve = { residentGrace: "1 minute", concurrency: 3 * each } as const;
  const many = <A>(one: (i: number) => Promise<A>) =>
    Promise.all(Array.from({ length: each }, (_, i) => one(i)));
  const first = await scene.launch("first", { serve });
  const working = await many((i) => weir.start(busy, gate, { id: `working-${i}` }));
  const waiting = await many((i) =>
    weir.start(order, { cents: i, coolOffMs: 1 }, { id: `waiting-${i}` })
  );
  const sleeping = await many((i) => weir.start(sleeper, { forMs: 8_000 }, { id: `asleep-${i}` }));
  await eventually("steps are under way", () => scene.effects("work").length === each || undefined);
  await eventually("orders wait", async () => {
    const states = await Promise.all(waiting.map((run) => run.describe()));
    return states.every(({ waitingFor }) => waitingFor.some(({ kind }) => kind === "wait")) ||
      undefined;
  });
  const untaken = await many((i) => weir.start(tally, { n: i, napMs: 1 }, { id: `untaken-${i}` }));

  first.terminate();
  await eventually("it lets go of what waits", async () => {
    const states = await Promise.all([...waiting, ...sleeping].map(statusOf));
    return states.every((status) => status === "suspended") || undefined;
  });
  writeFileSync(gate, "");
  assert.equal(await first.ended, 0);
  assert.deepEqual(await weir.workers(), []);
  for (const run of [...working, ...waiting, ...sleeping, ...untaken]) {
    assert.equal((await run.describe()).owner, undefined, run.id);
  }
  await scene.noneIsStuck();

  const second = await scene.launch("second", { serve });
  await Promise.all(waiting.map((run) => run.signal(approval, { by: "ana" })));
  assert.deepEqual(
    await scene.inTime("working", Promise.all(working.map((run) => run.result()))),
    working.map(() => "first"),
  );
  assert.deepEqual(
    (await scene.inTime("waiting", Promise.all(waiting.map((run) => run.result())))).map(({ by }) =>
      by
    ),
    waiting.map(() => "ana"),
  );
  assert.deepEqual(
    await scene.inTime("untaken", Promise.all(untaken.map((run) => run.result()))),
    untaken.map((_, i) => 2 * i + 1),
  );
  await scene.inTime("sleeping", Promise.all(sleeping.map((run) => run.result())));
  await wasHandedOver(scene, [...working, ...waiting, ...sleeping, ...untaken]);
  await second.drain();
  await scene.noneIsStuck();
});

it("a step that outlasts the drain is left to another, which tries it again", async () => {
  await using scene = await openScene(server, { namespace: "overtime" });
  const { weir, actors: { busy } } = scene;
  const gate = join(scratchFolder("gate"), "open");
  const first = await scene.launch("first", { serve: { drainTimeout: "500 millis" } });
  const run = await weir.start(busy, gate, { id: "long" });
  await eventually("it works", () => scene.effects("work").length === 1 || undefined);
  await first.drain();
  assert.equal((await run.describe()).owner, undefined);
  const second = await scene.launch("second");
  await eventually("another works", () => scene.effects("work").length === 2 || undefined);
  writeFileSync(gate, "");
  assert.equal(await scene.inTime(run.id, run.result()), "second");
  assert.deepEqual(
    scene.effects().map(({ step, worker }) => `${worker}: ${step}`),
    ["first: begin", "first: work", "second: work", "second: tidy"],
  );
  assert.equal(await reclaimsOf(run), 0);
  await second.drain();
  await scene.noneIsStuck();
});

it(`${rolling} executions while every worker is replaced: nothing happens twice (${named})`, async () => {
  await using scene = await openScene(server, {
    namespace: "rolling",
    serve: { residentGrace: "100 millis", concurrency: 100 },
  });
  const { weir, actors: { tally } } = scene;
  const draw = chance("rolling");
  let launched = 0;
  const launch = () => scene.launch(`worker-${launched++}`);
  const workers = await Promise.all([launch(), launch(), launch()]);
  const runs: Array<Run<number>> = [];
  let next = 0;
  let finished = 0;
  const go = async () => {
    while (next < rolling) {
      const n = next++;
      runs[n] = await weir.start(tally, { n, napMs: draw(1_000) }, { id: `o-${n}` });
      assert.equal(await runs[n].result(), 2 * n + 1);
      finished++;
    }
  };
  const load = Promise.all(Array.from({ length: 50 }, go));
  for (let replaced = 1; replaced * replaceEvery < rolling; replaced++) {
    const isDue = () => finished >= replaced * replaceEvery || undefined;
    await Promise.race([load, eventually("many have finished", isDue, 60_000)]);
    workers.push(await launch());
    await workers.shift()!.drain();
  }
  await scene.inTime("all of them", load);
  assert.equal(scene.effects().length, 2 * rolling);
  await wasHandedOver(scene, runs);
  await Promise.all(workers.map((worker) => worker.drain()));
  await scene.noneIsStuck();
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
