/**
 * Consuming from budgets as a step: what its journal says it has consumed was counted once, however
 * often the step was tried, since the step's idempotency key names it. What is refused is recorded as
 * well; whether it is an end is decided elsewhere.
 */
import { createHash } from "node:crypto";
import * as Effect from "effect/Effect";
import type * as Schema from "effect/Schema";
import { type Amounts, BudgetKey, type BudgetName } from "../../schema/budget.ts";
import type { Consumed, ConsumeOptions } from "../../streams/budgets.ts";
import type { Host } from "./host.ts";
import type { Operations } from "./operations.ts";

export interface ConsumeStepOptions extends Omit<ConsumeOptions, "key" | "execution"> {
  /** Those that the execution is bound to, if left out. */
  readonly budgets?: ReadonlyArray<BudgetName>;
}

/** A key of any length, as budgets take it. */
const keyOf = (idempotencyKey: string): BudgetKey =>
  BudgetKey.make(createHash("sha256").update(idempotencyKey).digest("base64url"));

export const consumeFor =
  (host: Host, run: Operations["run"]): Operations["consume"] =>
  (name, amounts: Amounts, { budgets, ...options } = {}) =>
    Effect.map(
      run(
        name,
        ({ idempotencyKey }) =>
          host.budgets.consume(
            host.tenant,
            budgets ?? host.bound.map(({ name }) => name),
            amounts,
            { ...options, execution: host.execution, key: keyOf(idempotencyKey) },
          ),
        { retry: { attempts: 5 } },
      ),
      // What the step gave, as the journal has it.
      (consumed) => consumed as Schema.Json as unknown as Consumed,
    );
