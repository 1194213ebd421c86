import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { ExecutionCancelled, type Run } from "../../mod.ts";
import { approval } from "../fixtures/engine_actors.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

/** Above the thousand that a consumer lets be unacknowledged unless it is told otherwise. */
const many = 1_100;
const atOnce = 100;

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

const startMany = async ({ weir, actors: { attentive } }: Scene, count: number, prefix: string) => {
  const runs: Array<Run<string>> = [];
  let next = 0;
  const go = async () => {
    while (next < count) {
      const n = next++;
      runs[n] = await weir.start(attentive, undefined, { id: `${prefix}-${n}` });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, go));
  return runs;
};

const under = (scene: Scene, runs: ReadonlyArray<Run>) => () => {
  const ids = new Set(scene.effects("watch").map(({ execution }) => execution));
  return runs.every(({ id }) => ids.has(id)) || undefined;
};

const approve = (runs: ReadonlyArray<Run>) =>
  Promise.all(runs.map((run) => run.signal(approval, { by: run.id })));

const approved = async (scene: Scene, runs: ReadonlyArray<Run<string>>) =>
  assert.deepEqual(
    await scene.inTime("runs", Promise.all(runs.map((run) => run.result()))),
    runs.map(({ id }) => id),
  );

// Attack 7, first half: one partition, so that one consumer has them all.
it(`a signal reaches one of ${many} executions that all have a message unacknowledged`, async () => {
  await using scene = await openScene(server, { namespace: "crowd", parts: 1 });
  const worker = await scene.launch("only", { serve: { concurrency: 2 * many } });
  const runs = await startMany(scene, many, "o");
  await eventually("all of them run", under(scene, runs), 120_000);
  await approve(runs);
  await approved(scene, runs);
  await worker.drain();
  await scene.noneIsStuck();
});

// Attack 7, second half.
it("signals and cancels reach what runs though every worker is full and many more wait", async () => {
  const concurrency = 5;
  await using scene = await openScene(server, { namespace: "full", serve: { concurrency } });
  const workers = await Promise.all([scene.launch("first"), scene.launch("second")]);
  const running = await startMany(scene, 2 * concurrency, "running");
  await eventually("they run", under(scene, running));
  const behind = await startMany(scene, 20 * concurrency, "behind");
  const [stopped, ...others] = running;
  await stopped!.cancel();
  await assert.rejects(scene.inTime("the cancelled", stopped!.result()), ExecutionCancelled);
  await approve(others);
  await approved(scene, others);
  await approve(behind);
  await approved(scene, behind);
  await Promise.all(workers.map((worker) => worker.drain()));
  await scene.noneIsStuck();
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
