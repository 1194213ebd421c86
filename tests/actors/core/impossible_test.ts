/**
 * The ten combinations that the specification forbids (V1 to V10), each with what makes it
 * unrepresentable or refused. An execution is active when somebody owns it, runnable when nobody
 * does and nothing is awaited, and terminal when it has an outcome.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as HashMap from "effect/HashMap";
import * as Result from "effect/Result";
import fc from "fast-check";
import { beforeTakingUp, decide, timers } from "../../../actors/core/decide.ts";
import { publicStatus, shown } from "../../../actors/core/describe.ts";
import { receive } from "../../../actors/core/evolve.ts";
import { type ExecutionState, initial } from "../../../actors/core/state.ts";
import { actions, anyCommand, anyMail, anyStart, at, done, Stage } from "./histories.ts";

const ends: ReadonlyArray<string> = ["completed", "failed", "cancelled", "expired", "skipped"];
const outcomes: ReadonlyArray<string> = ["success", "failure", "cancelled", "expired", "skipped"];

/** Whatever has happened, and whoever owns the execution. */
const always = (
  check: (state: ExecutionState, status: { readonly owned: string; readonly free: string }) => void,
) =>
  fc.assert(
    fc.property(anyStart, actions, fc.nat(200), (start, actions, now) => {
      const stage = new Stage(start);
      for (const action of actions) {
        stage.act(action);
        const { state } = stage;
        check(state, {
          owned: publicStatus(state, true, now),
          free: publicStatus(state, false, now),
        });
      }
    }),
    { numRuns: 100 },
  );

describe("never", () => {
  it("V1, terminal and leased: the end ends the lease, and who has one cannot use it", () => {
    always((state, { owned, free }) => {
      if (state.done === undefined) return;
      assert.equal(owned, free);
      assert.ok(ends.includes(owned));
      assert.deepEqual(decide(state, done()), Result.fail({ type: "ended" }));
      assert.deepEqual(timers(state), []);
    });
  });

  it("V2, suspended and leased: an execution that is owned is active", () => {
    always((_, { owned }) => assert.ok(owned === "active" || ends.includes(owned)));
  });

  it("V3, an outcome before the end", () => {
    always((state) => {
      if (state.done === undefined) assert.equal(shown(state).outcome, undefined);
    });
  });

  it("V4, an end without an outcome", () => {
    always((state) => {
      const { status, outcome } = shown(state);
      assert.equal(outcomes.includes(status), outcome !== undefined);
      if (outcome !== undefined) assert.equal(status, outcome.type);
    });
  });

  it("V5, active before the first attempt: who owns an execution is in an attempt", () => {
    always((state, { owned }) => {
      assert.ok(Number.isInteger(state.attempt) && state.attempt >= 0);
      assert.ok(!["waiting", "delayed"].includes(owned));
    });
  });

  it("V6, eligible when it has ended", () => {
    always((state, { free }) => {
      if (state.done !== undefined) assert.ok(!["waiting", "delayed", "suspended"].includes(free));
    });
  });

  it("V7, eligible while it is active", () => {
    always((_, { owned }) => assert.notEqual(owned, "waiting"));
  });

  it("V8, submitted and leased: without a start nothing is taken up and nothing is recorded", () => {
    fc.assert(
      fc.property(fc.array(anyMail, { maxLength: 20 }), anyCommand, (messages, command) => {
        let state = initial;
        messages.forEach((record, i) => {
          state = receive(state, { sequence: i + 1, at: at(i), record });
        });
        assert.equal(state, initial);
        assert.equal(beforeTakingUp(state), undefined);
        assert.deepEqual(decide(state, command), Result.fail({ type: "notStarted" }));
        assert.deepEqual(timers(state), []);
      }),
    );
  });

  it("V9, runnable with an attempt that runs: what nobody owns is not active", () => {
    always((_, { free }) => assert.notEqual(free, "active"));
  });

  it("V10, active and unowned: only an owner's records bring an execution on", () => {
    always((state) => {
      // Mail alone, however much of it, is not taken up by anybody who only receives it.
      const mail = {
        sequence: 100_000,
        at: at(1),
        record: { kind: "cancel", force: true },
      } as const;
      const { inbox, ...rest } = receive(state, mail);
      const { inbox: before, ...unchanged } = state;
      assert.deepEqual(rest, unchanged);
      assert.equal(inbox.length, before.length + 1);
    });
  });
});

describe("an operation", () => {
  it("has one kind, and is begun once", () => {
    fc.assert(
      fc.property(anyStart, actions, anyCommand, (start, actions, command) => {
        const stage = new Stage(start);
        for (const action of actions) stage.act(action);
        if (!("key" in command)) return;
        const known = HashMap.get(stage.state.operations, command.key);
        if (known._tag === "None" || !stage.command(command)) return;
        const { kind, settled } = known.value;
        assert.equal(settled, undefined);
        const continues = {
          step: ["run"],
          stepFailed: ["run"],
          elapsed: ["sleep", "wait"],
          callFailed: ["call", "end"],
        };
        const kinds: Readonly<Record<string, ReadonlyArray<string>>> = continues;
        assert.ok(kinds[command.kind]?.includes(kind));
      }),
    );
  });
});
