import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import type { Run } from "../../mod.ts";
import { item } from "../fixtures/engine_actors.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";
import { type Chance, chance, named } from "./seed.ts";

const interleavings = process.env["WEIR_TEST_FULL"] === "1" ? 1_000 : 300;
const atOnce = 20;
const signals = 4;

/** When a signal is sent: at once, when it is awaited, or when nobody owns the execution any more. */
const moments = {
  "at once": () => Promise.resolve(true),
  "when it waits": async (run: Run) => (await run.describe()).waitingFor.length > 0,
  "when it is suspended": async (run: Run) => (await run.describe()).status === "suspended",
} as const;
const kinds = Object.values(moments);

/** Sends all signals of one execution, some of them twice, and looks at what became of each. */
const interleave = async (
  { weir, actors: { collect }, inTime }: Scene,
  name: string,
  chance: Chance,
): Promise<void> => {
  const run = await weir.start(collect, signals, { id: name });
  const sent: Array<Promise<unknown>> = [];
  for (let n = 0; n < signals; n++) {
    const isDue = kinds[chance(kinds.length)]!;
    await eventually(`${name} is ready`, async () => await isDue(run) || undefined, 30_000);
    const key = `signal ${n}`;
    const times = 1 + chance(2);
    for (let time = 0; time < times; time++) sent.push(run.signal(item, n, { key }));
    if (chance(2) === 0) await Promise.all(sent);
  }
  await Promise.all(sent);
  const result = await inTime(`the result of ${name}`, run.result());
  const history = await historyOf(run);
  const arrived = history.flatMap(({ record }) =>
    record.kind === "signal" && !("index" in record) ? [record.payload] : []
  );
  assert.deepEqual(result, arrived, name);
  assert.deepEqual([...result].sort(), Array.from({ length: signals }, (_, n) => n), name);
};

it(`${interleavings} interleavings: no signal is lost or applied twice (${named})`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  try {
    await using scene = await openScene(server, {
      namespace: "signals",
      serve: { residentGrace: "20 millis", leaseTtl: "2 seconds" },
    });
    const workers = await Promise.all([scene.launch("first"), scene.launch("second")]);
    let next = 0;
    const go = async () => {
      while (next < interleavings) {
        const name = `o-${next++}`;
        await interleave(scene, name, chance(name));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, go));
    await Promise.all(workers.map((worker) => worker.drain()));
    await scene.noneIsStuck();
  } finally {
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
