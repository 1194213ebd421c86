import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { after, before, it } from "node:test";
import {
  type Cursor,
  ExecutionExpired,
  type ExecutionStatus,
  type ListedPage,
  type Run,
} from "../../mod.ts";
import { historyOf } from "../fixtures/engine_chronicle.ts";
import { openScene, type Scene } from "../fixtures/engine_scene.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const sleeps = isFull ? 10_000 : 1_000;
const atOnce = 100;
/** Mostly enough to have all of them asleep before the first is due. */
const shortestMs = isFull ? 120_000 : 12_000;
let server: ScratchServer;
let scene: Scene;

before(async () => {
  server = await scratchServer({ durability: "bounded" });
  scene = await openScene(server, {
    namespace: "sleeps",
    serve: { residentGrace: "100 millis", leaseTtl: "2 seconds" },
  });
});
after(async () => {
  await scene[Symbol.asyncDispose]();
  await server.stop();
});

const woken = (runs: ReadonlyArray<Run>): number => {
  const ids = new Set(runs.map(({ id }) => id));
  return scene.effects("wake").filter(({ execution }) => ids.has(execution)).length;
};

/** How many executions are listed under a status, once the list has come up to now. */
const listedAs = (status: ExecutionStatus) => {
  const asked = Date.now();
  return async (): Promise<number | undefined> => {
    let count = 0;
    let from: Cursor | undefined;
    do {
      const page: ListedPage = await scene.weir.list({
        status,
        limit: 1_000,
        ...(from === undefined ? {} : { from }),
      });
      if (page.asOf < asked) return undefined;
      count += page.executions.length;
      from = page.next;
    } while (from !== undefined);
    return count;
  };
};

/** One that is there, by what is recorded of it. */
const recorded = async (run: Run, kind: string) =>
  (await historyOf(run)).filter(({ record }) => record.kind === kind);

/**
 * Has all of them asleep and in nobody's memory, half of them for so long and half for twice that;
 * none, if the first woke before the last was asleep, on a machine with much else to do.
 */
const allAsleep = async (firstMs: number): Promise<ReadonlyArray<Run> | undefined> => {
  const { weir, actors: { sleeper } } = scene;
  const runs: Array<Run> = [];
  let next = 0;
  const go = async () => {
    while (next < sleeps) {
      const n = next++;
      const forMs = n % 2 === 0 ? firstMs : 2 * firstMs;
      runs[n] = await weir.start(sleeper, { forMs }, { id: `for-${firstMs}-${n}` });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, go));
  const startedAt = Date.now();
  await eventually("nothing is in memory, or one wakes", async () => {
    if (woken(runs) > 0) return true;
    const [worker] = await weir.workers();
    return worker !== undefined && worker.at > startedAt && worker.load?.resident === 0 ||
      undefined;
  }, 60_000);
  const listed = await eventually("the list has them all", listedAs("suspended"), 60_000);
  if (woken(runs) === 0) {
    assert.equal(listed, sleeps);
    return runs;
  }
  await Promise.all(runs.map((run) => run.cancel().catch(() => undefined)));
  await Promise.all(runs.map((run) => run.outcome()));
  return undefined;
};

it(`${sleeps} sleeps are in nobody's memory, and each fires once, also when due while all is down`, async () => {
  const first = await scene.launch("first");
  let firstMs = shortestMs;
  let asleep = await allAsleep(firstMs);
  while (asleep === undefined) asleep = await allAsleep(firstMs *= 2);
  const startedAt = Date.now();
  const early = asleep.filter((_, n) => n % 2 === 0);
  const late = asleep.filter((_, n) => n % 2 === 1);

  const haveFired = (runs: ReadonlyArray<Run>) => () => woken(runs) >= runs.length || undefined;
  await eventually("half of them fire", haveFired(early), firstMs + 60_000);
  await scene.inTime("early", Promise.all(early.map((run) => run.result())));
  first.kill();
  await server.kill();
  // On a slow machine some of the others have woken by then, and what was not recorded is done again.
  const wokenByFirst = new Set(scene.effects("wake").map(({ execution }) => execution));
  const due = late.filter(({ id }) => !wokenByFirst.has(id));
  assert.notEqual(due.length, 0, "all of them woke before their worker was killed");
  await eventually(
    "the others are due",
    () => Date.now() > startedAt + 2 * firstMs || undefined,
    2 * firstMs + 10_000,
  );
  await server.restart();
  const second = await scene.launch("second");
  await scene.inTime("late", Promise.all(late.map((run) => run.result())));
  assert.equal(woken(early), early.length);
  assert.equal(woken(due), due.length);
  assert.ok(woken(late) <= 2 * late.length - due.length);
  await second.drain();
  await scene.noneIsStuck();
});

// Attack 16.
it("the first deadline of a sleep holds, whoever's hands and clocks it passes through", async () => {
  const forMs = 4_000;
  const anHourMs = 3_600_000;
  const { weir, actors: { sleeper } } = scene;
  const third = await scene.launch("third", { clockAheadMs: anHourMs });
  const run = await weir.start(sleeper, { forMs }, { id: "handed-on" });
  const begun = await eventually(
    "it sleeps",
    async () => (await recorded(run, "sleeping"))[0]?.record as { due: number } | undefined,
  );
  const fourth = await scene.launch("fourth", { clockAheadMs: -anHourMs });
  await third.drain();
  await run.revokeLease().catch(() => undefined);
  assert.equal(await scene.inTime(run.id, run.result()), "awake");
  const sleeping = await recorded(run, "sleeping");
  assert.deepEqual(sleeping.map(({ record }) => (record as { due: number }).due), [begun.due]);
  const timers = await recorded(run, "timer");
  assert.ok(timers.every(({ record }) => (record as { due: number }).due === begun.due));
  // By either of the wrong clocks it would have woken at once, or not for an hour.
  const [done] = await recorded(run, "done");
  assert.ok(done!.at >= begun.due, `${done!.at - begun.due} ms`);
  await fourth.drain();
  await scene.noneIsStuck();
});

it("a deadline ends what runs, what waits, and what nobody has taken up", async () => {
  const gate = join(scratchFolder("gate"), "never");
  const deadline = "1 second";
  const { weir, actors: { busy, sleeper } } = scene;
  const untaken = await weir.start(sleeper, { forMs: 60_000 }, { id: "untaken", deadline });
  await eventually("its time is over", async () => {
    const { deadline } = await untaken.describe();
    return Date.now() > deadline! || undefined;
  });
  const fifth = await scene.launch("fifth");
  const running = await weir.start(busy, gate, { id: "running", deadline });
  const waiting = await weir.start(sleeper, { forMs: 60_000 }, { id: "waiting", deadline });
  const delayed = await weir.start(sleeper, { forMs: 1 }, {
    id: "delayed",
    delay: "1 minute",
    deadline,
  });
  for (const run of [untaken, running, waiting, delayed]) {
    await assert.rejects(scene.inTime(run.id, run.result()), ExecutionExpired, run.id);
  }
  await fifth.drain();
  await scene.noneIsStuck();
});

it("nothing is left behind", async () => {
  await scene[Symbol.asyncDispose]();
  await server.stop();
  assert.deepEqual(await leftovers(), []);
});
