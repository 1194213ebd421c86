import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import type { ScheduleSummary } from "../../mod.ts";
import { type KillPoint, watchWorker } from "../fixtures/engine_kill_point.ts";
import type { WorkerProcess } from "../fixtures/engine_process.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
/** Plays that run side by side; each waits most of its time for the calendar. */
const plays = isFull ? 6 : 4;
const sampled = isFull ? 60 : 4;
const runs = 8;

/** Layers of six, each task behind two of the layer before it. */
const layers = 5;
const width = 6;
const graph = Array.from({ length: layers * width }, (_, n) => {
  const [layer, place] = [Math.floor(n / width), n % width];
  return {
    n,
    before: layer === 0
      ? []
      : [place, (place + 1) % width].map((each) => (layer - 1) * width + each),
  };
});
const sums: ReadonlyArray<number> = graph.reduce<ReadonlyArray<number>>(
  (known, { n, before }) => [...known, before.reduce((sum, each) => sum + known[each]!, n)],
  [],
);

const summary = (more: Partial<ScheduleSummary> = {}): ScheduleSummary => ({
  created: runs,
  completed: runs,
  failed: 0,
  cancelled: 0,
  skipped: 0,
  ...more,
});

const numbered = (id: string, numbers: ReadonlyArray<number>) =>
  numbers.map((number) => `job/${id}~${number}`);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

let played = 0;

/**
 * A schedule and a graph of tasks, whose first worker is killed at the first point, the next at the
 * second, and so on; the last of them finishes.
 */
const play = async (server: ScratchServer, points: ReadonlyArray<KillPoint>) => {
  const proxies: Array<Proxy> = [];
  try {
    await using scene = await openScene(server, {
      namespace: `tasks_${++played}`,
      serve: { leaseTtl: "2 seconds" },
    });
    const { weir, actors: { job } } = scene;
    const launch = async (number: number): Promise<WorkerProcess> => {
      const proxy = await startProxy(server.port);
      proxies.push(proxy);
      // It finds work as soon as it serves, and may come to its point before that is told.
      const launched = scene.spawn(`worker-${number}`, { url: proxy.url });
      watchWorker(proxy, points[number], launched.kill);
      await launched.serves;
      return launched;
    };
    let worker = await launch(0);
    let kills = 0;
    let isDone = false;
    const relay = async () => {
      while (await worker.ended === "SIGKILL") {
        worker = await launch(++kills);
        if (isDone) worker.terminate();
      }
    };
    const relayed = relay();

    const schedule = await weir.schedule(job, 1, {
      id: "s",
      policy: { type: "repeat", count: runs, interval: "1 second" },
      // A worker that dies is replaced within the grace, so nothing is missed.
      misfire: "skip",
    });
    const tasks = await weir.submitAll(graph.map(({ n, before }) => ({
      actor: job,
      input: n,
      id: `t-${n}`,
      after: before.map((each) => `job/t-${each}`),
    })));
    const done = Promise.all([schedule.result(), ...tasks.map((task) => task.result())]);
    const [came, ...given] = await scene.inTime("the end of all", done);
    assert.deepEqual(came, summary());
    assert.deepEqual(given, sums);

    const all = [...numbered("s", upTo(runs)), ...graph.map(({ n }) => `job/t-${n}`)].sort();
    // Who died last may have had what the list is made of, and the server waits for its answer.
    await eventually("all are listed as done", async () => {
      const { executions } = await weir.list({ status: "completed", limit: 1_000 });
      return executions.length === all.length + 1 || undefined;
    }, 60_000);
    const { executions } = await weir.list({ limit: 1_000 });
    assert.deepEqual(executions.map(({ execution }) => execution).sort(), ["job/s", ...all].sort());
    const ran = new Set(scene.effects("work").map(({ execution }) => execution));
    assert.deepEqual([...ran].sort(), all);

    isDone = true;
    worker.terminate();
    await scene.inTime("its drain", relayed);
    await scene.noneIsStuck();
    return kills;
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
};

/** A worker that nobody kills makes about so many; the more it has at once, the fewer. */
const appends = 440;

/** Two deaths each, of which the first are spread over the whole play. */
const sample = (): ReadonlyArray<ReadonlyArray<KillPoint>> => {
  const draw = chance("schedules");
  const point = (append: number): KillPoint => ({
    append,
    moment: draw(2) === 0 ? "unstored" : "unanswered",
  });
  const stride = Math.floor(appends / sampled);
  return Array.from({ length: sampled }, (_, i) => [
    point(1 + i * stride + draw(stride)),
    point(1 + draw(20)),
  ]);
};

describe("schedules and tasks", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  it(`whose workers are killed twice each run once, ${sampled} times (${named})`, async () => {
    const points = sample()[Symbol.iterator]();
    let kills = 0;
    const playOn = async () => {
      for (const point of points) {
        try {
          const died = await play(server, point);
          kills += died;
        } catch (cause) {
          throw new Error(`killed at ${JSON.stringify(point)}`, { cause });
        }
      }
    };
    const outcomes = await Promise.allSettled(Array.from({ length: plays }, playOn));
    const failures = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
    if (failures.length > 0) throw failures[0];
    console.log(`${kills} workers killed in ${sampled} plays`);
    // A first point may lie behind the end of its play.
    assert.ok(kills > sampled, `only ${kills} workers were killed`);
  });
});

describe("schedules whose server is down for three of their times", () => {
  /** Long enough for everything to be taken up again before the next is due. */
  const intervalMs = 5_000;
  const count = 5;
  const graceMs = 3_000;

  for (const residentGrace of isFull ? ["1 minute", "0 millis"] : ["0 millis"]) {
    it(`do what their misfire policy says, kept ${residentGrace} in memory`, async () => {
      const server = await scratchServer({ durability: "bounded" });
      try {
        await using scene = await openScene(server, {
          namespace: "outage",
          serve: { leaseTtl: "2 seconds", residentGrace: residentGrace as "1 minute" },
        });
        const { weir, actors: { job } } = scene;
        const worker = await scene.launch("worker");
        const policy = { type: "repeat", count, interval: intervalMs } as const;
        const schedules = await Promise.all(
          (["fire-all", "fire-once", "skip"] as const).map((misfire) =>
            weir.schedule(job, 1, { id: misfire, policy, misfire, grace: graceMs })
          ),
        );
        const began = Date.now();
        const until = (instant: number) =>
          eventually("its time", () => Date.now() > instant || undefined, 60_000);
        // 0 has run; 1, 2 and 3 are due while nobody answers; 4 follows.
        await until(began + intervalMs / 2);
        await server.kill();
        await until(began + 3 * intervalMs + graceMs + 500);
        await server.restart();
        const came = await scene.inTime(
          "their ends",
          Promise.all(schedules.map((schedule) => schedule.result())),
        );
        assert.deepEqual(came, [
          summary({ created: 5, completed: 5 }),
          summary({ created: 3, completed: 3, skipped: 2 }),
          summary({ created: 2, completed: 2, skipped: 3 }),
        ]);
        const expected = [
          ...numbered("fire-all", [1, 2, 3, 4, 5]),
          ...numbered("fire-once", [1, 4, 5]),
          ...numbered("skip", [1, 5]),
        ].sort();
        const ran = scene.effects("work").map(({ execution }) => execution);
        assert.deepEqual([...new Set(ran)].sort(), expected);
        await eventually("all are listed as done", async () => {
          const { executions } = await weir.list({ status: "completed", limit: 1_000 });
          return executions.length === expected.length + 3 || undefined;
        });
        await worker.drain();
        await scene.noneIsStuck();
      } finally {
        await server.stop();
      }
    });
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
