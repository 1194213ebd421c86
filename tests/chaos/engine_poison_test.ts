import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { ExecutionFailed } from "../../mod.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

const maxReclaims = 1;

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

// Attack 17.
it("an execution that kills every process that takes it up ends as a failure, and others do not", async () => {
  await using scene = await openScene(server, {
    namespace: "poison",
    serve: { maxReclaims, residentGrace: "0 millis" },
  });
  const { weir, actors: { poison, tally } } = scene;
  const innocent = await Promise.all(
    Array.from(
      { length: 20 },
      (_, n) => weir.start(tally, { n, napMs: 5_000 }, { id: `i-${n}`, unserved: true }),
    ),
  );
  // Whoever is claimed beside it again and again, and never comes to record anything, ends as it does.
  const before = await scene.launch("before");
  await eventually("the others have begun", async () => {
    const all = await Promise.all(innocent.map((run) => run.describe()));
    return all.every(({ status }) => status === "suspended") || undefined;
  });
  await before.drain();
  const run = await weir.start(poison, undefined, { id: "o-1" });
  const ended = run.result().then(() => undefined, (error: unknown) => error);
  let deaths = 0;
  let error: unknown;
  for (;;) {
    const worker = await scene.launch(`worker-${deaths}`);
    const end = await scene.inTime(
      "an end",
      Promise.race([worker.ended, ended.then((reason) => ({ reason }))]),
    );
    if (typeof end === "object" && end !== null) {
      error = end.reason;
      break;
    }
    assert.equal(end, "SIGKILL");
    deaths++;
    assert.ok(deaths <= maxReclaims + 1, "the cap on reclaims holds");
  }
  assert.ok(error instanceof ExecutionFailed, String(error));
  assert.equal(error.failure.name, "max_reclaims_exceeded");
  assert.equal(deaths, maxReclaims + 1);
  assert.deepEqual(
    await scene.inTime("innocent", Promise.all(innocent.map((run) => run.result()))),
    innocent.map((_, n) => 2 * n + 1),
  );
  await scene.noneIsStuck();
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
