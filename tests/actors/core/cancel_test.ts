import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterEnd, childrenToCancel } from "../../../actors/core/decide.ts";
import { operation } from "../../../actors/core/state.ts";
import { Timestamp } from "../../../schema/ids.ts";
import {
  callOf,
  childEnded,
  done,
  failure,
  parent,
  signal,
  Stage,
  start,
  stepOf,
  stranger,
} from "./histories.ts";

const later = Timestamp.make(1_000);
const resultOf = (stage: Stage, key: string) => operation(stage.state, key)?.settled;

/** An execution with something of every kind open, and something that is not. */
const busy = () => {
  const stage = new Stage({ ...start, parent });
  stage.command(stepOf("paid"));
  stage.command({ kind: "stepFailed", key: "again", failure, tries: 1, retryAt: later });
  stage.command({ kind: "sleeping", key: "nap", due: later });
  stage.command({ kind: "waiting", key: "ok", signal: "go" });
  stage.command(callOf("ship"));
  stage.command(callOf("mail", { verb: "spawn" }));
  stage.command(callOf("audit", { onParentEnd: "abandon" }));
  return stage;
};
const open = ["again", "nap", "ok", "ship", "weir.end/mail", "audit"];

describe("a request to cancel", () => {
  it("ends all that is open at one place in the order, and nothing that was settled", () => {
    const stage = busy();
    const paid = resultOf(stage, "paid");
    stage.deliver({ kind: "cancel", reason: "enough" });
    const { cancel } = stage.state;
    assert.equal(cancel?.reason, "enough");
    for (const key of open) {
      assert.deepEqual(resultOf(stage, key), {
        order: cancel.order,
        result: { type: "cancelled" },
      });
    }
    assert.deepEqual(resultOf(stage, "paid"), paid);
  });

  it("is not undone by what comes late: a signal, a deadline, a child's end", () => {
    const stage = busy();
    stage.deliver({ kind: "cancel" });
    const { order } = stage.state.cancel!;
    stage.deliver(signal("go"));
    stage.deliver({ kind: "timer", key: "nap", due: later });
    stage.deliver(childEnded("ship", { type: "success" }));
    stage.command({ kind: "elapsed", key: "nap" });
    stage.command(stepOf("again"));
    for (const key of open) assert.equal(resultOf(stage, key)?.order, order);
    assert.equal(stage.state.buffered.length, 1);
  });

  it("leaves compensation free to go on, in the order of results behind it", () => {
    const stage = busy();
    stage.deliver({ kind: "cancel" });
    const { order } = stage.state.cancel!;
    assert.equal(stage.command(stepOf("refund")), true);
    assert.equal(resultOf(stage, "refund")?.order, order + 1);
    stage.claim(true);
    assert.equal(stage.state.cancel?.order, order);
    assert.equal(stage.command(done({ type: "cancelled" })), true);
  });

  it("repeated changes nothing, but that it can become one by force", () => {
    const stage = busy();
    stage.deliver({ kind: "cancel", reason: "first" });
    const { cancel, settled } = stage.state;
    stage.deliver({ kind: "cancel", reason: "second" });
    assert.deepEqual(stage.state.cancel, cancel);
    stage.deliver({ kind: "cancel", force: true });
    assert.deepEqual(stage.state.cancel, { ...cancel, force: true });
    stage.deliver({ kind: "cancel" });
    assert.equal(stage.state.cancel?.force, true);
    assert.equal(stage.state.settled, settled);
  });

  it("that only the parent may send is taken from the parent alone", () => {
    const own = busy();
    own.deliver({ kind: "cancel", parent: stranger });
    own.deliver({ kind: "cancel", parent: { ...parent, life: parent.life + 1 } });
    assert.equal(own.state.cancel, undefined);
    own.deliver({ kind: "cancel", parent: { ...parent, key: "weir.cancel" } });
    assert.notEqual(own.state.cancel, undefined);
    const orphan = new Stage(start);
    orphan.deliver({ kind: "cancel", parent });
    assert.equal(orphan.state.cancel, undefined);
  });

  it("comes too late for an execution that has ended", () => {
    const stage = new Stage(start);
    stage.command(done());
    stage.deliver({ kind: "cancel", force: true });
    assert.equal(stage.state.cancel, undefined);
  });

  it("is forgotten by a replay, with what it ended", () => {
    const stage = busy();
    stage.deliver({ kind: "cancel" });
    stage.command(done({ type: "cancelled" }));
    stage.deliver({ kind: "retry", from: "failure" });
    assert.equal(stage.state.cancel, undefined);
    for (const key of open) assert.equal(operation(stage.state, key), undefined);
    assert.equal(operation(stage.state, "mail"), undefined);
    assert.notEqual(operation(stage.state, "paid"), undefined);
  });
});

describe("the end of an execution", () => {
  const cancelled = (stage: Stage) =>
    childrenToCancel(stage.state).flatMap((followUp) =>
      followUp.type === "cancelChild" ? [followUp.child.execution] : []
    ).sort();

  it("cancels the children that run and were not to be left alone", () => {
    const stage = busy();
    assert.deepEqual(cancelled(stage), ["child/mail", "child/ship"]);
    stage.deliver(childEnded("ship", { type: "success" }));
    assert.deepEqual(cancelled(stage), ["child/mail"]);
  });

  it("cancels also those that were given up by a request to cancel", () => {
    const stage = busy();
    stage.deliver({ kind: "cancel" });
    assert.deepEqual(cancelled(stage), ["child/mail", "child/ship"]);
  });

  it("is told to the parent and to everyone who joined, also after it", () => {
    const stage = busy();
    stage.deliver({ kind: "join", parent: stranger });
    const outcome = { type: "success" } as const;
    stage.command(done(outcome));
    const told = () =>
      afterEnd(stage.state, outcome).flatMap((followUp) =>
        followUp.type === "notify" ? [followUp.parent] : []
      );
    assert.deepEqual(told(), [parent, stranger]);
    const late = { ...stranger, key: "late" };
    stage.deliver({ kind: "join", parent: late });
    assert.deepEqual(told(), [parent, stranger, late]);
  });
});
