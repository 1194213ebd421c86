import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { WorkerOptions } from "@weir/weir";
import * as schema from "@weir/weir/schema";
import { inMemory } from "@weir/weir/testing";
import { corpus } from "./corpus/mod.ts";
import { type End, endOf, type Program } from "./corpus/program.ts";
import { judgeOfWork } from "./told_work.ts";

const problemOfWork = judgeOfWork(schema);

const isFull = process.env["WEIR_TEST_FULL"] === "1";
/** Deaths are no matter of the platform: where it is another, a few will do. */
const stride = isFull || "Deno" in globalThis ? 1 : 5;
const startsAt = new Date("2026-01-01T00:00:00Z");

type Grace = NonNullable<WorkerOptions["residentGrace"]>;
/** So short that whatever is waited for is a suspension, and what comes of it a replay. */
const atOnce: Grace = "0 millis";
const resident: Grace = "1 minute";

interface Crash {
  readonly append: number;
  readonly moment: "before" | "after";
}

interface Play {
  readonly end: End;
  readonly effects: ReadonlySet<string>;
  /** The recorded steps, by their keys. */
  readonly steps: ReadonlyArray<string>;
  readonly appends: number;
  readonly isCrashed: boolean;
}

/** Plays a program from its start to its end, with a second worker if the first one dies. */
const play = async ({ cast, drive }: Program, grace: Grace, crash?: Crash): Promise<Play> => {
  const effects = new Set<string>();
  const { actors, input, options } = cast((effect) => void effects.add(effect));
  await using weir = await inMemory({ startsAt });
  const first = await weir.worker(actors, { residentGrace: grace });
  let isCrashed = false;
  const second = crash === undefined ? undefined : first.crashAt(crash, crash.moment).then(() => {
    isCrashed = true;
    return weir.worker(actors, { residentGrace: grace });
  });
  const run = await weir.start(actors[0], input, { ...options, id: "it" });
  const until = async (what: string, look: () => Promise<boolean>) => {
    for (let i = 0; !await look(); i++) {
      assert.ok(i < 1_000, `it never ${what}`);
      await weir.advance("1 second");
    }
  };
  await drive?.({
    run,
    waitsFor: (name) =>
      until(`waits for ${name}`, async () => {
        const { waitingFor } = await run.describe();
        return waitingFor.some(({ key }) => key === name);
      }),
    notes: (effect) =>
      until(`notes ${effect}`, async () => {
        await setImmediate();
        return effects.has(effect);
      }),
  });
  const end = endOf(await run.outcome());
  // Who is cancelled does not wait for its children.
  if (end.type === "cancelled") await weir.advance("5 minutes");
  const { steps } = await run.describe();
  const told: Array<schema.RecordedWorkEvent> = [];
  for await (const event of run.workHistory()) told.push(event);
  assert.equal(problemOfWork(told), undefined);
  if (isCrashed) await second;
  return { end, effects, steps: Object.keys(steps).sort(), appends: first.appends, isCrashed };
};

describe("a program ends alike, whatever becomes of its workers", () => {
  it("there are forty and more, each with a name of its own", () => {
    assert.ok(corpus.length >= 40, String(corpus.length));
    assert.equal(new Set(corpus.map(({ name }) => name)).size, corpus.length);
  });

  for (const program of corpus) {
    it(program.name, async () => {
      const undisturbed = await play(program, resident);
      assert.deepEqual(undisturbed.end, program.end);

      const isAlike = (other: Play, how: string) => {
        assert.deepEqual(other.end, undisturbed.end, how);
        assert.deepEqual(other.effects, undisturbed.effects, how);
        assert.deepEqual(other.steps, undisturbed.steps, how);
      };
      const replayed = await play(program, atOnce);
      isAlike(replayed, "with every suspension replayed");

      const moments = isFull ? ["before", "after"] as const : ["after"] as const;
      let crashes = 0;
      // Who is suspended writes more or less than who is not, so that one miss is not the end.
      let misses = 0;
      for (let append = 1; misses < 2; append += stride) {
        const grace = append % 2 === 0 ? atOnce : resident;
        const plays: Array<Play> = [];
        for (const moment of moments) {
          const other = await play(program, grace, { append, moment });
          isAlike(other, `with a crash ${moment} append ${append}`);
          plays.push(other);
        }
        if (plays.some(({ isCrashed }) => isCrashed)) crashes++;
        else misses++;
      }
      const least = Math.min(undisturbed.appends, replayed.appends) - 1;
      assert.ok(crashes * stride >= least, `${crashes} crashes, ${least} appends`);
    });
  }
});
