import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { connect } from "../../mod.ts";
import { actorsOf } from "../fixtures/engine_actors.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { effectsIn, newEffectsFile } from "../fixtures/engine_effects.ts";
import { watchWorker } from "../fixtures/engine_kill_point.ts";
import { startWorker, type WorkerProcess } from "../fixtures/engine_process.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, scratchFolder, scratchServer } from "../fixtures/server.ts";

const staleFence = 10071;
const executions = 5;

it("an owner that was frozen past its lease writes nothing more, and serves others", async () => {
  const server = await scratchServer({ durability: "bounded" });
  const namespace = "frozen";
  const weir = await connect({ servers: server.url, namespace });
  const proxy = await startProxy(server.port);
  const { appends } = watchWorker(proxy);
  const effects = newEffectsFile();
  const gate = join(scratchFolder("gate"), "open");
  const serve = { leaseTtl: "1 second", residentGrace: "1 minute" } as const;
  const { busy, tally } = actorsOf({ effects, worker: "client" });
  const working = (worker: string) => () =>
    effectsIn(effects).filter((effect) => effect.step === "work" && effect.worker === worker)
        .length === executions || undefined;
  const workers: Array<WorkerProcess> = [];
  try {
    const frozen = await startWorker({
      url: proxy.url,
      namespace,
      effects,
      worker: "frozen",
      serve,
    });
    workers.push(frozen);
    const runs = await Promise.all(
      Array.from({ length: executions }, (_, i) => weir.start(busy, gate, { id: `o-${i}` })),
    );
    await eventually("the owner is at work", working("frozen"));
    frozen.freeze();
    const next = await startWorker({ url: server.url, namespace, effects, worker: "next", serve });
    workers.push(next);
    await eventually("another has taken over", working("next"), 60_000);
    writeFileSync(gate, "");
    const results = await Promise.all(runs.map((run) => run.result()));
    assert.deepEqual(results, runs.map(() => "next"));
    await next.drain();
    const histories = await Promise.all(runs.map(historyOf));

    const beforeThaw = appends.length;
    frozen.thaw();
    const other = await weir.start(tally, { n: 1, napMs: 10 }, { id: "other" });
    assert.equal(await other.result(), 3);
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
      effectsIn(effects)
        .filter((effect) => effect.worker === worker && effect.execution === execution)
        .map(({ step }) => step);
    for (const { id } of runs) {
      assert.deepEqual(stepsOf("frozen", id), ["begin", "work"]);
      assert.deepEqual(stepsOf("next", id), ["work", "tidy"]);
    }
    assert.deepEqual(stepsOf("frozen", other.id), ["one", "two"]);
    await frozen.drain();
  } finally {
    for (const worker of workers) worker.kill();
    await weir.close();
    await proxy.stop();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
