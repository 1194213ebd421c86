import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Run } from "../../mod.ts";
import { item } from "../fixtures/engine_actors.ts";
import { recordedSteps } from "../fixtures/engine_chronicle.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { type Frame, startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";

let server: ScratchServer;
before(async () => server = await scratchServer({ durability: "bounded" }));
after(() => server.stop());

const executions = 12;
const startAll = ({ weir, actors: { gather } }: Scene) =>
  Promise.all(
    Array.from({ length: executions }, (_, i) => weir.start(gather, undefined, { id: `o-${i}` })),
  );

/** Who has taken a number of an execution, each time. */
const takers = (scene: Scene, run: Run, number: number): ReadonlyArray<string> =>
  scene.effects(`take ${number}`).filter(({ execution }) => execution === run.id)
    .map(({ worker }) => worker);

const send = (runs: ReadonlyArray<Run>, number: number) =>
  Promise.all(runs.map((run) => run.signal(item, number)));

// Attack 10.
it("an owner that was cut off goes on from what others did meanwhile, not from its memory", async () => {
  await using scene = await openScene(server, { namespace: "cut_off" });
  const proxy = await startProxy(server.port);
  try {
    const away = await scene.launch("away", {
      url: proxy.url,
      serve: { residentGrace: "1 minute" },
    });
    const runs = await startAll(scene);
    const isTaken = (number: number, worker: string) => () =>
      runs.every((run) => takers(scene, run, number).includes(worker)) || undefined;
    await send(runs, 1);
    await eventually("the first owner has them all, and has recorded it", async () => {
      const steps = await Promise.all(runs.map(recordedSteps));
      return steps.every(({ length }) => length === 1) || undefined;
    });

    proxy.isShut = true;
    proxy.cut();
    const other = await scene.launch("other", { serve: { residentGrace: "0 millis" } });
    await send(runs, 2);
    await eventually("another has taken over", isTaken(2, "other"), 30_000);
    await send(runs, 3);
    await eventually("and goes on", isTaken(3, "other"), 30_000);
    await other.drain();

    proxy.isShut = false;
    await send(runs, 4);
    await eventually("the first is back", isTaken(4, "away"), 30_000);
    await send(runs, -1);
    for (const run of runs) {
      assert.deepEqual(await scene.inTime(run.id, run.result()), [1, 2, 3, 4], run.id);
      const all = [1, 2, 3, 4].flatMap((number) => takers(scene, run, number));
      assert.deepEqual(all, ["away", "other", "other", "away"], run.id);
    }
    await away.drain();
    await scene.noneIsStuck();
  } finally {
    await proxy.stop();
  }
});

// Attack 15.
it("a message that a frozen worker holds back is taken in its turn by the owner", async () => {
  await using scene = await openScene(server, {
    namespace: "held_back",
    serve: { residentGrace: "1 minute" },
  });
  const proxy = await startProxy(server.port);
  try {
    const owner = await scene.launch("owner");
    const runs = await startAll(scene);
    await eventually("the owner has them all", async () => {
      const states = await Promise.all(runs.map((run) => run.describe()));
      return states.every(({ owner, waitingFor }) => owner === "owner" && waitingFor.length > 0) ||
        undefined;
    });
    // By this name it comes first at some of the sources.
    const frozen = await scene.launch("frozen", { url: proxy.url });

    const held = new Map<string, number>();
    const offered = (verdict: "pass" | "hold") => ({ words: [subject = ""] }: Frame) => {
      if (subject.includes(".mail.")) held.set(subject, (held.get(subject) ?? 0) + 1);
      return verdict;
    };
    proxy.toClient = offered("pass");
    let numbers = 0;
    await eventually("the other is offered some of their mail", async () => {
      if (held.size === 0) await send(runs, ++numbers);
      return held.size > 0 || undefined;
    });
    held.clear();
    proxy.toServer = () => "hold";
    proxy.toClient = offered("hold");
    const heldOf = (run: Run) =>
      [...held].reduce(
        (sum, [subject, count]) => subject.endsWith(`.${run.id.split("/")[1]}`) ? sum + count : sum,
        0,
      );
    /** Sends numbers until one comes to the owner, and tells how many the other then has. */
    const overtake = async (
      run: Run,
    ): Promise<{ readonly sent: number; readonly held: number }> => {
      for (let number = numbers + 1;; number++) {
        const before = heldOf(run);
        await run.signal(item, number);
        const isTaken = await eventually(`${number} of ${run.id} comes to somebody`, () => {
          if (takers(scene, run, number).length > 0) return true;
          return heldOf(run) > before ? false : undefined;
        }, 30_000);
        if (isTaken) return { sent: number, held: before };
      }
    };
    const sent = await Promise.all(runs.map(overtake));
    assert.ok(sent.some(({ held }) => held > 0), "the frozen worker was offered something first");
    proxy.toServer = proxy.toClient = () => "pass";
    proxy.release();

    await send(runs, -1);
    for (const [i, run] of runs.entries()) {
      const expected = Array.from({ length: sent[i]!.sent }, (_, n) => n + 1);
      assert.deepEqual(await scene.inTime(run.id, run.result()), expected, run.id);
      assert.deepEqual(
        expected.flatMap((number) => takers(scene, run, number)),
        expected.map(() => "owner"),
        run.id,
      );
    }
    await Promise.all([owner.drain(), frozen.drain()]);
    await scene.noneIsStuck();
  } finally {
    await proxy.stop();
  }
});

it("nothing is left behind", async () => {
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
