/** What the suites of budgets have in common: a budget of a tenant of its own, and how it is used. */
import { it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type * as Scope from "effect/Scope";
import { BudgetKey, BudgetName } from "../../../schema/budget.ts";
import { ExecutionId, type Tenant } from "../../../schema/ids.ts";
import { Budgets, layer as layerBudgets } from "../../../streams/budgets.ts";
import type { Log } from "../../../streams/log.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";

export type Services = Budgets | Log | ServerClock;

export const named = (name: string): BudgetName => BudgetName.make(name);
export const key = (text: string): BudgetKey => BudgetKey.make(text);
export const execution = (text: string): ExecutionId => ExecutionId.make(text);

export const task = named("task:t-1");
export const flow = named("flow: f.1/é");
export const whole = named("tenant");

/** A tenant nobody else uses, and its budgets. */
export const scene: Effect.Effect<
  { readonly budgets: Budgets["Service"]; readonly tenant: Tenant },
  never,
  Budgets
> = Effect.map(Budgets, (budgets) => ({ budgets, tenant: uniqueTenant() }));

/** Budgets as another process has them, which knows nothing of what this one does. */
export const another: Effect.Effect<Budgets["Service"], never, Log | ServerClock | Scope.Scope> =
  Effect.map(
    Layer.build(Layer.fresh(layerBudgets)),
    (services) => Context.get(services, Budgets),
  );

export type Test = (
  title: string,
  effect: Effect.Effect<unknown, unknown, Services | Scope.Scope>,
) => void;

export const testsWith = (run: Run<Services>): Test => (title, effect) =>
  void it(title, () => run(Effect.asVoid(Effect.scoped(effect))));
