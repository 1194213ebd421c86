/** Triggers whose keeper is killed between what has happened, its record, and what is done. */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { actor } from "../../mod.ts";
import { item } from "../fixtures/engine_actors.ts";
import { type KillPoint, watchWorker } from "../fixtures/engine_kill_point.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";

const keeperOf = (scene: Scene) =>
  scene.weir.get(actor("weir-triggers", () => {}), "default", { tenant: "weir" });

const keeps = (scene: Scene, worker: string) =>
  eventually(
    `${worker} keeps the triggers`,
    async () => (await keeperOf(scene).describe()).owner === worker || undefined,
    60_000,
  );

const expected = { each: 3, end: 1, once: 1 };

let played = 0;

/** Has the first keeper die at its point; the second one goes on. */
const play = async (server: ScratchServer, point: KillPoint) => {
  const proxy = await startProxy(server.port);
  try {
    await using scene = await openScene(server, {
      namespace: `trigger_${++played}`,
      serve: { leaseTtl: "5 seconds" },
    });
    const { weir, actors: { gather, tally } } = scene;
    let killed = 0;
    const keeping = { actors: [], serve: { triggers: true } };
    watchWorker(proxy, point, () => {
      killed++;
      first.kill();
    });
    const first = scene.spawn("keeper-1", { ...keeping, url: proxy.url });
    await scene.launch("worker", { actors: ["gather", "tally"] });
    const listener = await weir.start(gather, undefined, { id: "l" });
    const late = await weir.submit(tally, { n: 1, napMs: 0 }, { id: "late", delay: "1 day" });
    const then = { signal: listener, name: item } as const;
    const when = { event: "paid" } as const;
    const unserved = true;
    await weir.triggers.create({ id: "once", when, then: { ...then, payload: 100 }, unserved });
    await weir.triggers.create({ id: "each", when, then, standing: true, unserved });
    await weir.triggers.create({
      id: "end",
      when: { completed: `${tally.name}/first` },
      then: { promote: late },
      unserved,
    });
    await Promise.race([keeps(scene, "keeper-1"), first.ended]);
    for (const n of [1, 2, 3]) await weir.emit("paid", n, { id: `paid-${n}` });
    await weir.start(tally, { n: 0, napMs: 0 }, { id: "first" });
    await eventually("the first keeper has been killed", () => killed > 0 || undefined, 60_000);
    await scene.launch("keeper-2", keeping);
    await eventually("all have fired", async () => {
      const triggers = await weir.triggers.list();
      return triggers.every(({ id, fired, acting }) =>
        acting === undefined && fired === expected[id as keyof typeof expected]
      ) || undefined;
    }, 90_000);
    assert.equal(await scene.inTime("what is promoted", late.result()), 3);
    for (const { last } of await weir.triggers.list()) assert.equal(last?.failure, undefined);
    await keeps(scene, "keeper-2");
    await listener.signal(item, -1);
    const taken = await scene.inTime("what takes the signals", listener.result());
    assert.deepEqual([...taken].sort((a, b) => a - b), [1, 2, 3, 100]);
    assert.deepEqual(taken.filter((n) => n < 100), [1, 2, 3]);
    await scene.noneIsStuck();
  } finally {
    await proxy.stop();
  }
};

/** Each record of a trigger, and each message by which one acts, in turn. */
const everyPoint: ReadonlyArray<KillPoint> = (["unstored", "unanswered"] as const).flatMap(
  (moment) => [
    ...Array.from({ length: 10 }, (_, i) => ({ append: i + 1, of: ".trigger.", moment })),
    ...Array.from({ length: 5 }, (_, i) => ({ append: i + 1, of: ".mail.", moment })),
  ],
);

const drawn = (): ReadonlyArray<KillPoint> => {
  const draw = chance("trigger");
  const some = Array.from({ length: 2 }, () => everyPoint[draw(everyPoint.length)]!);
  // Between what is recorded and what is done, and between that and its record.
  return [
    { append: 1, of: ".trigger.", moment: "unanswered" },
    { append: 1, of: ".mail.", moment: "unanswered" },
    ...some,
  ];
};

describe("a trigger", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  it(`fires once wherever its keeper is killed (${named})`, async () => {
    const points = [...(isFull ? everyPoint : drawn())];
    const playOn = async () => {
      for (let next = points.pop(); next !== undefined; next = points.pop()) {
        try {
          await play(server, next);
        } catch (cause) {
          points.length = 0;
          throw new Error(`killed at ${JSON.stringify(next)}`, { cause });
        }
      }
    };
    const outcomes = await Promise.allSettled([playOn(), playOn(), playOn(), playOn()]);
    const failures = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    if (failures.length > 0) throw failures[0];
    console.log(`${played} keepers killed`);
  });

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
