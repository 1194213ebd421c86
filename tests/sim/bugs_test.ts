import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { Choices } from "./choices.ts";
import { type Bug, bugs, foundIn, type Search } from "./planted.ts";
import { isName, simulations } from "./simulations.ts";

const isFull = process.env["WEIR_TEST_FULL"] !== undefined;

/** Where it was found before, and a few more, since a change of the simulation moves that. */
const searchFor = ({ seed, schedule }: Bug): Search =>
  isFull ? { seed: 1, first: 0, runs: 100_000 } : { seed, first: schedule, runs: 300 };

const started = new Map<Bug, ReturnType<typeof foundIn>>();
/** Begins the search for a bug, and for the one behind it, so that two run at a time. */
const search = (bug: Bug): ReturnType<typeof foundIn> => {
  for (const each of bugs.slice(bugs.indexOf(bug), bugs.indexOf(bug) + 2)) {
    if (started.has(each)) continue;
    const found = foundIn(each, searchFor(each));
    found.catch(() => {});
    started.set(each, found);
  }
  return started.get(bug)!;
};

describe("a planted bug", () => {
  it("is one of twelve", () => assert.equal(bugs.length, 12));

  for (const bug of bugs) {
    it(`is found: ${bug.name}`, async () => {
      const { simulation, schedule, seed } = bug;
      assert.ok(isName(simulation), `there is no simulation ${simulation}`);
      const problem = await simulations[simulation].simulation(
        Choices.random(`schedule ${schedule}`, seed),
      );
      assert.equal(problem, undefined, "something is wrong in that schedule without it");
      const found = await search(bug);
      const { first, runs } = searchFor(bug);
      assert.ok(
        found !== undefined,
        `${runs} schedules from ${first} on do not show it. If the simulation has changed, look for ` +
          `it with WEIR_TEST_FULL=1, and write where it was found into the head of the patch`,
      );
      if (isFull) console.log(`${bug.name}: schedule ${found}`);
    });
  }
});
