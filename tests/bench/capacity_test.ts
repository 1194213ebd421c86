/** The capacity model, where its limits are plain. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { fit, needsOf, planned, rateOf } from "../../bench/capacity/model.ts";

const ours = { base: 0.4, perStep: 0.1 };
const servers = { base: 0.1, perStep: 0.1 };

it("a line is found through the points that lie on it", () => {
  const { base, perStep } = fit([[0, 1], [1, 1.5], [3, 2.5]]);
  assert.ok(Math.abs(base - 1) < 1e-9 && Math.abs(perStep - 0.5) < 1e-9);
});

it("the first limit that is reached decides", () => {
  const costs = { ours, servers, commit: undefined };
  const setting = { steps: 1, inFlight: 64, processes: 1, processors: 8 };
  // One thread at half a millisecond each.
  assert.equal(rateOf(costs, setting), 2_000);
  // Two processors at 0.7 ms each.
  const crowded = rateOf(costs, { ...setting, processes: 4, processors: 2 });
  assert.ok(Math.abs(crowded - 2_000 / 0.7) < 1e-6);
});

it("what shares a commit goes on together", () => {
  const commit = { base: 4, perRecord: 0.5 };
  const setting = { steps: 1, inFlight: 8, processes: 1, processors: 8 };
  // Two of eight end with each cycle of 4 ms, 12 records and two executions' work.
  const rate = rateOf({ ours, servers, commit }, setting);
  assert.ok(Math.abs(rate - 2_000 / (4 + 6 + 1)) < 1e-6);
});

it("what is needed leaves room for peaks", () => {
  const needs = needsOf(
    { ours, servers, copies: 3, streamLimit: 10_000, bytesPerRecord: 1_024 },
    { perSecond: 6_000, steps: 1 },
  );
  assert.equal(needs.recordsPerSecond, 36_000);
  assert.equal(needs.processes, Math.ceil(3 / planned));
  assert.ok(Math.abs(needs.serverProcessors - 3.6 / planned) < 1e-9);
  assert.equal(needs.shards, 6);
  assert.ok(Math.abs(needs.gibPerDay - 36_000 * 86_400 / 2 ** 20) < 1e-6);
});
