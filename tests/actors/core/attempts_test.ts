import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as HashMap from "effect/HashMap";
import fc from "fast-check";
import { type Command, timers } from "../../../actors/core/decide.ts";
import { record as evolve } from "../../../actors/core/evolve.ts";
import { operation } from "../../../actors/core/state.ts";
import { Timestamp } from "../../../schema/ids.ts";
import {
  type Action,
  callOf,
  childEnded,
  done,
  failedStepOf,
  failure,
  signal,
  Stage,
  start,
  stepOf,
} from "./histories.ts";

const later = Timestamp.make(1_000);
const attemptFailed: Command = { kind: "attemptFailed", failure, retryAt: later };

/** Ways to stop and go on, and how many attempts further that leads. */
const waysToGoOn: ReadonlyArray<readonly [name: string, further: number, go: (on: Stage) => void]> =
  [
    ["a suspension", 0, (on) => {
      on.command({ kind: "waiting", key: "ok", signal: "ok" });
      on.claim(false);
      on.deliver(signal("ok"));
    }],
    ["a sleep", 0, (on) => {
      on.command({ kind: "sleeping", key: "nap", due: later });
      on.claim(false);
      on.deliver({ kind: "timer", key: "nap", due: later });
    }],
    ["a child", 0, (on) => {
      on.command(callOf("ship"));
      on.claim(false);
      on.deliver(childEnded("ship", { type: "success" }));
    }],
    ["a pause", 0, (on) => {
      on.deliver({ kind: "pause" });
      on.claim(false);
      on.deliver({ kind: "resume" });
    }],
    ["a step's own retry", 0, (on) => {
      on.command({ kind: "stepFailed", key: "pay", failure, tries: 1, retryAt: later });
      on.claim(false);
      on.command(stepOf("pay"));
    }],
    ["a failed attempt", 1, (on) => on.command(attemptFailed)],
    ["an owner that failed", 1, (on) => on.claim(true)],
    ["a replay", 1, (on) => {
      on.command(done({ type: "failure", failure }));
      on.deliver({ kind: "retry", from: "failure" });
    }],
    ["a replay from the start", 1, (on) => {
      on.command(done());
      on.deliver({ kind: "retry", from: "start" });
    }],
  ];

describe("an attempt", () => {
  for (const [name, further, go] of waysToGoOn) {
    it(`${further === 0 ? "is continued" : "is followed by another"} after ${name}`, () => {
      const stage = new Stage(start);
      const before = stage.state.attempt;
      go(stage);
      assert.equal(stage.state.attempt, before + further);
      assert.equal(stage.state.done, undefined);
    });
  }

  it("costs the retry budget only when it failed", () => {
    const harmless = fc.constantFrom<Action>(
      { type: "claim", reclaims: true },
      { type: "claim", reclaims: false },
      { type: "mail", mail: signal("ok") },
      { type: "mail", mail: { kind: "pause" } },
      { type: "mail", mail: { kind: "resume" } },
      { type: "mail", mail: { kind: "promote" } },
      { type: "read" },
      { type: "takeUp" },
      { type: "command", command: failedStepOf("a") },
      { type: "command", command: { kind: "waiting", key: "b", signal: "ok" } },
      { type: "command", command: { kind: "sleeping", key: "c", due: later } },
    );
    fc.assert(
      fc.property(fc.array(fc.option(harmless), { maxLength: 40 }), (actions) => {
        const stage = new Stage(start);
        let failed = 0;
        for (const action of actions) {
          if (action !== null) stage.act(action);
          else if (stage.command(attemptFailed)) failed++;
          assert.equal(stage.state.failures, failed);
        }
      }),
    );
  });

  it("has a fresh retry budget after a replay", () => {
    const stage = new Stage(start);
    stage.command(attemptFailed);
    stage.command(done({ type: "failure", failure }));
    stage.deliver({ kind: "retry", from: "failure" });
    assert.equal(stage.state.failures, 0);
    assert.equal(stage.state.retryAt, undefined);
  });

  it("begins with what succeeded and what is still awaited, and fails anew", () => {
    const stage = new Stage(start);
    stage.command(stepOf("paid"));
    stage.command(failedStepOf("refused"));
    stage.command({ kind: "stepFailed", key: "again", failure, tries: 1, retryAt: later });
    stage.command({ kind: "sleeping", key: "nap", due: later });
    stage.command({ kind: "waiting", key: "ok", signal: "ok" });
    stage.command(callOf("lost"));
    stage.command(callOf("running"));
    stage.deliver(childEnded("lost", { type: "failure", failure }));
    stage.command(attemptFailed);
    const keys = [...HashMap.keys(stage.state.operations)].sort();
    assert.deepEqual(keys, ["nap", "ok", "paid", "running"]);
  });

  it("spawns anew what was spawned and failed, and keeps a spawned child that runs", () => {
    const stage = new Stage(start);
    for (const key of ["failed", "running", "succeeded"]) {
      stage.command(callOf(key, { verb: "spawn" }));
    }
    const end = (key: string) => `weir.end/${key}`;
    stage.deliver(childEnded(end("failed"), { type: "failure", failure }, "child/failed"));
    stage.deliver(childEnded(end("succeeded"), { type: "success" }, "child/succeeded"));
    stage.command(attemptFailed);
    const keys = [...HashMap.keys(stage.state.operations)].sort();
    assert.deepEqual(keys, ["running", "succeeded", end("running"), end("succeeded")].sort());
    assert.equal(stage.command(callOf("failed", { verb: "spawn" })), true);
  });

  it("keeps the end of a child that came when the execution had ended already", () => {
    const stage = new Stage(start);
    stage.command(callOf("ship", { onParentEnd: "abandon" }));
    stage.command(done({ type: "failure", failure }));
    stage.deliver(childEnded("ship", { type: "success", value: 7 }));
    stage.deliver({ kind: "retry", from: "failure" });
    assert.deepEqual(operation(stage.state, "ship")?.settled?.result, {
      type: "ended",
      outcome: { type: "success", value: 7 },
    });
  });

  it("that follows an end calls the children anew that the end has cancelled", () => {
    const stage = new Stage(start);
    stage.command(callOf("ship"));
    stage.command(callOf("bill", { verb: "spawn" }));
    stage.command(callOf("mail", { onParentEnd: "abandon" }));
    stage.command(done({ type: "expired" }));
    stage.deliver({ kind: "retry", from: "failure" });
    assert.deepEqual([...HashMap.keys(stage.state.operations)], ["mail"]);
    stage.deliver(childEnded("ship", { type: "cancelled" }));
    assert.equal(stage.command(callOf("ship", { execution: "child/ship~1" })), true);
  });

  it("is not told how the child of an earlier one ended, nor of its deadlines", () => {
    const stage = new Stage(start);
    stage.command(callOf("ship"));
    stage.command({ kind: "sleeping", key: "nap", due: later });
    stage.deliver({ kind: "cancel" });
    stage.command(done({ type: "cancelled" }));
    stage.deliver({ kind: "retry", from: "failure" });
    stage.command(callOf("ship", { execution: "child/ship~1" }));
    stage.command({ kind: "sleeping", key: "nap", due: Timestamp.make(later + 1) });

    stage.deliver(childEnded("ship", { type: "cancelled" }));
    stage.deliver({ kind: "timer", key: "nap", due: later });
    assert.equal(operation(stage.state, "ship")?.settled, undefined);
    assert.equal(operation(stage.state, "nap")?.settled, undefined);

    stage.deliver(childEnded("ship", { type: "success" }, "child/ship~1"));
    stage.deliver({ kind: "timer", key: "nap", due: Timestamp.make(later + 1) });
    assert.equal(operation(stage.state, "ship")?.settled?.result.type, "ended");
    assert.equal(operation(stage.state, "nap")?.settled?.result.type, "value");
  });

  it("that a snapshot has begun already is not begun anew by the claim behind it", () => {
    const stage = new Stage(start);
    stage.command(stepOf("paid"));
    stage.claim(true);
    assert.equal(stage.state.attempt, 1);
    const { record, at } = stage.entries.findLast((entry) => entry.type === "journal")!;
    assert.equal(evolve(stage.state, record, at).attempt, 1);
  });

  it("from the start knows nothing of what was done before, but the signals that nobody took", () => {
    const stage = new Stage(start);
    stage.command(stepOf("paid"));
    stage.command({ kind: "cell", key: "set", name: "total", value: 3 });
    stage.deliver(signal("early"));
    stage.command(done());
    stage.deliver({ kind: "retry", from: "start" });
    assert.equal(HashMap.size(stage.state.operations), 0);
    assert.equal(HashMap.size(stage.state.cells), 0);
    assert.equal(stage.state.buffered.length, 1);
    assert.equal(stage.state.done, undefined);
  });

  it("is granted only so often by hand", () => {
    const stage = new Stage(start, { limits: { signals: 10, replays: 2 } });
    for (let granted = 0; granted < 4; granted++) {
      stage.command(done());
      stage.deliver({ kind: "retry", from: "start" });
      assert.equal(stage.state.replays, Math.min(granted + 1, 2));
    }
    assert.notEqual(stage.state.done, undefined);
  });

  it("that is cancelled or expired is not followed by another", () => {
    const cancelled = new Stage(start);
    cancelled.deliver({ kind: "cancel" });
    assert.equal(cancelled.command(attemptFailed), false);
    const expired = new Stage({ ...start, deadline: later });
    expired.deliver({ kind: "timer", key: "weir.deadline", due: later });
    assert.equal(expired.command(attemptFailed), false);
  });

  it("announces the deadlines of what it awaits, and none once it has ended", () => {
    const stage = new Stage({ ...start, deadline: Timestamp.make(99) });
    stage.command({ kind: "sleeping", key: "nap", due: Timestamp.make(1) });
    stage.command({ kind: "waiting", key: "ok", signal: "ok", due: Timestamp.make(2) });
    stage.command({ kind: "waiting", key: "ever", signal: "ok" });
    stage.command({
      kind: "stepFailed",
      key: "pay",
      failure,
      tries: 1,
      retryAt: Timestamp.make(3),
    });
    assert.deepEqual(timers(stage.state).map(({ due }) => due), [1, 2, 3, 99]);
    stage.command(done());
    assert.deepEqual(timers(stage.state), []);
  });
});
