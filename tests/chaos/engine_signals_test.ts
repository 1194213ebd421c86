import assert from "node:assert/strict";
import process from "node:process";
import { it } from "node:test";
import { connect, type Run, type Weir } from "../../mod.ts";
import { actorsOf, item } from "../fixtures/engine_actors.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { newEffectsFile } from "../fixtures/engine_effects.ts";
import { startWorker, type WorkerProcess } from "../fixtures/engine_process.ts";
import { eventually, leftovers, scratchServer } from "../fixtures/server.ts";
import { type Chance, chance, named } from "./seed.ts";

const interleavings = process.env["WEIR_TEST_FULL"] === "1" ? 1_000 : 200;
const atOnce = 20;
const signals = 4;
const { collect } = actorsOf({ effects: newEffectsFile(), worker: "client" });

/** When a signal is sent: at once, when it is awaited, or when nobody owns the execution any more. */
const moments = {
  "at once": () => Promise.resolve(true),
  "when it waits": async (run: Run) => (await run.describe()).waitingFor.length > 0,
  "when it is suspended": async (run: Run) => (await run.describe()).status === "suspended",
} as const;
const kinds = Object.values(moments);

/** Sends all signals of one execution, some of them twice, and looks at what became of each. */
const interleave = async (weir: Weir, name: string, chance: Chance): Promise<void> => {
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
  const result = await run.result();
  const history = await historyOf(run);
  const arrived = history.flatMap(({ record }) =>
    record.kind === "signal" && !("index" in record) ? [record.payload] : []
  );
  assert.deepEqual(result, arrived, name);
  assert.deepEqual([...result].sort(), Array.from({ length: signals }, (_, n) => n), name);
};

it(`${interleavings} interleavings: no signal is lost or applied twice (${named})`, async () => {
  const server = await scratchServer({ durability: "bounded" });
  const namespace = "signals";
  const weir = await connect({ servers: server.url, namespace });
  const workers: Array<WorkerProcess> = [];
  try {
    for (const worker of ["first", "second"]) {
      workers.push(
        await startWorker({
          url: server.url,
          namespace,
          effects: newEffectsFile(),
          worker,
          serve: { residentGrace: "20 millis", leaseTtl: "2 seconds" },
        }),
      );
    }
    let next = 0;
    const go = async () => {
      while (next < interleavings) {
        const name = `o-${next++}`;
        await interleave(weir, name, chance(name));
      }
    };
    await Promise.all(Array.from({ length: atOnce }, go));
    await Promise.all(workers.map((worker) => worker.drain()));
  } finally {
    for (const worker of workers) worker.kill();
    await weir.close();
    await server.stop();
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
