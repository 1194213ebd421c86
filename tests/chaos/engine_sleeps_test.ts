import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { after, before, it } from "node:test";
import { connect, ExecutionExpired, type Run, type Weir } from "../../mod.ts";
import { actorsOf } from "../fixtures/engine_actors.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { effectsIn, newEffectsFile } from "../fixtures/engine_effects.ts";
import { startWorker, type WorkerProcess } from "../fixtures/engine_process.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

const sleeps = process.env["WEIR_TEST_FULL"] === "1" ? 10_000 : 1_000;
const atOnce = 100;
/** Enough to have all of them asleep before the first is due. */
const firstMs = 6_000 + 5 * sleeps;
const secondMs = 2 * firstMs;
const namespace = "sleeps";

let server: ScratchServer;
let weir: Weir;
let effects: string;
const workers: Array<WorkerProcess> = [];
const { sleeper, busy } = actorsOf({ effects: "", worker: "client" });

before(async () => {
  server = await scratchServer({ durability: "bounded" });
  weir = await connect({ servers: server.url, namespace });
  effects = newEffectsFile();
});
after(async () => {
  for (const worker of workers) worker.kill();
  await weir.close();
  await server.stop();
});

const launch = async (worker: string): Promise<WorkerProcess> => {
  const serve = { residentGrace: "100 millis", leaseTtl: "2 seconds" } as const;
  const process = await startWorker({ url: server.url, namespace, effects, worker, serve });
  workers.push(process);
  return process;
};

const woken = (runs: ReadonlyArray<Run>): number => {
  const ids = new Set(runs.map(({ id }) => id));
  return effectsIn(effects).filter(({ step, execution }) => step === "wake" && ids.has(execution))
    .length;
};

/** One that is there, by what is recorded of it. */
const recorded = async (run: Run, kind: string) =>
  (await historyOf(run)).filter(({ record }) => record.kind === kind);

it(`${sleeps} sleeps are in nobody's memory, and each fires once, also when due while all is down`, async () => {
  const runs: Array<Run> = [];
  let next = 0;
  const go = async () => {
    while (next < sleeps) {
      const n = next++;
      const forMs = n % 2 === 0 ? firstMs : secondMs;
      runs[n] = await weir.start(sleeper, { forMs }, { id: `o-${n}` });
    }
  };
  const first = await launch("first");
  await Promise.all(Array.from({ length: atOnce }, go));
  const begunAt = Date.now();
  const early = runs.filter((_, n) => n % 2 === 0);
  const late = runs.filter((_, n) => n % 2 === 1);
  const resident = async () => (await weir.workers())[0]?.load?.resident;
  await eventually(
    "nothing is in memory",
    async () => await resident() === 0 || undefined,
    firstMs,
  );
  assert.ok(Date.now() < begunAt + firstMs, "they were asleep before the first was due");
  assert.equal(woken(runs), 0);

  const haveFired = (runs: ReadonlyArray<Run>) => () => woken(runs) >= runs.length || undefined;
  await eventually("half of them fire", haveFired(early), firstMs + 60_000);
  await Promise.all(early.map((run) => run.result()));
  first.kill();
  await server.kill();
  await eventually(
    "the others are due",
    () => Date.now() > begunAt + secondMs || undefined,
    secondMs,
  );
  await server.restart();
  const second = await launch("second");
  await Promise.all(late.map((run) => run.result()));
  assert.equal(woken(early), early.length);
  assert.equal(woken(late), late.length);
  await second.drain();
});

it("the first deadline of a sleep holds, however often it changes hands", async () => {
  const forMs = 4_000;
  const third = await launch("third");
  const run = await weir.start(sleeper, { forMs }, { id: "handed-on" });
  const begun = await eventually(
    "it sleeps",
    async () => (await recorded(run, "sleeping"))[0]?.record as { due: number } | undefined,
  );
  const fourth = await launch("fourth");
  await third.drain();
  await run.revokeLease().catch(() => undefined);
  assert.equal(await run.result(), "awake");
  const sleeping = await recorded(run, "sleeping");
  assert.deepEqual(sleeping.map(({ record }) => (record as { due: number }).due), [begun.due]);
  const timers = await recorded(run, "timer");
  assert.ok(timers.every(({ record }) => (record as { due: number }).due === begun.due));
  const [done] = await recorded(run, "done");
  assert.ok(
    done!.at >= begun.due && done!.at < begun.due + forMs / 2,
    `${done!.at - begun.due} ms`,
  );
  await fourth.drain();
});

it("a deadline ends what runs, what waits, and what nobody has taken up", async () => {
  const gate = join(scratchFolder("gate"), "never");
  const deadline = "1 second";
  const untaken = await weir.start(sleeper, { forMs: 60_000 }, { id: "untaken", deadline });
  await eventually("its time is over", async () => {
    const { deadline } = await untaken.describe();
    return Date.now() > deadline! || undefined;
  });
  const fifth = await launch("fifth");
  const running = await weir.start(busy, gate, { id: "running", deadline });
  const waiting = await weir.start(sleeper, { forMs: 60_000 }, { id: "waiting", deadline });
  const delayed = await weir.start(sleeper, { forMs: 1 }, {
    id: "delayed",
    delay: "1 minute",
    deadline,
  });
  for (const run of [untaken, running, waiting, delayed]) {
    await assert.rejects(run.result(), ExecutionExpired, run.id);
  }
  await fifth.drain();
});

it("nothing is left behind", async () => {
  await weir.close();
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
