/**
 * `weir budgets`: how much of what a tenant may use, and has used. A consumption that a limit forbids
 * ends with 1, so that a script stops there.
 */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { BudgetKey, BudgetName } from "../../schema/budget.ts";
import { ExecutionId, parse } from "../../schema/ids.ts";
import { type Breach, Budgets } from "../../streams/budgets.ts";
import { amounts, columns, limits, lines } from "../budget_words.ts";
import { Unwell } from "../failure.ts";
import { checked, given, id } from "../flags.ts";
import { printList, printOne } from "../report.ts";
import { existing, layer, tenant } from "../root.ts";

const name = Argument.String("name").pipe(Argument.withDescription("Name of the budget"));

const key = Flag.String("key").pipe(
  Flag.withMetavar("text"),
  Flag.withDescription("Under which it happens once, however often it is asked for"),
  Flag.optional,
);

const parseName = (text: string) => parse(BudgetName, "budget name", text);

const keyed = (text: Option.Option<string>) =>
  Effect.map(checked(BudgetKey, "key", text), (key) => given("key", key));

/** Prints the budget that was changed, and how. */
const printChanged = Effect.fnUntraced(function* (
  budget: BudgetName,
  { outcome }: { readonly outcome: string },
  done: string,
) {
  const text = outcome === "ok" ? done : "was done under this key before";
  yield* printOne({ budget, outcome }, [`${budget}  ${text}`]);
});

const allocate = Command.make("allocate", {
  name,
  limits,
  resetEvery: Flag.String("reset-every").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(`How often usage returns to zero, like "1 day"; never ends it`),
    Flag.optional,
  ),
  key,
}, ({ name: text, limits, resetEvery, key }) =>
  Effect.gen(function* () {
    const budget = yield* parseName(text);
    const changed = yield* (yield* Budgets).allocate(
      yield* tenant,
      budget,
      Object.fromEntries(limits),
      {
        ...given("resetEvery", resetEvery as Option.Option<Duration.Input | "never">),
        ...yield* keyed(key),
      },
    );
    yield* printChanged(budget, changed, "allocated");
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Give a budget limits in place of those that it has"),
    Command.withExamples([
      { command: `weir budgets allocate tenant token=1000000 costCents=5000/4000` },
      { command: `weir budgets allocate task:t-1 token=1000 --reset-every "1 day"` },
    ]),
  );

const breachText = ({ budget, dimension, limit, used }: Breach): string =>
  `${budget}  ${dimension}: ${used} of ${limit} used`;

const consume = Command.make("consume", {
  name,
  amounts,
  others: Flag.String("with").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Another budget that it counts in as well; as often as needed"),
    Flag.atLeast(0),
  ),
  execution: Flag.String("execution").pipe(
    Flag.withMetavar("id"),
    Flag.withDescription("Who consumes, to be taken back with release"),
    Flag.optional,
  ),
  overage: Flag.Boolean("overage").pipe(
    Flag.withDescription("It has been consumed already: count it even above the limits"),
    Flag.withDefault(false),
  ),
  key,
}, ({ name, amounts, others, execution, overage, key }) =>
  Effect.gen(function* () {
    const budgets = yield* Effect.forEach([name, ...others], parseName);
    const consumed = yield* (yield* Budgets).consume(
      yield* tenant,
      budgets,
      Object.fromEntries(amounts),
      {
        ...given("execution", yield* checked(ExecutionId, "execution id", execution)),
        ...(overage ? { overage: "allow" } : {}),
        ...yield* keyed(key),
      },
    );
    const { outcome } = consumed;
    const breaches = "breaches" in consumed ? consumed.breaches.map(breachText) : [];
    const said = {
      ok: "consumed",
      softBreach: "consumed, above a soft limit",
      hardBreach: "refused by a hard limit",
      alreadyApplied: "was done under this key before",
    }[outcome];
    yield* printOne(consumed, [`${budgets.join(", ")}  ${said}`, ...breaches]);
    if (outcome === "hardBreach") return yield* Effect.fail(new Unwell());
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Count what is consumed, unless a hard limit forbids it"),
    Command.withExamples([
      { command: "weir budgets consume task:t-1 token=120 costCents=3 --with tenant --key t-1/7" },
    ]),
  );

const replenish = Command.make(
  "replenish",
  { name, limits, key },
  ({ name, limits, key }) =>
    Effect.gen(function* () {
      const budget = yield* parseName(name);
      const given = Object.fromEntries(limits);
      const changed = yield* (yield* Budgets).replenish(
        yield* tenant,
        budget,
        given,
        yield* keyed(key),
      );
      yield* printChanged(budget, changed, "replenished");
    }).pipe(Effect.provide(layer())),
).pipe(
  Command.withDescription("Set new limits, and have usage of them begin at zero"),
  Command.withExamples([{ command: "weir budgets replenish task:t-1 token=1000" }]),
);

const reset = Command.make("reset", {
  name,
  dimensions: Argument.String("dimensions").pipe(
    Argument.withMetavar("dimension"),
    Argument.withDescription("Only of these; of all, if left out"),
    Argument.variadic(),
  ),
  key,
}, ({ name, dimensions, key }) =>
  Effect.gen(function* () {
    const budget = yield* parseName(name);
    const changed = yield* (yield* Budgets).reset(yield* tenant, budget, {
      ...(dimensions.length === 0 ? {} : { dimensions }),
      ...yield* keyed(key),
    });
    yield* printChanged(budget, changed, "reset");
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Have usage begin at zero under the same limits"),
    Command.withExamples([{ command: "weir budgets reset task:t-1 token" }]),
  );

const release = Command.make("release", {
  id,
  budgets: Flag.String("budget").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Only from this one; as often as needed"),
    Flag.atLeast(0),
  ),
}, ({ id, budgets }) =>
  Effect.gen(function* () {
    const names = yield* Effect.forEach(budgets, parseName);
    const execution = yield* parse(ExecutionId, "execution id", id);
    const released = yield* (yield* Budgets).release(
      yield* tenant,
      execution,
      names.length === 0 ? {} : { budgets: names },
    );
    const given = Object.entries(released.amounts).map(([budget, amounts]) => {
      const sums = Object.entries(amounts).map(([dimension, sum]) => `${dimension}=${sum}`);
      return `${budget}  ${sums.join(" ")} given back`;
    });
    const plain = given.length === 0 ? [`${execution}  nothing to give back`] : given;
    yield* printOne({ execution, ...released }, plain);
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Take back what an execution has consumed"),
    Command.withExamples([{ command: "weir budgets release order/o-1" }]),
  );

const describe = Command.make("describe", { name }, ({ name }) =>
  Effect.gen(function* () {
    const budget = yield* (yield* Budgets).describe(yield* tenant, yield* parseName(name));
    yield* printOne(budget, lines(budget));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Show what is used of a budget"),
    Command.withExamples([{ command: "weir budgets describe task:t-1" }]),
  );

const ls = Command.make("ls", {}, () =>
  Effect.gen(function* () {
    yield* printList(columns, yield* (yield* Budgets).list(yield* tenant));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the budgets of the tenant"),
  );

const forget = Command.make("delete", { name }, ({ name: text }) =>
  Effect.gen(function* () {
    const budget = yield* parseName(text);
    const deleted = yield* (yield* Budgets).delete(yield* tenant, budget);
    yield* printOne({ budget, deleted }, [
      `${budget}  ${deleted ? "deleted" : "was not there"}`,
    ]);
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Remove a budget with everything about it"),
    Command.withExamples([{ command: "weir budgets delete task:t-1" }]),
  );

export const budgets = Command.make("budgets").pipe(
  Command.withDescription("Look after what a tenant may use"),
  Command.withSubcommands([allocate, consume, replenish, reset, release, describe, ls, forget]),
);
