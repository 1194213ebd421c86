/** What holds at each step of every history, whoever owns the execution and whatever is tried. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as HashMap from "effect/HashMap";
import * as Result from "effect/Result";
import fc from "fast-check";
import { decide } from "../../../actors/core/decide.ts";
import {
  type ExecutionState,
  isOpen,
  type Mail,
  openOperations,
  operation,
} from "../../../actors/core/state.ts";
import type { JournalRecord } from "../../../schema/journal_record.ts";
import {
  type Action,
  actions,
  anyCommand,
  anyMail,
  anyStart,
  done,
  outcome,
  plain,
  Stage,
} from "./histories.ts";

type By = JournalRecord | Mail;
type Watch = (before: ExecutionState, after: ExecutionState, by: By) => void;

const isMail = (by: By): by is Mail => "record" in by;

/** Runs histories, each step of which is watched. */
const inEveryHistory = (watching: () => Watch, limits = { signals: 4, replays: 2 }) =>
  fc.assert(
    fc.property(anyStart, actions, (start, actions) => {
      const stage = new Stage(start, { limits, watch: watching() });
      for (const action of actions) stage.act(action);
    }),
    { numRuns: 400 },
  );

describe("in every history", () => {
  it("results come in one dense order, and each operation has one", () => {
    inEveryHistory(() => (before, after, by) => {
      const settledNow = [...HashMap.entries(after.operations)].filter(([key, { settled }]) =>
        settled !== undefined && operation(before, key)?.settled === undefined
      );
      const isCancelled = before.cancel === undefined && after.cancel !== undefined;
      assert.ok(after.settled - before.settled <= 1 || !isMail(by));
      const orders = new Set(settledNow.map(([, { settled }]) => settled!.order));
      if (isCancelled) orders.add(after.cancel.order);
      assert.deepEqual(
        [...orders].sort((a, b) => a - b),
        Array.from({ length: after.settled - before.settled }, (_, i) => before.settled + i + 1),
      );
      if (!isCancelled) assert.equal(settledNow.length, orders.size);
      for (const [key, { settled }] of HashMap.entries(before.operations)) {
        const found = operation(after, key);
        if (settled !== undefined && found !== undefined) assert.deepEqual(found.settled, settled);
      }
    });
  });

  it("a request to cancel ends all that is open at one place in the order", () => {
    inEveryHistory(() => (before, after) => {
      if (before.cancel !== undefined || after.cancel === undefined) return;
      for (const [key] of openOperations(before)) {
        const { order, result } = operation(after, key)!.settled!;
        if (result.type === "cancelled") assert.equal(order, after.cancel.order);
      }
      assert.deepEqual(openOperations(after), []);
    });
  });

  it("attempts and epochs never go back, and only a new attempt takes one more", () => {
    inEveryHistory(() => (before, after, by) => {
      if (isMail(by)) return assert.equal(after.attempt, before.attempt);
      if (by.kind === "claimed") return assert.ok(after.attempt >= before.attempt);
      const isNew = by.kind === "attemptFailed" || by.kind === "replayed";
      assert.equal(after.attempt, before.attempt + (isNew ? 1 : 0));
    });
  });

  it("no signal waits while a wait for it is open, and each is taken once, the oldest first", () => {
    inEveryHistory(() => {
      const taken = new Map<number, string>();
      const lastOf = new Map<string, number>();
      return (before, after, by) => {
        for (const [, waiting] of openOperations(after)) {
          if (waiting.kind !== "wait") continue;
          assert.ok(!after.buffered.some(({ name }) => name === waiting.signal));
        }
        if (isMail(by) || by.kind !== "signal") {
          // Nothing but its own record changes what became of a signal.
          assert.deepEqual(after.buffered, before.buffered);
          const isAnew = !isMail(by) && by.kind === "continued";
          assert.equal(after.signals, isAnew ? 0 : before.signals);
          return;
        }
        const { name, sequence, effect } = by;
        const isBuffered = after.buffered.some((other) => other.sequence === sequence);
        assert.equal(isBuffered, effect === "buffered");
        if (effect === "buffered" || effect === "deduped") assert.ok(!taken.has(sequence));
        if (effect !== "satisfied") return;
        assert.ok(!taken.has(sequence));
        taken.set(sequence, name);
        assert.ok((lastOf.get(name) ?? 0) < sequence);
        lastOf.set(name, sequence);
        assert.equal(operation(after, by.key!)?.settled?.result.type, "value");
      };
    });
  });

  it("every signal that is taken up is accounted for, up to the limit", () => {
    inEveryHistory(() => {
      const effects = new Map<number, string>();
      return (before, after, by) => {
        if (isMail(by)) return assert.notEqual(by.record.kind, "signal");
        if (by.kind !== "signal") return;
        const { effect, sequence } = by;
        const known = effects.get(sequence);
        const word = typeof effect === "string" ? effect : String(effect.raw);
        if (known !== undefined) assert.deepEqual([known, word], ["buffered", "satisfied"]);
        effects.set(sequence, word);
        const isNew = known === undefined && (word === "buffered" || word === "satisfied");
        assert.equal(after.signals, before.signals + (isNew ? 1 : 0));
        assert.ok(after.signals <= 4);
        if (word === "limit_exceeded") assert.equal(before.signals, 4);
        if (word === "execution_ended") assert.notEqual(before.done, undefined);
      };
    });
  });

  it("an outcome is there exactly from the end to the replay", () => {
    inEveryHistory(() => (before, after, by) => {
      const kind = isMail(by) ? "mail" : by.kind;
      if (kind === "done") {
        assert.equal(before.done, undefined);
        assert.notEqual(after.done, undefined);
      } else if (kind === "replayed") {
        assert.notEqual(before.done, undefined);
        assert.equal(after.done, undefined);
        assert.ok(after.replays <= 2);
      } else {
        assert.equal(after.done, before.done);
      }
    });
  });
});

/** What an execution has come to, as opposed to what is still said to it. */
const matter = (state: ExecutionState) => {
  // Who asks is remembered; ends of children and deadlines are kept for a replay that awaits them.
  const said = { inbox: [], mail: 0, index: 0, progress: false };
  const asked = { joins: [], retry: undefined, operations: HashMap.empty(), settled: 0 };
  return plain({ ...state, ...said, ...asked });
};

describe("an execution that has ended", () => {
  it("refuses every command", () => {
    fc.assert(
      fc.property(anyStart, actions, outcome, anyCommand, (start, actions, outcome, command) => {
        const stage = new Stage(start);
        for (const action of actions) stage.act(action);
        stage.command(done(outcome));
        for (const refused of [command, done(outcome), done({ type: "success" })]) {
          const decided = decide(stage.state, refused);
          assert.deepEqual(decided, Result.fail({ type: "ended" }));
        }
      }),
    );
  });

  it("is changed by no message but a request to run it again", () => {
    fc.assert(
      fc.property(
        anyStart,
        actions,
        outcome,
        fc.array(anyMail.filter(({ kind }) => kind !== "retry"), { minLength: 1, maxLength: 10 }),
        (start, actions, outcome, mail) => {
          const stage = new Stage(start);
          for (const action of actions) stage.act(action);
          stage.read();
          stage.takeUpAll();
          stage.command(done(outcome));
          const before = stage.state;
          const late: ReadonlyArray<Action> = mail.map((mail) => ({ type: "mail", mail }));
          for (const action of late) stage.act(action);
          stage.read();
          stage.takeUpAll();
          assert.deepEqual(matter(stage.state), matter(before));
          for (const [key, operation] of HashMap.entries(before.operations)) {
            if (isOpen(operation)) continue;
            const found = HashMap.get(stage.state.operations, key);
            assert.deepEqual(found, HashMap.get(before.operations, key));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
