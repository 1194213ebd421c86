/**
 * Budgets of a tenant: how much of what may be used, counted exactly however many processes consume at
 * once, and durable. A hard limit is never exceeded, a stack of budgets counts in all of them or in
 * none, and what an execution has used can be taken back once. It stops nobody by itself.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import type { Amounts, Budget, BudgetName } from "../schema/budget.ts";
import { BudgetNotFound } from "../schema/budget_errors.ts";
import { type BudgetEvent, budgetRecord, isBudgetEvent } from "../schema/budget_record.ts";
import type { InvalidInput } from "../schema/errors.ts";
import type { ExecutionId, Tenant } from "../schema/ids.ts";
import { type Clerk, type ClerkError, make as makeClerk } from "./budgets/clerk.ts";
import type { Changed, Consumed, LimitInputs, Released } from "./budgets/command.ts";
import { spendingOf } from "./budgets/facts.ts";
import type { AllocateOptions, ConsumeOptions, KeyOptions, ResetOptions } from "./budgets/input.ts";
import * as Input from "./budgets/input.ts";
import { budgetFilter, budgetOfSubject } from "./budgets/places.ts";
import { atTime, describe, hasMovedSpendings } from "./budgets/state.ts";
import { Log, type ReadError, type ReadOptions } from "./log.ts";
import { ServerClock } from "./server_clock.ts";

export type {
  Breach,
  Changed,
  Consumed,
  ExhaustedDimension,
  LimitInputs,
  Released,
} from "./budgets/command.ts";

export type { AllocateOptions, ConsumeOptions, KeyOptions, ResetOptions } from "./budgets/input.ts";

export type BudgetError = ClerkError | InvalidInput;

export interface ReleaseOptions extends KeyOptions {
  /** All of the tenant, if left out, which takes a look at each. */
  readonly budgets?: ReadonlyArray<BudgetName>;
}

/** What was stored about a budget at once, and what it is since. */
export interface BudgetChange {
  readonly name: BudgetName;
  /** Of its record, in the shard of the tenant. */
  readonly sequence: number;
  readonly at: number;
  /** Those that this release knows, in order. */
  readonly events: ReadonlyArray<BudgetEvent>;
  /** Nothing, if it was deleted. */
  readonly budget: Budget | undefined;
}

export class Budgets extends Context.Service<Budgets, {
  /** Gives a budget limits for some dimensions in place of theirs; what is used stays. */
  readonly allocate: (
    tenant: Tenant,
    name: BudgetName,
    limits: LimitInputs,
    options?: AllocateOptions,
  ) => Effect.Effect<Changed, BudgetError>;
  /** Counts what is consumed in all of the budgets, or in none. */
  readonly consume: (
    tenant: Tenant,
    names: ReadonlyArray<BudgetName>,
    amounts: Amounts,
    options?: ConsumeOptions,
  ) => Effect.Effect<Consumed, BudgetError>;
  /** Gives dimensions a new limit, and has their usage begin at zero. */
  readonly replenish: (
    tenant: Tenant,
    name: BudgetName,
    limits: LimitInputs,
    options?: KeyOptions,
  ) => Effect.Effect<Changed, BudgetError>;
  /** Has usage begin at zero under the same limits. */
  readonly reset: (
    tenant: Tenant,
    name: BudgetName,
    options?: ResetOptions,
  ) => Effect.Effect<Changed, BudgetError>;
  /** Takes back what an execution has consumed since usage was zero, once. */
  readonly release: (
    tenant: Tenant,
    execution: ExecutionId,
    options?: ReleaseOptions,
  ) => Effect.Effect<Released, BudgetError>;
  readonly describe: (
    tenant: Tenant,
    name: BudgetName,
  ) => Effect.Effect<Budget, ReadError | BudgetNotFound>;
  /** All budgets of a tenant, by name. It reads what is kept of each, so it is for people. */
  readonly list: (tenant: Tenant) => Effect.Effect<ReadonlyArray<Budget>, ReadError>;
  /** Removes a budget with everything about it; says whether there was one. */
  readonly delete: (tenant: Tenant, name: BudgetName) => Effect.Effect<boolean, BudgetError>;
  /** What happened to the budgets of a tenant, as far as it is kept, and what will; ends only with an error. */
  readonly changes: (
    tenant: Tenant,
    options?: ReadOptions,
  ) => Stream.Stream<BudgetChange, ReadError>;
}>()("@weir/weir/streams/Budgets") {}

/** Budgets on a log, by whoever does what is asked of them. */
export const makeBudgets = (
  log: Log["Service"],
  clock: ServerClock["Service"],
  clerk: Clerk,
): Budgets["Service"] => {
  const { shelf } = clerk;

  /** All budgets of a tenant in which an execution may have spent something. */
  const spentIn = Effect.fnUntraced(function* (tenant: Tenant, execution: ExecutionId) {
    const all = yield* shelf.list(tenant);
    return all.flatMap(([name, { state }]) =>
      state !== undefined &&
        (hasMovedSpendings(state) || spendingOf(state, execution) !== undefined)
        ? [name]
        : []
    );
  });

  return Budgets.of({
    allocate: Effect.fn("Budgets.allocate")(function* (tenant, name, limits, options = {}) {
      return yield* clerk.do(tenant, yield* Input.allocate(name, limits, options));
    }),
    consume: Effect.fn("Budgets.consume")(function* (tenant, names, amounts, options = {}) {
      return yield* clerk.do(tenant, yield* Input.consume(names, amounts, options));
    }),
    replenish: Effect.fn("Budgets.replenish")(function* (tenant, name, limits, options = {}) {
      return yield* clerk.do(tenant, yield* Input.replenish(name, limits, options));
    }),
    reset: Effect.fn("Budgets.reset")(function* (tenant, name, options = {}) {
      return yield* clerk.do(tenant, yield* Input.reset(name, options));
    }),
    release: Effect.fn("Budgets.release")(function* (tenant, execution, { budgets, key } = {}) {
      const names = budgets === undefined
        ? yield* spentIn(tenant, execution)
        : yield* Input.stackOf(budgets);
      const amounts: Array<readonly [string, Amounts]> = [];
      for (let i = 0; i < names.length; i += Input.maxStack) {
        const some = names.slice(i, i + Input.maxStack);
        const released = yield* clerk.do(tenant, {
          type: "release",
          budgets: some,
          execution,
          ...(key === undefined ? {} : { key }),
        });
        amounts.push(...Object.entries(released.amounts));
      }
      const outcome = amounts.length === 0 ? "nothingSpent" : "released";
      return { outcome, amounts: Object.fromEntries(amounts) };
    }),
    describe: Effect.fn("Budgets.describe")(function* (tenant, name) {
      const now = yield* clock.now;
      const { state } = atTime(yield* shelf.look(tenant, name), now);
      return state === undefined
        ? yield* new BudgetNotFound({ budget: name })
        : describe(name, state);
    }),
    list: Effect.fn("Budgets.list")(function* (tenant) {
      const now = yield* clock.now;
      const all = yield* shelf.list(tenant);
      return all.flatMap(([name, held]) => {
        const { state } = atTime(held, now);
        return state === undefined ? [] : [describe(name, state)];
      });
    }),
    delete: Effect.fn("Budgets.delete")(function* (tenant, name) {
      const { outcome } = yield* clerk.do(tenant, { type: "delete", budgets: [name] });
      return outcome === "deleted";
    }),
    changes: (tenant, options) =>
      log.follow(budgetFilter(log.layout, tenant), options).pipe(
        Stream.mapEffect((entry): Effect.Effect<ReadonlyArray<BudgetChange>, ReadError> => {
          const { subject, sequence, at } = entry;
          const name = budgetOfSubject(subject);
          if (name === undefined) return Effect.succeed([]);
          if (entry.removed) {
            const events: ReadonlyArray<BudgetEvent> = [{ type: "deleted" }];
            return Effect.succeed([{ name, sequence, at, events, budget: undefined }]);
          }
          return Effect.map(budgetRecord.decode(entry.body, entry), ({ events, ...state }) => [
            {
              name,
              sequence,
              at,
              events: events.filter(isBudgetEvent),
              budget: describe(name, state),
            },
          ]);
        }),
        Stream.flattenIterable,
      ),
  });
};

const make = Effect.gen(function* () {
  const log = yield* Log;
  const clock = yield* ServerClock;
  return makeBudgets(log, clock, yield* makeClerk(log, clock));
});

export const layer: Layer.Layer<Budgets, never, Log | ServerClock> = Layer.effect(Budgets, make);
