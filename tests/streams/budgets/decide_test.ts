/** What is decided about budgets, at which time, and nothing else. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Result from "effect/Result";
import { BudgetName } from "../../../schema/budget.ts";
import { ExecutionId } from "../../../schema/ids.ts";
import type { Command } from "../../../streams/budgets/command.ts";
import { type Book, decide } from "../../../streams/budgets/decide.ts";
import { atTime, describe as shown, type Held } from "../../../streams/budgets/state.ts";

const name = BudgetName.make("tenant");
const budgets = [name] as const;
const nothing: Held = { revision: 7, records: 0, state: undefined, events: [] };
const hour = 3_600_000;

/** Decides commands at times, as if each were stored. */
const history = (...acts: ReadonlyArray<readonly [at: number, command: Command]>) => {
  let held = nothing;
  const outcomes: Array<string> = [];
  for (const [at, command] of acts) {
    const book: Book = new Map([[name, held]]);
    const decided = Result.getOrThrow(decide(book, command, at));
    held = { ...decided.book.get(name)!, revision: held.revision + 1 };
    outcomes.push(decided.outcome.outcome);
  }
  return { held, outcomes };
};

const allocate: Command = {
  type: "allocate",
  budgets,
  limits: { token: 10 },
  resetEveryMs: hour,
};
const consume = (token: number, execution?: string): Command => ({
  type: "consume",
  budgets,
  amounts: { token },
  overage: "refuse",
  unallocated: "refuse",
  ...(execution === undefined ? {} : { execution: ExecutionId.make(execution) }),
});

const usedAt = (held: Held, at: number) =>
  shown(name, atTime(held, at).state!).dimensions["token"]!.used;

describe("a budget with an interval", () => {
  it("has all of its usage back when the interval is over, and says when that is", () => {
    const { held } = history([1_000, allocate], [2_000, consume(10)]);
    assert.equal(shown(name, held.state!).resetsAt, 1_000 + hour);
    assert.deepEqual([usedAt(held, 999 + hour), usedAt(held, 1_000 + hour)], [10, 0]);
    const { outcomes } = history([1_000, allocate], [2_000, consume(10)], [
      999 + hour,
      consume(1),
    ], [1_000 + hour, consume(10)]);
    assert.deepEqual(outcomes, ["ok", "ok", "hardBreach", "ok"]);
  });

  it("keeps its rhythm over intervals in which nobody looked", () => {
    const { held } = history([1_000, allocate], [2_000, consume(10)], [
      1_000 + 5 * hour + 30,
      consume(3),
    ]);
    assert.equal(held.state!.intervalStartedAt, 1_000 + 5 * hour);
    assert.deepEqual(held.events.slice(-2), [
      { type: "reset", dimensions: ["token"], by: "interval" },
      { type: "consumed", amounts: { token: 3 } },
    ]);
  });

  it("is not changed by a clock that steps back", () => {
    const { held, outcomes } = history([1_000 + hour, allocate], [1_000 + hour, consume(10)], [
      1_000,
      consume(1),
    ]);
    assert.deepEqual(outcomes, ["ok", "ok", "hardBreach"]);
    assert.equal(usedAt(held, 0), 10);
  });

  it("gives an execution nothing back of an interval that is over", () => {
    const release = { type: "release", budgets, execution: ExecutionId.make("o-1") } as const;
    const before = [[1_000, allocate], [1_000, consume(4, "o-1")]] as const;
    const { outcomes } = history(...before, [1_000 + hour, release]);
    assert.equal(outcomes.at(-1), "nothingSpent");
    const { held } = history(...before, [1_000 + hour, consume(3, "o-1")], [2_000 + hour, release]);
    assert.equal(usedAt(held, 2_000 + hour), 0);
  });

  it("begins its interval anew when it is reset as a whole, and not when it is replenished", () => {
    const reset = { type: "reset", budgets } as const;
    const replenish = { type: "replenish", budgets, limits: { token: 5 } } as const;
    const startedAt = (command: Command) =>
      history([1_000, allocate], [5_000, command]).held.state!.intervalStartedAt;
    assert.equal(startedAt(reset), 5_000);
    assert.equal(startedAt({ ...reset, dimensions: ["token"] }), 1_000);
    assert.equal(startedAt(replenish), 1_000);
  });

  it("keeps its interval when it is allocated again, unless that is new or is to end", () => {
    const stateAfter = (resetEveryMs?: number | "never") =>
      history([1_000, allocate], [5_000, {
        type: "allocate",
        budgets,
        limits: { token: 20 },
        ...(resetEveryMs === undefined ? {} : { resetEveryMs }),
      }]).held.state!;
    const interval = ({ resetEveryMs, intervalStartedAt }: ReturnType<typeof stateAfter>) => [
      resetEveryMs,
      intervalStartedAt,
    ];
    assert.deepEqual(interval(stateAfter()), [hour, 1_000]);
    assert.deepEqual(interval(stateAfter(hour)), [hour, 1_000]);
    assert.deepEqual(interval(stateAfter(60_000)), [60_000, 5_000]);
    assert.equal(stateAfter("never").resetEveryMs, undefined);
  });
});

describe("a decision", () => {
  it("that changes nothing leaves the budget as it was", () => {
    const { held } = history([0, allocate], [0, consume(4)]);
    const book: Book = new Map([[name, { ...held, events: [] }]]);
    const release = { type: "release", budgets, execution: ExecutionId.make("nobody") } as const;
    const decided = Result.getOrThrow(decide(book, release, 2 * hour));
    assert.deepEqual(decided.book, book);
  });

  it("about numbers that would not be exact is a breach", () => {
    const soft = { type: "allocate", budgets, limits: { token: { soft: 1 } } } as const;
    const most = Number.MAX_SAFE_INTEGER;
    const { outcomes } = history([0, soft], [0, consume(most)], [0, consume(1)], [0, consume(0)]);
    assert.deepEqual(outcomes, ["ok", "softBreach", "hardBreach", "ok"]);
  });
});
