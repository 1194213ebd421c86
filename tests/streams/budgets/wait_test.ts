/** Who waits for a budget, and what has them told: in which order it comes does not matter. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Result from "effect/Result";
import { BudgetName } from "../../../schema/budget.ts";
import { ExecutionId, Timestamp } from "../../../schema/ids.ts";
import type { Command } from "../../../streams/budgets/command.ts";
import { decide } from "../../../streams/budgets/decide.ts";
import type { Held } from "../../../streams/budgets/state.ts";
import { newDue, roused } from "../../../streams/budgets/wait.ts";

const name = BudgetName.make("flow");
const budgets = [name] as const;
const hour = 3_600_000;

const allocate = (token: number, resetEveryMs?: number): Command => ({
  type: "allocate",
  budgets,
  limits: { token },
  ...(resetEveryMs === undefined ? {} : { resetEveryMs }),
});
const consume = (token: number): Command => ({
  type: "consume",
  budgets,
  amounts: { token },
  overage: "allow",
  unallocated: "refuse",
});
const waits = (turn: string, token?: number): Command => ({
  type: "await",
  budgets,
  waiter: { execution: ExecutionId.make("order/o-1"), life: 1, turn },
  ...(token === undefined ? {} : { needs: { token } }),
});
const elapse = (due: number): Command => ({
  type: "elapse",
  budgets,
  due: Timestamp.make(due),
});
const reset: Command = { type: "reset", budgets };

/** Decides commands that are written one by one, or together; what is stored of them, write by write. */
const written = (writes: ReadonlyArray<ReadonlyArray<Command>>, at = 1_000) => {
  let held: Held = { revision: 0, records: 0, state: undefined, events: [] };
  return writes.map((commands) => {
    const { state: before, revision } = held;
    let book = new Map([[name, held]]);
    const outcomes = commands.map((command) => {
      const decided = Result.getOrThrow(decide(book, command, at));
      book = new Map(decided.book);
      return decided.outcome.outcome;
    });
    const next = book.get(name)!;
    const { state, rings } = roused(name, before, next);
    const due = newDue(before, state);
    held = { revision: revision + 1, records: 0, state, events: [] };
    return { outcomes, rings, due, waiters: next.waiters?.length ?? 0, awaited: state?.awaited };
  });
};

const last = (...writes: ReadonlyArray<ReadonlyArray<Command>>) => written(writes).at(-1)!;
const full = [allocate(10), consume(10)];

describe("waiting for a budget", () => {
  it("is for who finds nothing left, and for nobody else", () => {
    assert.deepEqual(last(full, [waits("1")]), {
      outcomes: ["waits"],
      rings: false,
      due: undefined,
      waiters: 1,
      awaited: { token: 1 },
    });
    assert.deepEqual(last([allocate(10), consume(9)], [waits("1")]).outcomes, ["open"]);
    assert.deepEqual(last([waits("1")]).outcomes, ["open"]);
    assert.deepEqual(last([allocate(10), consume(9)], [waits("1", 2)]).outcomes, ["waits"]);
  });

  it("has a bell rung by whoever gives room, wherever that is written", () => {
    for (const free of [reset, allocate(11), { type: "delete", budgets } as const]) {
      const [, , after] = written([full, [waits("1")], [free]]);
      assert.deepEqual([after!.rings, after!.awaited], [true, undefined]);
      const [, together] = written([full, [waits("1"), free]]);
      assert.deepEqual([together!.rings, together!.waiters], [true, 1]);
    }
    // Who comes behind it finds room, and does not wait.
    assert.deepEqual(last(full, [reset, waits("1")]).outcomes, ["ok", "open"]);
    assert.equal(last(full, [reset, waits("1")]).rings, false);
  });

  it("has none rung for what changes nothing for those who wait", () => {
    const [, , more, taken] = written([
      full,
      [waits("1", 4)],
      [allocate(12)],
      [reset, consume(12)],
    ]);
    assert.deepEqual([more!.rings, more!.awaited], [false, { token: 4 }]);
    assert.equal(taken!.rings, false);
    assert.equal(last(full, [waits("1", 4)], [waits("2")], [allocate(11)]).rings, true);
  });

  it("is told to the server when an interval will be over, once for each interval", () => {
    const writes = written([
      [allocate(10, hour), consume(10)],
      [waits("1")],
      [waits("2")],
      [allocate(10, 2 * hour)],
    ]);
    assert.deepEqual(writes.map(({ due }) => due), [
      undefined,
      1_000 + hour,
      undefined,
      1_000 + 2 * hour,
    ]);
  });

  it("is told a time of some calendar, however long an interval is stored", () => {
    const century = 36_525 * 24 * hour;
    const { due } = last([allocate(10, Number.MAX_SAFE_INTEGER), consume(10)], [waits("1")]);
    assert.equal(due, 1_000 + century);
  });

  it("ends with an interval, and not before it", () => {
    const [, stored] = written([[allocate(10, hour), consume(10)], [waits("1")]]);
    assert.equal(stored!.due, 1_000 + hour);
    let held: Held = { revision: 0, records: 0, state: undefined, events: [] };
    for (const command of [allocate(10, hour), consume(10), waits("1")]) {
      const decided = Result.getOrThrow(decide(new Map([[name, held]]), command, 1_000));
      held = { ...decided.book.get(name)!, events: [] };
    }
    const at = (now: number) =>
      Result.getOrThrow(decide(new Map([[name, held]]), elapse(1_000 + hour), now));
    assert.equal(at(999 + hour).outcome.outcome, "early");
    const over = at(1_000 + hour);
    assert.equal(over.outcome.outcome, "ok");
    assert.equal(roused(name, held.state, over.book.get(name)!).rings, true);
  });
});
