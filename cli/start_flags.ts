/** What the commands that start something take alike, and how they say what came of it. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as CliError from "effect/cli/CliError";
import * as Flag from "effect/cli/Flag";
import { Executions, type StartedExecution } from "../actors/executions.ts";
import type { TaskOptions } from "../actors/executions/task.ts";
import { Lane } from "../schema/ids.ts";
import { Bound, Queued } from "../schema/task.ts";
import { checked, duration, given, jsonArgument } from "./flags.ts";
import { json, printOne } from "./report.ts";

export const actor = Argument.String("actor").pipe(
  Argument.withDescription("Whose code it runs"),
);
export const input = jsonArgument("input", "What the code is given; nothing, if left out");

/** What every start takes. */
export const startFlags = {
  id: Flag.String("id").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Name of the execution within its actor (drawn at random)"),
    Flag.optional,
  ),
  tags: Flag.KeyValuePair("tag").pipe(
    Flag.withMetavar("name=value"),
    Flag.withDescription("A tag, like team.name=checkout; as often as there are tags"),
    Flag.optional,
  ),
  lane: Flag.String("lane").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("The workers that may take it up"),
    Flag.optional,
  ),
  requires: Flag.String("requires").pipe(
    Flag.withMetavar("capability"),
    Flag.withDescription("What a worker must be capable of; as often as needed"),
    Flag.atLeast(0),
  ),
  priority: Flag.Int("priority").pipe(
    Flag.withDescription("Before others of a lower one"),
    Flag.optional,
  ),
  unserved: Flag.Boolean("unserved").pipe(
    Flag.withDescription("Even if no worker has ever served the actor"),
    Flag.withDefault(false),
  ),
};

export const delay = duration("delay", "When it is to begin");
export const deadline = duration("deadline", "How long it may take in all");

export const wait = Flag.Boolean("wait").pipe(
  Flag.withAlias("w"),
  Flag.withDescription("Wait for the end and print the result"),
  Flag.withDefault(false),
);

/** What makes it a task. */
export const taskFlags = {
  after: Flag.String("after").pipe(
    Flag.withMetavar("id"),
    Flag.withDescription("An execution that must have succeeded before; as often as needed"),
    Flag.atLeast(0),
  ),
  parent: Flag.String("parent").pipe(
    Flag.withMetavar("id"),
    Flag.withDescription("The execution under way below which it is, and with which it ends"),
    Flag.optional,
  ),
  attempts: Flag.Int("attempts").pipe(
    Flag.withDescription("How often it is tried in all"),
    Flag.optional,
  ),
  retryDelay: duration("retry-delay", "The first pause between two attempts"),
  timeout: duration("timeout", "How long one attempt may take"),
  queue: Flag.String("queue").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("The queue in which it waits for its turn"),
    Flag.optional,
  ),
  key: Flag.String("key").pipe(
    Flag.withMetavar("text"),
    Flag.withDescription("What no more may hold at once than the queue says, with --queue"),
    Flag.optional,
  ),
  hold: Flag.Literals("hold", Queued.fields.hold.literals).pipe(
    Flag.withDescription("How long it keeps its turn, with --queue (through-retries)"),
    Flag.optional,
  ),
  budgets: Flag.String("budget").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("A budget that it is bound to; as often as needed"),
    Flag.atLeast(0),
  ),
  onExhausted: Flag.Literals("on-exhausted", Bound.fields.onExhausted.literals).pipe(
    Flag.withDescription("What becomes of it when a budget has nothing left (suspend)"),
    Flag.optional,
  ),
  description: Flag.String("description").pipe(
    Flag.withMetavar("text"),
    Flag.withDescription("What it is for, for who looks later"),
    Flag.optional,
  ),
};

/** What the flags of `F` give. */
type Values<F> = {
  readonly [Name in keyof F]: F[Name] extends Flag.Flag<infer A> ? A : never;
};

export const startOptions = Effect.fnUntraced(function* (
  { id, tags, lane, requires, priority, unserved }: Values<typeof startFlags>,
) {
  return {
    ...given("id", id),
    ...given("tags", tags),
    ...given("lane", yield* checked(Lane, "lane", lane)),
    ...(requires.length === 0 ? {} : { requires }),
    ...given("priority", priority),
    unserved,
  };
});

/** A key or a way to hold it says nothing without the queue. */
export const checkQueue = (
  { queue, key, hold }: Pick<Values<typeof taskFlags>, "queue" | "key" | "hold">,
) =>
  Option.isNone(queue) && (Option.isSome(key) || Option.isSome(hold))
    ? Effect.fail(new CliError.ValidationError({ message: "--key and --hold go with --queue" }))
    : Effect.void;

export const taskOptions = (
  flags: Values<typeof taskFlags>,
): TaskOptions => {
  const { after, parent, attempts, retryDelay, timeout, queue, key, hold, budgets, description } =
    flags;
  const retry = { ...given("attempts", attempts), ...given("delay", retryDelay) };
  return {
    ...(after.length === 0 ? {} : { after }),
    ...given("parent", parent),
    ...(Object.keys(retry).length === 0 ? {} : { retry }),
    ...given("timeout", timeout),
    ...(Option.isSome(queue)
      ? { queue: { name: queue.value, ...given("key", key), ...given("hold", hold) } }
      : {}),
    ...(budgets.length === 0
      ? {}
      : { budgets: budgets.map((name) => ({ name, ...given("onExhausted", flags.onExhausted) })) }),
    ...given("description", description),
  };
};

/** How it is told that there is something. */
export const stateOf = ({ created }: { readonly created: boolean }, verb: string): string =>
  created ? verb : "was there already";

/** Says that it was started, or waits for its end and prints the result. */
export const printStarted = Effect.fnUntraced(function* (
  started: StartedExecution,
  verb: string,
  wait: boolean,
) {
  if (!wait) {
    return yield* printOne(started, [`${started.execution}  ${stateOf(started, verb)}`]);
  }
  const result = yield* (yield* Executions).result(started);
  yield* printOne({ ...started, result }, [json(result ?? null)]);
});
