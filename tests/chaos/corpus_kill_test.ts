import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { type KillPoint, watchWorker } from "../fixtures/engine_kill_point.ts";
import { openScene } from "../fixtures/engine_scene.ts";
import { startProxy } from "../fixtures/proxy.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { corpus } from "../public/corpus/mod.ts";
import { endOf, type Program } from "../public/corpus/program.ts";
import { chance, named } from "./seed.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";

/** Of each theme one, and none that takes its time. */
const played = [
  "all of three steps",
  "a race that a signal wins of a day",
  "an approval that is asked for until it is given",
  "a child and its result",
  "a trip that is cancelled, and paid back",
].map((wanted) => corpus.find(({ name }) => name === wanted)!);

/** Every program makes as many appends, whatever it does. */
const fewestAppends = 5;

let plays = 0;

/** Plays a program, kills its first worker at the point, and says whether it came to that. */
const play = async (
  server: ScratchServer,
  { name, cast, drive, end }: Program,
  point: KillPoint,
): Promise<boolean> => {
  const namespace = `corpus_${++plays}`;
  const proxy = await startProxy(server.port);
  try {
    await using scene = await openScene(server, {
      namespace,
      serve: {
        residentGrace: point.append % 2 === 0 ? "0 millis" : "1 minute",
        leaseTtl: "5 seconds",
      },
    });
    let isKilled = false;
    watchWorker(proxy, point, () => {
      isKilled = true;
      first.kill();
    });
    const first = await scene.launch("first", { url: proxy.url, program: name });
    const { actors, input, options } = cast(() => {});
    const run = await scene.weir.start(actors[0], input, { ...options, id: "it" });
    const driven = drive?.({
      run,
      waitsFor: async (key) => {
        await eventually(`it waits for ${key}`, async () => {
          const { waitingFor } = await run.describe();
          return waitingFor.some((each) => each.key === key) || undefined;
        }, 60_000);
      },
      notes: async (effect) => {
        const isThere = () => scene.effects(effect).length > 0 || undefined;
        await eventually(`it notes ${effect}`, isThere, 60_000);
      },
    });
    const outcome = Promise.all([run.outcome(), driven]).then(([outcome]) => outcome);
    await scene.inTime("its end or the program's", Promise.race([first.ended, outcome]));
    // What it appends when it is drained counts, too.
    if (!isKilled) first.terminate();
    await scene.inTime("its end", first.ended);
    const recorded = new Set<string>();
    const before = scene.effects().length;
    if (isKilled) {
      for await (const { record } of run.history()) {
        if (record.kind === "step") recorded.add(record.key);
      }
      await scene.launch("second", { program: name });
    }
    assert.deepEqual(endOf(await scene.inTime("the program's end", outcome)), end);
    const again = scene.effects().slice(before).filter(({ step }) => recorded.has(step));
    assert.deepEqual(again, []);
    await scene.noneIsStuck();
    return isKilled;
  } catch (cause) {
    throw new Error(`${name}, killed at ${JSON.stringify(point)}`, { cause });
  } finally {
    await proxy.stop();
  }
};

const moments = ["unstored", "unanswered"] as const;

describe("a program whose worker is killed", () => {
  let server: ScratchServer;
  before(async () => server = await scratchServer({ durability: "bounded" }));
  after(() => server.stop());

  if (isFull) {
    for (const program of played) {
      it(`${program.name}: ends alike, whichever append it is killed at`, async () => {
        let killed = 0;
        let misses = 0;
        for (let append = 1; misses < 2; append++) {
          const outcomes = await Promise.allSettled(
            moments.map((moment) => play(server, program, { append, moment })),
          );
          for (const each of outcomes) {
            if (each.status === "rejected") throw each.reason;
            if (each.value) killed++;
          }
          if (outcomes.every((each) => each.status === "fulfilled" && !each.value)) misses++;
        }
        assert.ok(killed >= 2 * fewestAppends, String(killed));
        console.log(`${killed} owners killed`);
      });
    }
  } else {
    it(`ends alike, at one append of each of five (${named})`, async () => {
      const draw = chance("corpus");
      const outcomes = await Promise.allSettled(
        played.map((program) =>
          play(server, program, {
            append: 1 + draw(fewestAppends),
            moment: moments[draw(moments.length)]!,
          })
        ),
      );
      for (const each of outcomes) {
        if (each.status === "rejected") throw each.reason;
        assert.equal(each.value, true);
      }
    });
  }

  it("nothing is left behind", async () => {
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
