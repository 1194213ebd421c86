/**
 * The suite of Effect's workflows once more, on a worker that dies at a record: at every record that it
 * writes, before it is stored and behind it, and in the gate at some of them. What is done again is
 * noted once; every result, error, order and state must be what the case says.
 */
import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { workflowEngineSuite } from "../../testing/suites/workflow_engine.ts";
import { NotedOnce } from "../../testing/suites/workflow_engine/program.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { chance, named } from "../chaos/seed.ts";
import { type CrashPlace, layerCrashing, type Victim } from "../fixtures/crashing_engine.ts";

const isFull = process.env["WEIR_TEST_FULL"] === "1";
const someOf = 3;

/** What a death rightly changes. */
const excepted: Readonly<Record<string, string>> = {
  "an activity that fails is tried again as it says, each attempt once": "it counts the attempts",
  "an attempt is recorded once, whatever happens behind it, and has its own key":
    "it counts the attempts",
  "an activity that is interrupted is run again, and dies when that is too often":
    "it counts the attempts",
  "a workflow that is parked by a failure goes on when it is resumed": "it counts its replays",
  "a workflow whose activity declines is parked, and tries it again when it is resumed":
    "it counts the attempts",
  "a workflow whose activity dies is parked, and tries it again when it is resumed":
    "it counts the attempts",
  "what is parked by a failure hears nothing but that it is to go on, or to end":
    "it counts the attempts",
  "what the workflow's scope holds is let go when all is over, and not before":
    "what a dead process held is gone with it",
  "an interruption lets finish what runs, and what would begin behind it does not":
    "what ran has not finished",
  "a workflow that has nothing left to wait for is not interrupted any more":
    "it may not have begun when it is interrupted",
};

let clock: VirtualClock;
let place: CrashPlace | undefined;
let victim: Victim;

describe("Effect's workflows on a worker that dies", () => {
  const known = new Set<string>();

  /** One case with the worker dying there; says how much it wrote. */
  const play = async (run: () => Promise<void>, at?: CrashPlace): Promise<number> => {
    place = at;
    await run();
    return victim.appends;
  };

  workflowEngineSuite(
    "at a record",
    () => layerCrashing(clock, place, (dead) => victim = dead),
    {
      run: (effect) => {
        clock = new VirtualClock(Date.UTC(2026, 0, 1));
        return clock.run(Effect.provideService(effect, NotedOnce, true));
      },
      it: (title, run) => {
        const name = title.replace(/^at a record: /, "");
        known.add(name);
        if (Object.hasOwn(excepted, name)) return;
        it(`${name} (${isFull ? "everywhere" : named})`, async () => {
          const appends = await play(run);
          const places = Array.from({ length: appends }, (_, i) => i + 1).flatMap((append) =>
            (["before", "after"] as const).map((moment): CrashPlace => ({ append, moment }))
          );
          const draw = chance(name);
          while (!isFull && places.length > someOf) places.splice(draw(places.length), 1);
          for (const at of places) {
            await play(run, at).catch((cause) => {
              throw new Error(`${at.moment} record ${at.append}`, { cause });
            });
          }
        });
      },
    },
  );

  it("what is excepted is in the suite", () => {
    assert.deepEqual(Object.keys(excepted).filter((name) => !known.has(name)), []);
  });
});
