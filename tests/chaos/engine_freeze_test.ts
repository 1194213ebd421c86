import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { watchWorker } from "../fixtures/engine_kill_point.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

const staleFence = 10071;
const executions = 5;

it("an owner that was frozen past its lease writes nothing more, and serves others", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const proxy = await startProxy(server.port);
  const { appends } = watchWorker(proxy);
  const gate = join(scratchFolder("gate"), "open");
  try {
    await using scene = await openScene(server, {
      namespace: "frozen",
      serve: { leaseTtl: "1 second", residentGrace: "1 minute" },
    });
    const { weir, actors: { busy, tally } } = scene;
    const working = (worker: string) => () =>
      scene.effects("work").filter((effect) => effect.worker === worker).length === executions ||
      undefined;
    const frozen = await scene.launch("frozen", { url: proxy.url });
    const runs = await Promise.all(
      Array.from({ length: executions }, (_, i) => weir.start(busy, gate, { id: `o-${i}` })),
    );
    await eventually("the owner is at work", working("frozen"));
    frozen.freeze();
    const next = await scene.launch("next");
    await eventually("another has taken over", working("next"), 60_000);
    writeFileSync(gate, "");
    const results = await scene.inTime(
      "their results",
      Promise.all(runs.map((run) => run.result())),
    );
    assert.deepEqual(results, runs.map(() => "next"));
    await next.drain();
    const histories = await Promise.all(runs.map(historyOf));

    const beforeThaw = appends.length;
    frozen.thaw();
    const other = await weir.start(tally, { n: 1, napMs: 10 }, { id: "other" });
    assert.equal(await scene.inTime("the other", other.result()), 3);
    const of = (name: string) =>
      appends.slice(beforeThaw).filter(({ subject }) => subject.includes(`.${name}`));
    await eventually(
      "each execution's late write is answered",
      () =>
        runs.every((_, i) => of(`o-${i}`).some(({ errorCode }) => errorCode !== undefined)) ||
        undefined,
    );
    const late = runs.flatMap((_, i) => of(`o-${i}`));
    assert.deepEqual(new Set(late.map(({ errorCode }) => errorCode)), new Set([staleFence]));
    assert.deepEqual(await Promise.all(runs.map(historyOf)), histories);

    const stepsOf = (worker: string, execution: string) =>
      scene.effects()
        .filter((effect) => effect.worker === worker && effect.execution === execution)
        .map(({ step }) => step);
    for (const { id } of runs) {
      assert.deepEqual(stepsOf("frozen", id), ["begin", "work"]);
      assert.deepEqual(stepsOf("next", id), ["work", "tidy"]);
    }
    assert.deepEqual(stepsOf("frozen", other.id), ["one", "two"]);
    await frozen.drain();
    await scene.noneIsStuck();
  } finally {
    await proxy.stop();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
