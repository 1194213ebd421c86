import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { operation } from "../../../actors/core/state.ts";
import { Timestamp } from "../../../schema/ids.ts";
import type { SignalRecord } from "../../../schema/journal_record.ts";
import { done, signal, Stage, start, type StreamEntry } from "./histories.ts";

const records = (entries: ReadonlyArray<StreamEntry>): ReadonlyArray<SignalRecord> =>
  entries.flatMap((entry) =>
    entry.type === "journal" && entry.record.kind === "signal" ? [entry.record] : []
  );

const effects = (stage: Stage) => records(stage.entries).map(({ effect }) => effect);
const waitFor = (stage: Stage, key: string, name = "go") =>
  stage.command({ kind: "waiting", key, signal: name });
const resultOf = (stage: Stage, key: string) => operation(stage.state, key)?.settled?.result;

describe("a signal", () => {
  it("that comes early is found by the wait for it, the oldest first", () => {
    const stage = new Stage(start);
    stage.deliver(signal("go", { payload: 1 }));
    stage.deliver(signal("other", { payload: 0 }));
    stage.deliver(signal("go", { payload: 2 }));
    waitFor(stage, "first");
    waitFor(stage, "second");
    waitFor(stage, "third");
    assert.deepEqual(resultOf(stage, "first"), { type: "value", value: 1 });
    assert.deepEqual(resultOf(stage, "second"), { type: "value", value: 2 });
    assert.equal(resultOf(stage, "third"), undefined);
    assert.deepEqual(stage.state.buffered.map(({ name }) => name), ["other"]);
    assert.equal(stage.state.signals, 3);
  });

  it("satisfies the wait that was opened first", () => {
    const stage = new Stage(start);
    waitFor(stage, "z");
    waitFor(stage, "a");
    stage.deliver(signal("go", { payload: 1 }));
    stage.deliver(signal("go", { payload: 2 }));
    assert.deepEqual(resultOf(stage, "z"), { type: "value", value: 1 });
    assert.deepEqual(resultOf(stage, "a"), { type: "value", value: 2 });
  });

  it("before, at and after a suspension is taken once, whoever owns the execution then", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("signal", "wait", "suspend", "die", "read", "takeUp"), {
          maxLength: 40,
          size: "max",
        }),
        (happenings) => {
          const stage = new Stage(start);
          let sent = 0;
          let waits = 0;
          for (const happening of happenings) {
            if (happening === "signal") stage.post(signal("go", { payload: sent++ }));
            else if (happening === "wait") waitFor(stage, `wait-${waits++}`);
            else if (happening === "suspend") stage.claim(false);
            else if (happening === "die") stage.claim(true);
            else if (happening === "read") stage.read();
            else stage.takeUp();
          }
          stage.read();
          stage.takeUpAll();
          const taken = Array.from({ length: waits }, (_, i) => resultOf(stage, `wait-${i}`));
          const expected = Array.from(
            { length: waits },
            (_, i) => i < sent ? { type: "value", value: i } : undefined,
          );
          assert.deepEqual(taken, expected);
          assert.equal(stage.state.buffered.length, Math.max(0, sent - waits));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("that is repeated under its key is taken once, also after its wait and after the end", () => {
    const stage = new Stage(start);
    stage.deliver(signal("go", { key: "once" }));
    stage.deliver(signal("go", { key: "once" }));
    waitFor(stage, "first");
    stage.deliver(signal("go", { key: "once" }));
    stage.claim(true);
    stage.deliver(signal("go", { key: "once" }));
    stage.deliver(signal("go", { key: "another" }));
    stage.command(done());
    stage.deliver(signal("go", { key: "once" }));
    assert.deepEqual(effects(stage), [
      "buffered",
      "deduped",
      "satisfied",
      "deduped",
      "deduped",
      "buffered",
      "deduped",
    ]);
    assert.equal(stage.state.signals, 2);
  });

  it("that was refused may be sent again under its key", () => {
    const stage = new Stage(start);
    stage.command(done());
    stage.deliver(signal("go", { key: "once" }));
    stage.deliver({ kind: "retry", from: "start" });
    stage.deliver(signal("go", { key: "once", payload: 1 }));
    waitFor(stage, "first");
    assert.deepEqual(resultOf(stage, "first"), { type: "value", value: 1 });
    assert.deepEqual(effects(stage)[0], { type: "other", raw: "execution_ended" });
  });

  it("beyond the limit is refused, and one that was there already is not", () => {
    const stage = new Stage(start, { limits: { signals: 2, replays: 1 } });
    stage.deliver(signal("go", { key: "a" }));
    stage.deliver(signal("go"));
    stage.deliver(signal("go"));
    stage.deliver(signal("go", { key: "a" }));
    assert.deepEqual(effects(stage), [
      "buffered",
      "buffered",
      { type: "other", raw: "limit_exceeded" },
      "deduped",
    ]);
    assert.equal(stage.state.signals, 2);
  });

  it("that comes with the deadline of its wait is taken by whichever is recorded first", () => {
    const due = Timestamp.make(5);
    for (const first of ["signal", "timer"] as const) {
      const stage = new Stage(start);
      stage.command({ kind: "waiting", key: "ok", signal: "go", due });
      const messages = {
        signal: () => stage.post(signal("go")),
        timer: () => stage.post({ kind: "timer", key: "ok", due }),
      };
      messages[first]();
      messages[first === "signal" ? "timer" : "signal"]();
      stage.read();
      stage.takeUpAll();
      assert.equal(resultOf(stage, "ok")?.type, first === "signal" ? "value" : "timeout");
      assert.equal(stage.state.buffered.length, first === "signal" ? 0 : 1);
    }
  });

  it("neither ends, cancels nor retries an execution", () => {
    const stage = new Stage(start);
    for (const name of ["cancel", "retry", "done", "weir.deadline"]) stage.deliver(signal(name));
    const { done: end, cancel, replays, expired, attempt } = stage.state;
    assert.deepEqual([end, cancel, replays, expired, attempt], [
      undefined,
      undefined,
      0,
      false,
      0,
    ]);
  });
});
