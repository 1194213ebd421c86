/**
 * A process that runs workflows or only calls them, on the engine that it was told of. It times what
 * it is asked for by its own clock and checks every result.
 */
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Logger from "effect/Logger";
import * as ManagedRuntime from "effect/ManagedRuntime";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as DurableDeferred from "effect/workflow/DurableDeferred";
import type { WorkflowEngine } from "effect/workflow/WorkflowEngine";
import { answering, type Child, startChild } from "../child_process.ts";
import { wallMs } from "../clock.ts";
import { type Engine, layerEngine, type Role } from "./engines.ts";
import { activitiesPerformed, Go, layerWorkflows, Sleeper, Steps, Waiter } from "./workflows.ts";

interface Options {
  readonly engine: Engine;
  readonly role: Role;
}

export type Question =
  /** Answers with the milliseconds of each, from the call until its result. */
  | {
    readonly what: "steps";
    readonly names: ReadonlyArray<string>;
    readonly count: number;
    readonly atOnce: number;
  }
  /** Answers with how late each sleep has ended, in milliseconds; they are started so far apart. */
  | { readonly what: "sleep"; readonly names: ReadonlyArray<string>; readonly everyMs: number }
  /** Answers when all of them wait. */
  | { readonly what: "park"; readonly names: ReadonlyArray<string>; readonly count: number }
  /** Answers with the milliseconds of each, one after another, from the word until its result. */
  | { readonly what: "wake"; readonly names: ReadonlyArray<string>; readonly count: number }
  /** Has one go on, and waits for nothing. */
  | { readonly what: "go"; readonly name: string }
  /** Answers with how long after the end the caller knew each result, in milliseconds. */
  | { readonly what: "call"; readonly names: ReadonlyArray<string> };

const check = (what: string, found: unknown, expected: unknown): void => {
  if (found !== expected) throw new Error(`${what}: ${found}, and not ${expected}`);
};
const sumTo = (count: number): number => count * (count + 1) / 2;

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const begun = performance.now();
    return Effect.map(effect, (value) => ({ value, tookMs: performance.now() - begun }));
  });

const runSteps = Effect.fnUntraced(function* (
  { names, count, atOnce }: Extract<Question, { readonly what: "steps" }>,
) {
  const before = activitiesPerformed();
  const ended = yield* Effect.forEach(
    names,
    (id) => timed(Steps.execute({ id, count })),
    { concurrency: atOnce },
  );
  for (const { value } of ended) check("the result", value, sumTo(count));
  check("activities", activitiesPerformed() - before, names.length * count);
  return ended.map(({ tookMs }) => tookMs);
});

const sleep = ({ names, everyMs }: Extract<Question, { readonly what: "sleep" }>) =>
  Effect.forEach(
    names,
    (id, i) => Effect.delay(Sleeper.execute({ id }), i * everyMs),
    { concurrency: "unbounded" },
  );

const isParked = (executionId: string) =>
  Waiter.poll(executionId).pipe(
    Effect.repeat({
      until: (found) => Option.isSome(found) && found.value._tag === "Suspended",
      schedule: Schedule.spaced("100 millis"),
    }),
    Effect.timeout("60 seconds"),
  );

const park = Effect.fnUntraced(function* (
  { names, count }: Extract<Question, { readonly what: "park" }>,
) {
  const before = activitiesPerformed();
  yield* Effect.forEach(
    names,
    (id) => Effect.flatMap(Waiter.execute({ id, count }, { discard: true }), isParked),
    {
      concurrency: 20,
      discard: true,
    },
  );
  check("activities", activitiesPerformed() - before, names.length * count);
});

const go = Effect.fnUntraced(function* (id: string) {
  const payload = { id, count: 0 }; // Only its id is looked at.
  const token = yield* DurableDeferred.tokenFromPayload(Go, { workflow: Waiter, payload });
  yield* DurableDeferred.succeed(Go, { token, value: undefined });
});

const wake = Effect.fnUntraced(function* (
  { names, count }: Extract<Question, { readonly what: "wake" }>,
) {
  const before = activitiesPerformed();
  const ended = yield* Effect.forEach(
    names,
    (id) => timed(Effect.andThen(go(id), Waiter.execute({ id, count }))),
  );
  for (const { value } of ended) check("the result", value.sum, sumTo(count));
  check("activities that ran again", activitiesPerformed() - before, 0);
  return ended.map(({ tookMs }) => tookMs);
});

const call = ({ names }: Extract<Question, { readonly what: "call" }>) =>
  Effect.forEach(
    names,
    (id) => Effect.map(Waiter.execute({ id, count: 0 }), ({ doneAtMs }) => wallMs() - doneAtMs),
    { concurrency: "unbounded" },
  );

const answerOf = (question: Question): Effect.Effect<unknown, unknown, WorkflowEngine> => {
  switch (question.what) {
    case "steps":
      return runSteps(question);
    case "sleep":
      return sleep(question);
    case "park":
      return park(question);
    case "wake":
      return wake(question);
    case "go":
      return go(question.name);
    case "call":
      return call(question);
  }
};

const open = async ({ engine, role }: Options) => {
  const layer = layerEngine(engine, role);
  const runtime = ManagedRuntime.make(
    (role === "calls them" ? layer : layerWorkflows.pipe(Layer.provideMerge(layer))).pipe(
      // What is written to the standard output is answers.
      Layer.provide(Layer.succeed(Logger.LogToStderr, true)),
    ),
  );
  await runtime.context();
  return {
    answer: (question: Question): Promise<unknown> => runtime.runPromise(answerOf(question)),
    close: () => runtime.dispose(),
  };
};

export const startWorkflowProcess = (options: Options): Promise<Child<Question>> =>
  startChild(import.meta.url, options);

await answering(import.meta.url, open);
