/** What a promotion takes away: the wait of the present attempt for its time, once, and nothing else. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { contentOf, stateOf } from "../../../actors/core/snapshot.ts";
import { beginOf, beginTimer } from "../../../actors/core/state.ts";
import { Timestamp } from "../../../schema/ids.ts";
import { at, done, plain, Stage, start } from "./histories.ts";

const farOff = Timestamp.make(at(0) + 1_000_000);
const failure = { name: "Error", message: "not yet" };
const fails = { kind: "attemptFailed", failure, retryAt: farOff } as const;

describe("who is promoted", () => {
  it("begins, however long the delay, and is delayed by its next failure as anybody", () => {
    const stage = new Stage({ ...start, notBefore: farOff });
    assert.deepEqual([beginOf(stage.state), beginTimer(stage.state)], [farOff, "weir.delay"]);
    stage.deliver({ kind: "promote" });
    assert.equal(beginOf(stage.state), 0);
    stage.command(fails);
    assert.deepEqual([beginOf(stage.state), beginTimer(stage.state)], [farOff, "weir.attempt/1"]);
    stage.deliver({ kind: "promote" });
    assert.equal(beginOf(stage.state), 0);
    assert.equal(stage.state.retryAt, farOff);
  });

  it("is not so beforehand: who waits for no time is left as it is", () => {
    const stage = new Stage(start);
    stage.deliver({ kind: "promote" });
    assert.equal(stage.state.promoted, undefined);
    stage.command(fails);
    assert.equal(beginOf(stage.state), farOff);
    stage.command(done());
    stage.deliver({ kind: "promote" });
    assert.equal(stage.state.promoted, undefined);
  });

  it("is so once by one key, whatever it waits for when that is repeated", () => {
    const stage = new Stage({ ...start, notBefore: farOff });
    stage.deliver({ kind: "promote", key: "k" });
    stage.command(fails);
    stage.deliver({ kind: "promote", key: "k" });
    assert.equal(beginOf(stage.state), farOff);
    stage.deliver({ kind: "promote", key: "other" });
    assert.equal(beginOf(stage.state), 0);
  });

  it("is so in a snapshot", () => {
    const stage = new Stage({ ...start, notBefore: farOff });
    stage.deliver({ kind: "promote", key: "k" });
    const restored = stateOf(contentOf(stage.state, 7, undefined), stage.state.start!);
    assert.equal(beginOf(restored), 0);
    assert.deepEqual(plain({ ...restored, progress: stage.state.progress }), plain(stage.state));
  });
});
