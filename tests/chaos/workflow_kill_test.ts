/** Workflows whose owner is killed at each record, or stands still past its lease and goes on. */
import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import { layer } from "../../actors/layer.ts";
import { neverStuck } from "../../actors/never_stuck.ts";
import * as WeirWorkflowEngine from "../../actors/workflow_engine.ts";
import { Namespace } from "../../schema/ids.ts";
import { kindOfSubject } from "../../streams/subjects.ts";
import { effectsIn, newEffectsFile } from "../fixtures/engine_effects.ts";
import {
  fenceOf,
  type KillPoint,
  type WatchedAppend,
  watchWorker,
} from "../fixtures/engine_kill_point.ts";
import { startProcess, type WorkerProcess } from "../fixtures/engine_process.ts";
import { logDump } from "../fixtures/log_dump.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { type CrashProgram, play as playInMemory, shown } from "../fixtures/workflow_crash.ts";
import { workflowPrograms } from "../fixtures/workflow_programs.ts";
import type { WorkflowWorkerOptions } from "../fixtures/workflow_worker.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const staleFence = 10071;
// A message that lies with who stands still is handed out again after half a minute, perhaps to him.
const deadlineMs = 180_000;

const played = workflowPrograms.slice(0, 5);

/** Every program makes as many appends, whatever it does. */
const fewestAppends = 6;

interface Play {
  /** Whether it came to the point. */
  readonly isReached: boolean;
  /** Its first worker's leases, and records under them, that it wrote or tried to after it stood still. */
  readonly late: ReadonlyArray<WatchedAppend>;
}

let plays = 0;

/** What would have come of it, had nothing happened. */
const expected = new Map<CrashProgram, ReturnType<typeof playInMemory>>();
const undisturbed = (program: CrashProgram) => {
  const known = expected.get(program) ?? playInMemory(program);
  expected.set(program, known);
  return known;
};

/** Who writes of an execution under its lease. */
const isFenced = ({ subject }: WatchedAppend): boolean =>
  ["log", "done", "tag"].includes(kindOfSubject(subject) ?? "");

const isLease = ({ subject }: WatchedAppend): boolean => kindOfSubject(subject) === "lease";

/** Plays a program, has something happen to its first worker at the point, and another take over. */
const play = async (
  server: ScratchServer,
  program: CrashProgram,
  happens: "killed" | "frozen",
  point: KillPoint,
): Promise<Play> => {
  const namespace = `wf_${++plays}`;
  const effects = newEffectsFile();
  const proxy = await startProxy(server.port);
  const runtime = ManagedRuntime.make(
    WeirWorkflowEngine.layerClient().pipe(
      Layer.provideMerge(
        layer({ servers: server.url, namespace: Namespace.make(namespace) }),
      ),
    ),
  );
  const workers: Array<WorkerProcess> = [];
  const launch = async (worker: string, url: string) => {
    const options: WorkflowWorkerOptions = {
      url,
      namespace,
      worker,
      effects,
      program: program.title,
      serve: {
        residentGrace: point.append % 2 === 0 ? "0 millis" : "15 seconds",
        leaseTtl: happens === "frozen" ? "1 second" : "5 seconds",
      },
    };
    const launched = await startProcess("workflow_worker", options);
    workers.push(launched);
    return launched;
  };
  const inTime = async <A>(what: string, outcome: Promise<A>): Promise<A> => {
    const timer = new AbortController();
    const late = pause(deadlineMs, undefined, { signal: timer.signal }).then(() => {
      throw new Error(`not within ${deadlineMs} ms: ${what}`);
    }, () => new Promise<never>(() => {}));
    return await Promise.race([outcome, late]).finally(() => timer.abort());
  };
  try {
    let isReached = false;
    const { appends } = watchWorker(
      proxy,
      happens === "killed" ? point : undefined,
      () => {
        isReached = true;
        first.kill();
      },
    );
    if (happens === "frozen") {
      const judge = proxy.toClient;
      proxy.toClient = (frame) => {
        const verdict = judge(frame);
        const answered = appends.filter(({ errorCode }) => errorCode !== undefined).length;
        if (!isReached && answered >= point.append) {
          isReached = true;
          first.freeze();
        }
        return verdict;
      };
    }
    const first = await launch("first", proxy.url);
    const { drive } = program.make({ push: () => {} });
    const outcome = runtime.runPromise(Effect.exit(drive));
    const isOver = Promise.race([
      first.ended,
      eventually("the point", () => isReached || undefined, deadlineMs),
    ]);
    await inTime("its end or the point", Promise.race([outcome, isOver]));
    // The end is told before its owner has written all that follows from it.
    if (!isReached) first.terminate();
    await inTime("its owner's end or the point", isOver);
    const second = isReached ? await launch("second", server.url) : undefined;
    const isDone = second === undefined ? outcome : Promise.race([
      outcome,
      second.ended.then((end) => {
        throw new Error(`its next owner ended: ${end}`);
      }),
    ]);
    const exit = await inTime("the program's end", isDone);
    const { result, ran } = await undisturbed(program);
    assert.equal(shown(exit), result);
    const done = effectsIn(effects).map(({ step }) => step);
    assert.deepEqual([...new Set(done)].sort(), [...new Set(ran)].sort());
    // What was under way is all that happens again.
    assert.ok(done.length <= ran.length + 3, `${done}`);
    const before = appends.length;
    if (happens === "frozen" && isReached) {
      first.thaw();
      await first.drain();
    }
    await eventually("none is stuck", async () => {
      const stuck = await runtime.runPromise(Stream.runCollect(neverStuck({ grace: 5_000 })));
      return stuck.length === 0 || undefined;
    }, 30_000);
    const leases = new Set(
      appends.filter(({ errorCode }) => errorCode === 0)
        .map(({ subject, revision }) => fenceOf(subject, revision!)),
    );
    const late = appends.slice(before);
    // The server judges each by a lease that this worker has written, none by what it has read.
    for (const { fence } of late.filter(isFenced)) {
      assert.ok(fence !== undefined && leases.has(fence), fence);
    }
    return { isReached, late: late.filter((append) => isFenced(append) || isLease(append)) };
  } catch (cause) {
    const stuck = await runtime.runPromise(Stream.runCollect(neverStuck({ grace: 5_000 })));
    console.log(JSON.stringify(stuck), await logDump(server.url, namespace));
    throw new Error(`${program.title}, ${happens} at ${JSON.stringify(point)}`, { cause });
  } finally {
    for (const worker of workers) worker.kill();
    await Promise.all(workers.map(({ ended }) => ended));
    await runtime.dispose();
    await proxy.stop();
  }
};

const settle = async <A>(plays: ReadonlyArray<Promise<A>>): Promise<ReadonlyArray<A>> => {
  const outcomes = await Promise.allSettled(plays);
  return outcomes.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
};

const moments = ["unstored", "unanswered"] as const;

describe("workflows", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  /** Each point until there is none, or one of each program. */
  const each = async (
    happens: "killed" | "frozen",
    moments: ReadonlyArray<KillPoint["moment"]>,
  ): Promise<ReadonlyArray<Play>> => {
    if (!isFull) {
      const draw = chance(`workflows that are ${happens}`);
      // All at once: they wait for leases most of the time.
      const found = await settle(
        played.map((program) =>
          play(server, program, happens, {
            append: 1 + draw(fewestAppends),
            moment: moments[draw(moments.length)]!,
          })
        ),
      );
      assert.ok(found.every(({ isReached }) => isReached));
      return found;
    }
    const found: Array<Play> = [];
    await settle(played.map(async (program) => {
      for (let append = 1;; append++) {
        const some = await settle(
          moments.map((moment) => play(server, program, happens, { append, moment })),
        );
        found.push(...some);
        if (some.every(({ isReached }) => !isReached)) return;
      }
    }));
    return found.filter(({ isReached }) => isReached);
  };

  const points = isFull ? "every point" : "a point of each of five";

  it(`end alike, killed at ${points} (${named})`, async () => {
    const found = await each("killed", moments);
    console.log(`${found.length} owners killed`);
  });

  it(`end alike, their owner frozen past its lease at ${points} (${named})`, async () => {
    const found = await each("frozen", ["unanswered"]);
    const late = found.flatMap(({ late }) => late);
    // One that nobody has taken over, since all of it was written, is its first owner's still.
    const refused = late.filter(({ errorCode }) => errorCode !== 0);
    assert.ok(refused.length > 0);
    assert.deepEqual(new Set(refused.map(({ errorCode }) => errorCode)), new Set([staleFence]));
    console.log(`${found.length} owners frozen, ${refused.length} late records refused`);
  });

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
