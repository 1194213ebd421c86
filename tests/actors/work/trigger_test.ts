/** What becomes of triggers and when budgets cross, held against what one would do by hand. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  crosses,
  isAbove,
  type Level,
  levelOf,
} from "../../../actors/work/trigger/budget_level.ts";
import * as Decide from "../../../actors/work/trigger/decide.ts";
import { BudgetName } from "../../../schema/budget.ts";
import type { BudgetEvent, BudgetRecord } from "../../../schema/budget_record.ts";
import { ExecutionId, Tenant, Timestamp } from "../../../schema/ids.ts";
import { EventKey, TriggerId } from "../../../schema/trigger.ts";
import type { Happening, TriggerRecord } from "../../../schema/trigger_record.ts";

const now = Timestamp.make(1_700_000_000_000);

const created = (standing: boolean, seen: TriggerRecord["seen"]): TriggerRecord => ({
  kind: "trigger",
  tenant: Tenant.make("acme"),
  id: TriggerId.make("t"),
  when: { event: EventKey.make("paid") },
  then: { promote: ExecutionId.make("order/o-1") },
  standing,
  change: { type: "created" },
  state: "active",
  seen,
  fired: 0,
  createdAt: now,
});

const happening = (shard: number, sequence: number, depth = 0): Happening => ({
  shard,
  sequence,
  at: now,
  depth,
});

/** A keeper that has the log in its hands, and dies after so many of its records. */
type Keeper = { readonly survives: number };

describe("a trigger", () => {
  it("fires for what is behind its beginning, each once, however often its keeper dies", () => {
    fc.assert(fc.property(
      fc.boolean(),
      fc.array(fc.record({ shard: fc.nat(2), depth: fc.constantFrom(0, 3, 49, 50, 60) }), {
        maxLength: 20,
      }),
      fc.array(fc.record({ survives: fc.integer({ min: 1, max: 6 }) }), { maxLength: 10 }),
      fc.nat(8),
      (standing, drawn, mortals, begin) => {
        const log = drawn.map(({ shard, depth }, i) => happening(shard, i + 1, depth));
        let record = created(standing, { 0: begin, 1: begin, 2: begin });
        const fired: Array<number> = [];
        const done: Array<number> = [];
        const refused: Array<number> = [];
        const keep = ({ survives }: Keeper) => {
          let left = survives;
          const write = (next: TriggerRecord | undefined): boolean => {
            if (next === undefined) return true;
            if (left-- === 0) return false;
            record = next;
            if (next.change.type === "triggered") fired.push(next.change.by.sequence);
            if (next.change.type === "refused") refused.push(next.change.by.sequence);
            return true;
          };
          const act = (): boolean => {
            if (record.pending === undefined) return true;
            // It is done before that is recorded.
            done.push(record.pending.sequence);
            return write(Decide.acted(record, undefined));
          };
          if (!act()) return;
          for (const each of log) {
            if (!write(Decide.triggered(record, each, now)) || !act()) return;
          }
        };
        for (const mortal of mortals) keep(mortal);
        keep({ survives: Infinity });
        const mine = log.filter(({ sequence }) => sequence > begin);
        const expected = standing ? mine : mine.slice(0, 1);
        const isTooDeep = ({ depth }: Happening) => depth >= 50;
        const numbers = (of: ReadonlyArray<Happening>) => of.map(({ sequence }) => sequence);
        assert.deepEqual(fired, numbers(expected.filter((each) => !isTooDeep(each))));
        assert.deepEqual(refused, numbers(expected.filter(isTooDeep)));
        assert.deepEqual([...new Set(done)], fired);
        assert.equal(record.fired, fired.length);
        assert.equal(record.state, !standing && mine.length > 0 ? "over" : "active");
        assert.equal(record.pending, undefined);
      },
    ));
  });

  it("that is cancelled fires no more, and does what it has fired for", () => {
    const fires = Decide.triggered(created(true, {}), happening(0, 1), now)!;
    const over = Decide.cancelled(fires, now, undefined)!;
    assert.equal(Decide.triggered(over, happening(0, 2), now), undefined);
    assert.equal(Decide.cancelled(over, now, undefined), undefined);
    const acted = Decide.acted(over, undefined)!;
    assert.deepEqual([acted.state, acted.fired, acted.last?.by.sequence], ["cancelled", 1, 1]);
    const once = Decide.triggered(created(false, {}), happening(0, 1), now)!;
    assert.equal(Decide.cancelled(once, now, undefined), undefined);
  });

  it("does one thing after the other", () => {
    const fires = Decide.triggered(created(true, {}), happening(0, 1), now)!;
    assert.equal(Decide.triggered(fires, happening(0, 2), now), undefined);
    const acted = Decide.acted(fires, undefined)!;
    assert.equal(Decide.triggered(acted, happening(0, 2), now)?.fired, 2);
  });
});

const when = { budget: BudgetName.make("b"), dimension: "d", percent: 50 };
const by = ExecutionId.make("order/o-1");

const event: fc.Arbitrary<BudgetEvent> = fc.oneof(
  { weight: 6, arbitrary: fc.nat(8).map((d) => ({ type: "consumed" as const, amounts: { d } })) },
  {
    weight: 2,
    arbitrary: fc.nat(8).map((d) => ({
      type: "released" as const,
      amounts: { d },
      execution: by,
    })),
  },
  fc.constantFrom(
    { type: "reset" as const, dimensions: ["d"], by: "interval" as const },
    { type: "reset" as const, dimensions: ["e"], by: "caller" as const },
    { type: "replenished" as const, limits: { d: { hard: 20 } } },
    { type: "replenished" as const, limits: { e: { hard: 20 } } },
    { type: "allocated" as const, limits: { d: { soft: 6 }, e: { hard: 1 } } },
    { type: "allocated" as const, limits: { d: { hard: 12, soft: 1 } } },
    { type: "allocated" as const, limits: { e: { hard: 1 } } },
    { type: "breached" as const, amounts: { d: 9 }, dimensions: ["d"] },
    { type: "deleted" as const },
  ),
);

/** A budget of two dimensions by hand, as its owner would keep it. */
class ByHand {
  used = 0;
  limit: number | undefined = 10;

  apply(event: BudgetEvent): void {
    if (event.type === "consumed" && this.limit !== undefined) this.used += event.amounts["d"] ?? 0;
    if (event.type === "released") this.used -= Math.min(this.used, event.amounts["d"] ?? 0);
    if (event.type === "reset" && event.dimensions.includes("d")) this.used = 0;
    if (event.type === "replenished" && event.limits["d"] !== undefined) {
      this.used = 0;
      this.limit = event.limits["d"].hard;
    }
    if (event.type === "allocated") {
      const given = event.limits["d"];
      if (given !== undefined) this.limit = given.hard ?? given.soft;
    }
    if (event.type === "deleted") {
      this.used = 0;
      this.limit = undefined;
    }
  }

  get isHalf(): boolean {
    return this.limit !== undefined && this.used >= this.limit / 2;
  }

  record(events: ReadonlyArray<BudgetEvent>): BudgetRecord {
    const { used, limit } = this;
    return {
      kind: "budget",
      events: events as BudgetRecord["events"],
      dimensions: limit === undefined ? {} : { d: { hard: limit, used, since: 0 } },
      intervalStartedAt: now,
      spendings: [],
      keys: [],
      life: 0,
      records: 1,
    };
  }
}

describe("a budget crosses", () => {
  it("when usage comes to the part from below, by whatever was written at once", () => {
    fc.assert(fc.property(
      fc.array(fc.array(event, { minLength: 1, maxLength: 4 }), { maxLength: 12 }),
      (written) => {
        const budget = new ByHand();
        let level: Level | undefined = levelOf(budget.record([]), when);
        for (const events of written) {
          let wasHalf = budget.isHalf;
          let rose = false;
          for (const each of events) {
            budget.apply(each);
            rose ||= budget.isHalf && !wasHalf;
            wasHalf = budget.isHalf;
          }
          const record = budget.record(events);
          assert.equal(crosses({ level, above: false }, record, when), rose);
          level = levelOf(record, when);
          assert.equal(isAbove(level, when), budget.isHalf);
        }
      },
    ));
  });

  it("as it was last known to stand, if the records before are gone", () => {
    const budget = new ByHand();
    budget.used = 6;
    const record = budget.record([{ type: "consumed", amounts: { d: 1 } }]);
    assert.equal(crosses({ level: undefined, above: true }, record, when), false);
    assert.equal(crosses({ level: undefined, above: false }, record, when), true);
    budget.used = 5;
    const anew = budget.record([
      { type: "replenished", limits: { d: { hard: 10 } } },
      { type: "consumed", amounts: { d: 5 } },
    ]);
    assert.equal(crosses({ level: undefined, above: true }, anew, when), true);
    assert.equal(crosses({ level: undefined, above: false }, undefined, when), false);
  });
});
