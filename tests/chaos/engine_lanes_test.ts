import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Run } from "../../mod.ts";
import { item } from "../fixtures/engine_actors.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const each = 12;

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

const many = <A>(one: (i: number) => Promise<A>): Promise<ReadonlyArray<A>> =>
  Promise.all(Array.from({ length: each }, (_, i) => one(i)));

/** Who did anything for these. */
const handsOf = (scene: Scene, runs: ReadonlyArray<Run>): ReadonlyArray<string> => {
  const ids = new Set(runs.map(({ id }) => id));
  const done = scene.effects().filter(({ execution }) => ids.has(execution));
  return [...new Set(done.map(({ worker }) => worker))].sort();
};

const areAll = (status: string, runs: ReadonlyArray<Run>) => async () => {
  const all = await Promise.all(runs.map((run) => run.describe()));
  return all.every((run) => run.status === status) || undefined;
};

// Attack 14.
it("what is bound to a lane goes on there, whoever is offered its start, timer or signal", async () => {
  await using scene = await openScene(server, {
    namespace: "lanes",
    serve: { residentGrace: "0 millis", leaseTtl: "2 seconds" },
  });
  const { weir, actors: { gather, tally } } = scene;
  const bound = { lanes: ["gpu"] };
  const options = (id: string) => ({ id, lane: "gpu", unserved: true });
  const onLane = await many((i) => weir.start(tally, { n: i, napMs: 8_000 }, options(`nap-${i}`)));
  const waiting = await many((i) => weir.start(gather, undefined, options(`wait-${i}`)));
  const elsewhere = await many((i) =>
    weir.start(tally, { n: i, napMs: 10 }, { id: `any-${i}`, unserved: true })
  );

  // Only workers of the lane are there: they pass on to themselves, and leave the rest alone.
  const first = await scene.launch("gpu-1", { serve: bound });
  await eventually("all on the lane are suspended", areAll("suspended", [...onLane, ...waiting]));
  assert.equal(await areAll("waiting", elsewhere)(), true);

  // Others come, which are offered its timers and signals as well; the one of the lane dies.
  const other = await scene.launch("any");
  await scene.inTime("elsewhere", Promise.all(elsewhere.map((run) => run.result())));
  first.kill();
  await Promise.all(waiting.map((run) => run.signal(item, 1)));
  const second = await scene.launch("gpu-2", { serve: bound });
  await Promise.all(waiting.map((run) => run.signal(item, -1)));
  assert.deepEqual(
    await scene.inTime("waiting", Promise.all(waiting.map((run) => run.result()))),
    waiting.map(() => [1]),
  );
  assert.deepEqual(
    await scene.inTime("onLane", Promise.all(onLane.map((run) => run.result()))),
    onLane.map((_, i) => 2 * i + 1),
  );
  assert.deepEqual(handsOf(scene, elsewhere), ["any"]);
  assert.deepEqual(handsOf(scene, onLane), ["gpu-1", "gpu-2"]);
  assert.deepEqual(handsOf(scene, waiting), ["gpu-2"]);
  await Promise.all([other.drain(), second.drain()]);
  await scene.noneIsStuck();
});

it("a worker without the code, the lane or a capability never takes the work", async () => {
  await using scene = await openScene(server, {
    namespace: "able",
    serve: { residentGrace: "0 millis" },
  });
  const { weir, actors: { gather, tally } } = scene;
  const named = await many((i) =>
    weir.start(gather, undefined, { id: `named-${i}`, unserved: true })
  );
  const able = await many((i) =>
    weir.start(tally, { n: i, napMs: 100 }, {
      id: `able-${i}`,
      requires: ["ocr", "gpu"],
      unserved: true,
    })
  );
  const plain = await many((i) =>
    weir.start(tally, { n: i, napMs: 100 }, { id: `plain-${i}`, unserved: true })
  );
  const unable = await Promise.all([
    scene.launch("tallies", { actors: ["tally"] }),
    scene.launch("half-able", { actors: ["tally"], serve: { capabilities: ["ocr"] } }),
    scene.launch("elsewhere", { serve: { lanes: ["cpu"] } }),
  ]);
  await scene.inTime("plain", Promise.all(plain.map((run) => run.result())));
  assert.equal(await areAll("waiting", [...named, ...able])(), true);

  const whole = await scene.launch("able", {
    actors: ["tally"],
    serve: { capabilities: ["gpu", "ocr", "more"] },
  });
  await scene.inTime("able", Promise.all(able.map((run) => run.result())));
  assert.equal(await areAll("waiting", named)(), true);
  const coded = await scene.launch("gathers", { actors: ["gather"] });
  await Promise.all(named.map((run) => run.signal(item, 1)));
  await Promise.all(named.map((run) => run.signal(item, -1)));
  await scene.inTime("named", Promise.all(named.map((run) => run.result())));
  assert.deepEqual(handsOf(scene, able), ["able"]);
  assert.deepEqual(handsOf(scene, named), ["gathers"]);
  assert.ok(!handsOf(scene, plain).includes("elsewhere"));
  await Promise.all([...unable, whole, coded].map((worker) => worker.drain()));
  await scene.noneIsStuck();
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
