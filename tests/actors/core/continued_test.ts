import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as HashMap from "effect/HashMap";
import { inputOf, openOperations, operation } from "../../../actors/core/state.ts";
import { done, signal, Stage, start, stepOf } from "./histories.ts";

const continued = (fields: { readonly taken?: Array<string>; readonly cleared?: Array<string> }) =>
  ({ kind: "continued", input: { round: 2 }, taken: [], cleared: [], ...fields }) as const;

describe("an execution that is continued", () => {
  it("has its new input, and nothing of what it did but waits and cells", () => {
    const stage = new Stage({ ...start, input: { round: 1 }, tags: { team: "a" } });
    stage.command(stepOf("charge"));
    stage.command({ kind: "cell", key: "weir.cell/phase", name: "phase", value: "begun" });
    stage.command({ kind: "cell", key: "weir.cell/old", name: "old", value: 1 });
    stage.command({ kind: "waiting", key: "next", signal: "item" });
    assert.deepEqual(inputOf(stage.state), { round: 1 });
    assert.ok(stage.command(continued({ cleared: ["old"] })));
    const { state } = stage;
    assert.deepEqual(inputOf(state), { round: 2 });
    assert.deepEqual(openOperations(state).map(([key]) => key), ["next"]);
    assert.equal(operation(state, "charge"), undefined);
    assert.deepEqual(Object.fromEntries(state.cells), { phase: "begun" });
    assert.deepEqual(Object.fromEntries(state.tags), { team: "a" });
    assert.ok(stage.command(stepOf("charge")));
  });

  it("loses no signal that a wait has, and has none again that was used up", () => {
    const stage = new Stage(start);
    for (const key of ["0", "1"]) stage.command({ kind: "waiting", key, signal: "item" });
    for (const payload of ["a", "b", "c"]) stage.deliver(signal("item", { key: payload, payload }));
    stage.command(continued({ taken: ["0"] }));
    const { state } = stage;
    assert.equal(operation(state, "0"), undefined);
    assert.deepEqual(operation(state, "1")?.settled?.result, { type: "value", value: "b" });
    assert.deepEqual(state.buffered.map(({ payload }) => payload), ["c"]);
  });

  it("knows a sender's key for one run more", () => {
    const stage = new Stage(start);
    stage.command({ kind: "waiting", key: "0", signal: "item" });
    stage.deliver(signal("item", { key: "k" }));
    stage.command(continued({ taken: ["0"] }));
    stage.deliver(signal("item", { key: "k" }));
    assert.equal(stage.state.signals, 0);
    stage.command(continued({}));
    stage.deliver(signal("item", { key: "k" }));
    assert.equal(stage.state.signals, 1);
    assert.equal(HashMap.size(stage.state.formerSignalKeys), 0);
  });

  it("knows the key of a signal for as long as that waits to be taken, and one run more", () => {
    const stage = new Stage(start);
    stage.deliver(signal("item", { key: "k" }));
    for (let run = 0; run < 3; run++) {
      stage.command(continued({}));
      stage.deliver(signal("item", { key: "k" }));
      assert.equal(stage.state.buffered.length, 1);
    }
    stage.command({ kind: "waiting", key: "0", signal: "item" });
    stage.command(continued({ taken: ["0"] }));
    stage.deliver(signal("item", { key: "k" }));
    assert.equal(stage.state.buffered.length, 0);
    stage.command(continued({}));
    stage.deliver(signal("item", { key: "k" }));
    assert.equal(stage.state.buffered.length, 1);
  });

  it("is not, once it is to stop or has ended", () => {
    const cancelled = new Stage(start);
    cancelled.deliver({ kind: "cancel" });
    assert.ok(!cancelled.command(continued({})));
    const ended = new Stage(start);
    ended.command(done());
    assert.ok(!ended.command(continued({})));
  });
});
