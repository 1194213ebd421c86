import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { item } from "../fixtures/engine_actors.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

it("an owner whose own code lets it do nothing past its lease loses what it has, and comes back", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const gate = join(scratchFolder("gate"), "open");
  try {
    await using scene = await openScene(server, {
      namespace: "hot",
      serve: { leaseTtl: "1 second", residentGrace: "1 minute" },
    });
    const { weir, actors: { hog, collect } } = scene;
    await scene.launch("first");
    const waits = await weir.start(collect, 1, { id: "waits" });
    await eventually(
      "it waits in the first one's memory",
      async () => (await waits.describe()).reason === "signal" || undefined,
    );
    const run = await weir.start(hog, gate, { id: "hog" });
    await eventually("the first one is stuck", () => scene.effects("spin").length || undefined);
    const next = await scene.launch("next");
    await waits.signal(item, 7);
    assert.deepEqual(await scene.inTime("what waited", waits.result()), [7]);
    assert.equal(await scene.inTime("the other", run.result()), "next");
    const history = await historyOf(run);

    writeFileSync(gate, "");
    await next.drain();
    const later = await weir.start(collect, 0, { id: "later" });
    assert.deepEqual(await scene.inTime("it serves again", later.result()), []);
    assert.deepEqual(await historyOf(run), history);
    assert.deepEqual(scene.effects("after").map(({ worker }) => worker), ["next"]);
    await scene.noneIsStuck();
  } finally {
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
