import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import type { HistoryEntry } from "../../mod.ts";
import { approval } from "../fixtures/engine_actors.ts";
import { childrenOf, chronicleOf, historyOf, recordedSteps } from "../fixtures/engine_chronicle.ts";
import { type KillPoint, watchWorker } from "../fixtures/engine_kill_point.ts";
import type { WorkerProcess } from "../fixtures/engine_process.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
/** Plays that run side by side; each waits most of its time for the death to be noticed. */
const plays = isFull ? 8 : 4;
const sampled = 4;

/** How an execution waits: in the memory of its owner, or in nobody's hands. */
const ways = { "in memory": "1 minute", suspended: "0 millis" } as const;
type Way = keyof typeof ways;

interface Play {
  readonly result: unknown;
  /** What happened to the order and to its child. */
  readonly chronicle: ReadonlyArray<unknown>;
  /** Of the first worker. */
  readonly appends: number;
  readonly isKilled: boolean;
  /** From the death of the owner to the next record. */
  readonly takeOverMs: number | undefined;
}

let played = 0;

/** Runs one order, and kills its first worker at the point, if it comes to that. */
const play = async (server: ScratchServer, way: Way, point?: KillPoint): Promise<Play> => {
  const namespace = `play_${++played}`;
  const proxy = await startProxy(server.port);
  try {
    await using scene = await openScene(server, {
      namespace,
      serve: { residentGrace: ways[way], leaseTtl: "5 seconds" },
    });
    const { weir, actors: { order, parcel } } = scene;
    let diedAt: number | undefined;
    const { appends } = watchWorker(proxy, point, () => {
      diedAt = Date.now();
      first.kill();
    });
    const first = await scene.launch("first", { url: proxy.url });
    const run = await weir.start(order, { cents: 4_200, coolOffMs: 300 }, { id: "o-1" });
    const both = async () => [
      run,
      ...(await childrenOf(run)).map((name) => weir.get(parcel, name)),
    ];
    const isWaiting = async () =>
      (await run.describe()).waitingFor.some(({ kind }) => kind === "wait") || undefined;
    const signalled = eventually("the order waits for approval", isWaiting, 60_000)
      .then(() => run.signal(approval, { by: "ana" }, { key: "only" }));
    const result = Promise.all([run.result(), signalled]);
    await scene.inTime("its end or the order's", Promise.race([first.ended, result]));
    // What it appends when it is drained counts, too.
    if (diedAt === undefined) first.terminate();
    const end = await scene.inTime("its end", first.ended);
    assert.ok(end === 0 || end === "SIGKILL", String(end));
    const isKilled = end !== 0;

    const before = scene.effects();
    const recorded = new Set<string>();
    let second: WorkerProcess | undefined;
    if (isKilled) {
      for (const one of await both()) {
        // A child that was called may not have been started.
        const steps = await recordedSteps(one).catch(() => []);
        for (const step of steps) recorded.add(`${one.id} ${step}`);
      }
      second = await scene.launch("second");
    }
    const [value] = await scene.inTime("the order's end", result);

    const all = scene.effects();
    const again = all.slice(before.length)
      .filter(({ execution, step }) => recorded.has(`${execution} ${step}`));
    assert.deepEqual(again, []);
    const steps = new Set(all.map(({ step }) => step));
    assert.deepEqual([...steps].sort(), ["charge", "label", "pack", "reserve", "ship", "tell"]);
    assert.equal(new Set(all.flatMap(({ note }) => note ?? [])).size, 1);
    const next = diedAt === undefined
      ? undefined
      : (await historyOf(run)).find(({ at, record }) => at > diedAt! && isOwners(record));
    const chronicle = await Promise.all((await both()).map(chronicleOf));
    await second?.drain();
    await scene.noneIsStuck();
    return {
      result: value,
      chronicle,
      appends: appends.length,
      isKilled,
      takeOverMs: next === undefined ? undefined : next.at - diedAt!,
    };
  } finally {
    await proxy.stop();
  }
};

const isOwners = (record: HistoryEntry["record"]): boolean =>
  "index" in record || record.kind === "claimed";

/** Some of the points, of which the first and the last are always among them. */
const sample = (appends: number, way: Way): ReadonlyArray<KillPoint> => {
  const draw = chance(`kill ${way}`);
  return Array.from({ length: sampled }, (_, i): KillPoint => ({
    append: 1 + Math.floor(i * appends / sampled) + draw(Math.floor(appends / sampled)),
    moment: draw(2) === 0 ? "unstored" : "unanswered",
  }));
};

function* all(): Generator<KillPoint> {
  for (let append = 1;; append++) {
    yield { append, moment: "unstored" };
    yield { append, moment: "unanswered" };
  }
}

describe("an owner that is killed at any append", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  for (const way of Object.keys(ways) as ReadonlyArray<Way>) {
    const points = isFull ? "all points" : `${sampled} points`;
    it(`an order that waits ${way} is finished by another, ${points} (${named})`, async () => {
      const undisturbed = await play(server, way);
      assert.equal(undisturbed.isKilled, false);
      const points = isFull ? all() : sample(undisturbed.appends, way)[Symbol.iterator]();
      const takeOvers: Array<number> = [];
      let killed = 0;
      let isOver = false;
      const playOn = async () => {
        while (!isOver) {
          const { value: point } = points.next();
          if (point === undefined) return;
          try {
            const { result, chronicle, isKilled, takeOverMs } = await play(server, way, point);
            assert.deepEqual(result, undisturbed.result);
            assert.deepEqual(chronicle, undisturbed.chronicle);
            if (isKilled) killed++;
            else isOver = true;
            if (takeOverMs !== undefined) takeOvers.push(takeOverMs);
          } catch (cause) {
            isOver = true;
            throw new Error(`killed at ${JSON.stringify(point)}`, { cause });
          }
        }
      };
      const outcomes = await Promise.allSettled(Array.from({ length: plays }, playOn));
      const failures = outcomes.flatMap((one) => one.status === "rejected" ? [one.reason] : []);
      if (failures.length > 0) throw failures[0];
      assert.ok(killed >= (isFull ? 2 * undisturbed.appends - 2 : sampled - 1));
      takeOvers.sort((a, b) => a - b);
      const [shortest, longest] = [takeOvers[0], takeOvers.at(-1)];
      console.log(`${killed} owners killed; taken over within ${shortest} to ${longest} ms`);
    });
  }

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
