import assert from "node:assert/strict";
import { it } from "node:test";
import { item } from "../fixtures/engine_actors.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";

const executions = 30;

it("workers are replaced by those of another release, one by one, and each step is done once", async () => {
  const server = await scratchServer({ durability: "bounded" });
  try {
    await using scene = await openScene(server, {
      namespace: "upgrade",
      serve: { residentGrace: "300 millis" },
    });
    const { weir, actors: { upgraded } } = scene;
    const start = (from: number) =>
      Promise.all(
        Array.from({ length: executions }, (_, i) =>
          weir.start(upgraded, from + i, { id: `${from + i}` })),
      );
    const wait = (runs: Awaited<ReturnType<typeof start>>) =>
      eventually("all wait", async () => {
        const all = await Promise.all(runs.map((run) => run.describe()));
        return all.every(({ reason }) => reason === "signal") || undefined;
      });
    const old = [await scene.launch("old-1"), await scene.launch("old-2")];
    const early = await start(0);
    await wait(early);
    await scene.launch("new-1", { release: 2 });
    const between = await start(executions);
    await wait(between);
    const third = (runs: typeof early, which: number) => runs.filter((_, i) => i % 3 === which);
    const go = (runs: typeof early) => Promise.all(runs.map((run) => run.signal(item, 1_000)));
    await go([...third(early, 0), ...third(between, 0)]);
    await old[0]!.drain();
    await go([...third(early, 1), ...third(between, 1)]);
    const killed = old[1]!;
    killed.kill();
    await killed.ended;
    await scene.launch("new-2", { release: 2 });
    await go([...third(early, 2), ...third(between, 2)]);
    const runs = [...early, ...between];
    const results = await scene.inTime(
      "their results",
      Promise.all(runs.map((run) => run.result())),
    );
    const ofStep = (name: string) => new Set(scene.effects(name).map((each) => each.execution));
    const added = ofStep("added");
    results.forEach((result, n) => {
      // Where both releases serve, one may go on with what the other has begun.
      const isAdded = result === n + 1_100;
      assert.ok(isAdded ? added.has(runs[n]!.id) : result === n + 1_000, `${n}: ${result}`);
    });
    // What waited on old code and ended on new code has come by the step that was added.
    assert.deepEqual(
      await Promise.all(third(early, 2).map((run) => run.result())),
      third(early, 2).map((_, i) => 3 * i + 2 + 1_100),
    );
    assert.ok(ofStep("one").size === runs.length && scene.effects("one").length === runs.length);
    await scene.noneIsStuck();
  } finally {
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
