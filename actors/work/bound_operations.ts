/**
 * The operations of code that is bound to budgets: before anything new is begun the budgets are looked
 * at, and if one has nothing left, its binding says what follows. What the journal has is never looked
 * at again, so that a replay does what the first run did; and what undoes a cancelled execution is
 * held up by nothing.
 */
import * as Effect from "effect/Effect";
import type { Amounts, BudgetName } from "../../schema/budget.ts";
import { BudgetExhausted } from "../../schema/execution_errors.ts";
import type { Bound, OnExhausted } from "../../schema/task.ts";
import type { OperationError, Operations } from "../engine/operations.ts";

/** How much must be left for a consumption, of the dimensions of which anything is consumed. */
const needsOf = (amounts: Amounts, leave: Amounts = {}): Amounts =>
  Object.fromEntries(
    Object.entries(amounts).flatMap(([name, amount]) =>
      amount > 0 ? [[name, amount + (Object.hasOwn(leave, name) ? leave[name]! : 0)]] : []
    ),
  );

export const boundOperations = (
  operations: Operations,
  bound: ReadonlyArray<Bound>,
  timeoutMs: number | undefined,
): Operations => {
  const { room, execution } = operations;
  const namesOf = (policy: OnExhausted) =>
    bound.flatMap(({ name, onExhausted }) => onExhausted === policy ? [name] : []);
  const [suspending, failing] = [namesOf("suspend"), namesOf("fail")];

  /** What waited is another attempt for the clock. */
  const wait = (budgets: ReadonlyArray<BudgetName>, needs?: Amounts) =>
    Effect.flatMap(
      room.of(budgets, needs),
      (hasWaited) => hasWaited ? operations.beginAttempt(timeoutMs) : Effect.void,
    );

  const before = Effect.fnUntraced(function* (
    name: string,
    needs?: Amounts,
    of: ReadonlyArray<string> = [],
  ): Effect.fn.Return<void, OperationError> {
    const isBegun = operations.isNextKnown(name);
    const lack = yield* room.lack(name, failing, isBegun);
    if (lack !== undefined) return yield* new BudgetExhausted({ execution, ...lack });
    if (isBegun) return;
    yield* wait(suspending.filter((budget) => !of.includes(budget)));
    yield* wait(suspending.filter((budget) => of.includes(budget)), needs);
  });

  const consume: Operations["consume"] = (name, amounts, options = {}) =>
    Effect.gen(function* () {
      const { budgets = bound.map(({ name }) => name), overage, leave } = options;
      for (;;) {
        // What has been used is counted whatever is left.
        if (overage !== "allow") yield* before(name, needsOf(amounts, leave), budgets);
        const consumed = yield* operations.consume(name, amounts, options);
        if (consumed.outcome !== "hardBreach") return consumed;
        const fails = consumed.breaches.find(({ budget }) => failing.includes(budget));
        if (fails !== undefined) {
          const { budget, dimension } = fails;
          return yield* new BudgetExhausted({ execution, budget, dimension });
        }
        if (!consumed.breaches.some(({ budget }) => suspending.includes(budget))) return consumed;
      }
    });

  return {
    ...operations,
    run: (name, ...rest) => Effect.andThen(before(name), operations.run(name, ...rest)),
    call: (name, ...rest) => Effect.andThen(before(name), operations.call(name, ...rest)),
    spawn: (name, ...rest) => Effect.andThen(before(name), operations.spawn(name, ...rest)),
    consume,
  };
};
