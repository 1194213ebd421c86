/**
 * Histories of one budget for property tests: commands at times, decided by the core, with everything
 * that leaves the record kept beside it and every state read back from its record. Beside it runs a
 * book kept by hand, which remembers everybody's every spending and knows no records.
 */
import assert from "node:assert/strict";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import fc from "fast-check";
import { BudgetKey, BudgetName } from "../../../schema/budget.ts";
import { budgetRecord, type SpendRecord } from "../../../schema/budget_record.ts";
import { ExecutionId } from "../../../schema/ids.ts";
import type { Command, Consume, Outcome } from "../../../streams/budgets/command.ts";
import { decide } from "../../../streams/budgets/decide.ts";
import {
  knowsKey,
  mayKnowKey,
  maySpend,
  recalled,
  settled,
} from "../../../streams/budgets/facts.ts";
import type { BudgetState, Held } from "../../../streams/budgets/state.ts";

export const name = BudgetName.make("task:t-1");
export const intervalMs = 50_000;
const startMs = 1_000_000;
/** Far less than in earnest, so that what moves out is asked for all the time. */
const most = 6;

type KeyedCommand = Command & { readonly key?: BudgetKey };

export interface Act {
  readonly command: KeyedCommand;
  readonly afterMs: number;
}

const dimension = fc.constantFrom("token", "costCents", "constructor");
const budgets = [name] as const;
const execution = fc.integer({ min: 0, max: 25 }).map((n) => ExecutionId.make(`order/o-${n}`));
const key = fc.integer({ min: 0, max: 60 }).map((n) => BudgetKey.make(`k-${n}`));
const limit = fc.oneof(
  fc.integer({ min: 1, max: 400 }),
  fc.record({ hard: fc.integer({ min: 1, max: 400 }), soft: fc.integer({ min: 1, max: 300 }) }),
);
const some = <A>(value: fc.Arbitrary<A>) =>
  fc.dictionary(dimension, value, { minKeys: 1, maxKeys: 3 }).map((given) => ({ ...given }));

export const consumption = (overage: Consume["overage"]): fc.Arbitrary<Consume> =>
  fc.record({
    amounts: some(fc.integer({ min: 0, max: 9 })),
    execution,
    key,
    isKeyed: fc.boolean(),
    isNamed: fc.boolean(),
  }).map(({ amounts, execution, key, isKeyed, isNamed }) => ({
    type: "consume",
    budgets,
    amounts,
    overage,
    unallocated: "ignore",
    ...(isKeyed ? { key } : {}),
    ...(isNamed ? { execution } : {}),
  }));

/** Commands, most of which consume; limits change only if they may. */
export const acts = (options: {
  readonly overage: Consume["overage"];
  readonly isLimitFixed: boolean;
}): fc.Arbitrary<ReadonlyArray<Act>> => {
  const rare: ReadonlyArray<fc.WeightedArbitrary<KeyedCommand>> = [
    {
      weight: 6,
      arbitrary: execution.map((execution) => ({ type: "release", budgets, execution })),
    },
    { weight: 1, arbitrary: key.map((key) => ({ type: "reset", budgets, key })) },
    {
      weight: 1,
      arbitrary: dimension.map((one) => ({ type: "reset", budgets, dimensions: [one] })),
    },
    ...(options.isLimitFixed ? [] : [
      {
        weight: 1,
        arbitrary: fc.tuple(some(limit), key).map(([limits, key]): KeyedCommand => ({
          type: "replenish",
          budgets,
          limits,
          key,
        })),
      },
      {
        weight: 1,
        arbitrary: some(limit).map((limits): KeyedCommand => ({
          type: "allocate",
          budgets,
          limits,
        })),
      },
    ]),
  ];
  const command = fc.oneof<fc.WeightedArbitrary<KeyedCommand>[]>(
    { weight: 60, arbitrary: consumption(options.overage) },
    ...rare,
  );
  return fc.array(
    fc.record({ command, afterMs: fc.integer({ min: 0, max: 2_000 }) }),
    { minLength: 1, maxLength: 350, size: "max" },
  );
};

const parsed = (state: BudgetState, records: number): BudgetState => {
  const body = budgetRecord.encode({ kind: "budget", events: [], ...state, records });
  const read = Effect.runSync(budgetRecord.decode(body, { subject: "budget", sequence: 1 }));
  const { kind: _, events: __, records: ___, ...rest } = read;
  return rest;
};

/** A budget as a process keeps it, command by command. */
export class Stage {
  now = startMs;
  held: Held = { revision: 0, records: 0, state: undefined, events: [] };
  readonly events: Array<Held["events"][number]> = [];
  readonly #beside = new Map<string, SpendRecord>();

  constructor(limits: Extract<Command, { type: "allocate" }>["limits"], isReset: boolean) {
    this.act({
      command: {
        type: "allocate",
        budgets,
        limits,
        ...(isReset ? { resetEveryMs: intervalMs } : {}),
      },
      afterMs: 0,
    });
  }

  get besides(): number {
    return this.#beside.size;
  }

  act({ command, afterMs }: Act): Outcome<Command> | undefined {
    this.now += afterMs;
    const decided = decide(new Map([[name, this.#recalled(command)]]), command, this.now);
    if (Result.isFailure(decided)) return undefined;
    const { outcome, book } = decided.success;
    const held = book.get(name)!;
    if (held.events.length === 0) return outcome;
    const revision = this.held.revision + 1;
    const { now } = this;
    const { state, moved } = settled(held.state!, { now, revision: held.revision, room: 5, most });
    for (const one of moved) {
      const beside = "key" in one ? `key ${one.key}` : `execution ${one.execution}`;
      if (one.record === undefined) this.#beside.delete(beside);
      else this.#beside.set(beside, one.record);
    }
    this.events.push(...held.events);
    this.held = { revision, records: revision, state: parsed(state, revision), events: [] };
    return outcome;
  }

  #recalled(command: KeyedCommand): Held {
    let { state } = this.held;
    if (state === undefined) return this.held;
    const { key, execution } = command as { key?: BudgetKey; execution?: ExecutionId };
    if (key !== undefined && !knowsKey(state, key) && mayKnowKey(state, this.now)) {
      const record = this.#beside.get(`key ${key}`);
      if (record !== undefined) state = recalled(state, { key }, record);
    }
    if (execution !== undefined && maySpend(state, execution)) {
      const record = this.#beside.get(`execution ${execution}`);
      if (record !== undefined) state = recalled(state, { execution }, record);
    }
    return { ...this.held, state };
  }
}

/** The same budget, kept by hand: who has spent what since usage was zero, and which keys were used. */
export class ByHand {
  readonly spent = new Map<string, Array<readonly [execution: string | undefined, number]>>();
  readonly keys = new Set<string>();

  /** Takes in what came of a command, and says what a release must have given back. */
  take(command: KeyedCommand, outcome: Outcome<Command>, dimensions: ReadonlyArray<string>): void {
    const { outcome: what } = outcome;
    if (what === "alreadyApplied") return assert.ok(this.keys.has(command.key!));
    if (command.key !== undefined) assert.ok(!this.keys.has(command.key));
    if (what === "hardBreach") return;
    switch (command.type) {
      case "consume": {
        const counting = Object.entries(command.amounts).filter(([one]) =>
          dimensions.includes(one)
        );
        for (const [one, amount] of counting) {
          this.spent.set(one, [...this.spent.get(one) ?? [], [command.execution, amount]]);
        }
        if (counting.length === 0) return;
        break;
      }
      case "release": {
        const sums = new Map<string, number>();
        for (const [one, spent] of this.spent) {
          const own = spent.filter(([execution]) => execution === command.execution);
          this.spent.set(one, spent.filter(([execution]) => execution !== command.execution));
          if (own.length > 0) sums.set(one, own.reduce((sum, [, amount]) => sum + amount, 0));
        }
        const { amounts = {} } = outcome as Outcome<Extract<Command, { type: "release" }>>;
        const given = new Map(Object.entries(amounts[name] ?? {}));
        assert.deepEqual(given, sums);
        return;
      }
      case "reset":
        for (const one of command.dimensions ?? dimensions) this.spent.delete(one);
        break;
      case "replenish":
        for (const one of Object.keys(command.limits)) this.spent.delete(one);
        break;
    }
    if (command.key !== undefined) this.keys.add(command.key);
  }

  usedOf(one: string): number {
    return (this.spent.get(one) ?? []).reduce((sum, [, amount]) => sum + amount, 0);
  }
}
