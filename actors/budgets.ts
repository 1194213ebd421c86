/**
 * The budgets of a tenant for callers that use promises. It checks what a caller gives, which no type
 * may have seen, and leaves the counting to the service.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import { type Amounts, type Budget, BudgetKey, BudgetName } from "../schema/budget.ts";
import { ExecutionId, parse, Tenant } from "../schema/ids.ts";
import {
  type AllocateOptions,
  Budgets,
  type Changed,
  type Consumed,
  type ConsumeOptions,
  type LimitInputs,
  type Released,
  type ResetOptions,
} from "../streams/budgets.ts";

export interface BudgetOptions {
  /** The connection's, if left out. */
  readonly tenant?: string;
}

export interface ChangeBudgetOptions extends BudgetOptions {
  /** Under which it happens once, however often it is asked for; remembered for 7 days at least. */
  readonly key?: string;
}

export interface AllocateBudgetOptions extends ChangeBudgetOptions, Omit<AllocateOptions, "key"> {}

export interface ConsumeBudgetOptions
  extends ChangeBudgetOptions, Omit<ConsumeOptions, "key" | "execution"> {
  /** The execution that consumes, so that it can be taken back with `release`. */
  readonly execution?: string;
}

export interface ResetBudgetOptions extends ChangeBudgetOptions, Omit<ResetOptions, "key"> {}

export interface ReleaseBudgetOptions extends BudgetOptions {
  /** All of the tenant, if left out, which takes a look at each. */
  readonly budgets?: ReadonlyArray<string>;
}

export interface BudgetVerbs {
  /** Gives a budget limits for some dimensions in place of theirs; what is used stays. */
  allocate(name: string, limits: LimitInputs, options?: AllocateBudgetOptions): Promise<Changed>;
  /** Counts what is consumed in all of these budgets, or in none. */
  consume(
    names: string | ReadonlyArray<string>,
    amounts: Amounts,
    options?: ConsumeBudgetOptions,
  ): Promise<Consumed>;
  /** Gives dimensions a new limit, and has their usage begin at zero. */
  replenish(name: string, limits: LimitInputs, options?: ChangeBudgetOptions): Promise<Changed>;
  /** Has usage begin at zero under the same limits. */
  reset(name: string, options?: ResetBudgetOptions): Promise<Changed>;
  /** Takes back what an execution has consumed since usage was zero, once. */
  release(execution: string, options?: ReleaseBudgetOptions): Promise<Released>;
  describe(name: string, options?: BudgetOptions): Promise<Budget>;
  /** All budgets of the tenant, by name. */
  list(options?: BudgetOptions): Promise<ReadonlyArray<Budget>>;
  /** Removes a budget with everything about it; says whether there was one. */
  delete(name: string, options?: BudgetOptions): Promise<boolean>;
}

type Runtime = ManagedRuntime.ManagedRuntime<Budgets, unknown>;

const parseName = (name: string) => parse(BudgetName, "budget name", name);
const parseNames = (names: ReadonlyArray<string>) => Effect.forEach(names, parseName);
const parseExecution = (id: string) => parse(ExecutionId, "execution id", id);

/** The verbs for budgets, those of one tenant unless another is named. */
export const makeBudgets = (runtime: Runtime, tenant: Tenant): BudgetVerbs => {
  const parseTenant = ({ tenant: other }: BudgetOptions) =>
    other === undefined ? Effect.succeed(tenant) : parse(Tenant, "tenant", other);

  const parseKey = Effect.fnUntraced(function* ({ key }: ChangeBudgetOptions) {
    return key === undefined ? {} : { key: yield* parse(BudgetKey, "key", key) };
  });

  const run = <A, E>(
    options: BudgetOptions,
    act: (budgets: Budgets["Service"], tenant: Tenant) => Effect.Effect<A, E>,
  ): Promise<A> =>
    runtime.runPromise(Effect.gen(function* () {
      return yield* act(yield* Budgets, yield* parseTenant(options));
    }));

  return {
    allocate: (name, limits, options = {}) =>
      run(options, (budgets, of) =>
        Effect.gen(function* () {
          const { resetEvery } = options;
          return yield* budgets.allocate(of, yield* parseName(name), limits, {
            ...(resetEvery === undefined ? {} : { resetEvery }),
            ...yield* parseKey(options),
          });
        })),
    consume: (names, amounts, options = {}) =>
      run(options, (budgets, of) =>
        Effect.gen(function* () {
          const { tenant: _, key: __, execution, ...rest } = options;
          const stack = yield* parseNames(typeof names === "string" ? [names] : names);
          return yield* budgets.consume(of, stack, amounts, {
            ...rest,
            ...(execution === undefined ? {} : { execution: yield* parseExecution(execution) }),
            ...yield* parseKey(options),
          });
        })),
    replenish: (name, limits, options = {}) =>
      run(options, (budgets, of) =>
        Effect.gen(function* () {
          const key = yield* parseKey(options);
          return yield* budgets.replenish(of, yield* parseName(name), limits, key);
        })),
    reset: (name, options = {}) =>
      run(options, (budgets, of) =>
        Effect.gen(function* () {
          const { dimensions } = options;
          return yield* budgets.reset(of, yield* parseName(name), {
            ...(dimensions === undefined ? {} : { dimensions }),
            ...yield* parseKey(options),
          });
        })),
    release: (execution, options = {}) =>
      run(options, (budgets, of) =>
        Effect.gen(function* () {
          const { budgets: names } = options;
          return yield* budgets.release(
            of,
            yield* parseExecution(execution),
            names === undefined ? {} : { budgets: yield* parseNames(names) },
          );
        })),
    describe: (name, options = {}) =>
      run(
        options,
        (budgets, of) =>
          Effect.flatMap(parseName(name), (checked) => budgets.describe(of, checked)),
      ),
    list: (options = {}) => run(options, (budgets, of) => budgets.list(of)),
    delete: (name, options = {}) =>
      run(
        options,
        (budgets, of) => Effect.flatMap(parseName(name), (checked) => budgets.delete(of, checked)),
      ),
  };
};
