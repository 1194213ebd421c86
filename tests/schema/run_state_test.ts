import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isFinal, isValidTransition, RunState, wayTo } from "../../schema/run_state.ts";

const states = RunState.literals;

/** All that is allowed, as section 3.5 of the seed has it. */
const allowed: ReadonlyArray<readonly [RunState, ReadonlyArray<RunState>]> = [
  ["scheduled", ["ready", "canceled"]],
  ["ready", ["leased", "canceled"]],
  ["leased", ["running", "ready", "canceled"]],
  ["running", ["retryWait", "suspended", "completed", "failed", "canceled"]],
  ["retryWait", ["ready", "failed", "canceled"]],
  ["suspended", ["ready", "canceled"]],
  ["completed", []],
  ["failed", []],
  ["canceled", []],
];

describe("the states of a run", () => {
  it("follow each other as the seed's do, and in no other way", () => {
    assert.deepEqual(states, allowed.map(([state]) => state));
    for (const [from, followers] of allowed) {
      for (const to of states) {
        assert.equal(isValidTransition(from, to), followers.includes(to), `${from} to ${to}`);
      }
      assert.equal(isFinal(from), followers.length === 0, from);
    }
  });

  it("are reached on ways that only take steps which are allowed, none longer than it must be", () => {
    for (const from of states) {
      for (const to of states) {
        const way = wayTo(from, to);
        if (way === undefined) {
          assert.ok(isFinal(from) || to === "scheduled", `${from} to ${to}`);
          continue;
        }
        [from, ...way].reduce((before, next) => {
          assert.ok(before === next || isValidTransition(before, next), `${from}: ${way}`);
          return next;
        });
        assert.equal(new Set(way).size, way.length);
      }
    }
    assert.deepEqual(wayTo("ready", "running"), ["leased", "running"]);
    assert.deepEqual(wayTo("running", "ready"), ["retryWait", "ready"]);
    assert.deepEqual(wayTo("suspended", "running"), ["ready", "leased", "running"]);
  });
});
