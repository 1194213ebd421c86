/**
 * `weir submit`: starts an execution as a task, or all tasks of a file. A file says everything of its
 * tasks, and a word in it that nobody knows is refused, since it may be a typing error.
 */
import { readFile } from "node:fs/promises";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Argument from "effect/cli/Argument";
import * as CliError from "effect/cli/CliError";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions, type StartedExecution } from "../../actors/executions.ts";
import { InvalidInput } from "../../schema/errors.ts";
import { ActorName, Lane, parse } from "../../schema/ids.ts";
import { Json } from "../../schema/json.ts";
import { BoundInput, QueuedInput, Safety } from "../../schema/task.ts";
import { given } from "../flags.ts";
import { type Column, json, printList } from "../report.ts";
import { layer, tenant } from "../root.ts";
import {
  actor,
  checkQueue,
  deadline,
  delay,
  input,
  printStarted,
  startFlags,
  startOptions,
  stateOf,
  taskFlags,
  taskOptions,
  wait,
} from "../start_flags.ts";

const Duration = Schema.DurationFromString;

/** A task of a file, as `weir.submitAll` takes it. */
const TaskOfFile = Schema.Struct({
  actor: ActorName,
  input: Schema.optionalKey(Json),
  id: Schema.optionalKey(Schema.String),
  after: Schema.optionalKey(Schema.Array(Schema.String)),
  parent: Schema.optionalKey(Schema.String),
  retry: Schema.optionalKey(Schema.Struct({
    attempts: Schema.optionalKey(Schema.Number),
    backoff: Schema.optionalKey(Schema.Literals(["fixed", "exponential"])),
    delay: Schema.optionalKey(Duration),
    factor: Schema.optionalKey(Schema.Number),
    maxDelay: Schema.optionalKey(Duration),
    jitter: Schema.optionalKey(Schema.Boolean),
  })),
  timeout: Schema.optionalKey(Duration),
  delay: Schema.optionalKey(Duration),
  deadline: Schema.optionalKey(Duration),
  queue: Schema.optionalKey(Schema.Union([Schema.String, QueuedInput])),
  budgets: Schema.optionalKey(Schema.Array(Schema.Union([Schema.String, BoundInput]))),
  safety: Schema.optionalKey(Safety),
  description: Schema.optionalKey(Schema.String),
  tags: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  lane: Schema.optionalKey(Lane),
  requires: Schema.optionalKey(Schema.Array(Schema.String)),
  priority: Schema.optionalKey(Schema.Number),
  unserved: Schema.optionalKey(Schema.Boolean),
});
const decodeTasks = Schema.decodeUnknownEffect(Schema.Array(TaskOfFile));

const readTasks = Effect.fnUntraced(function* (file: string) {
  const refused = (rule: string) => new InvalidInput({ what: "tasks", value: file, rule });
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: () => refused("there is no such file to read"),
  });
  const value = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (error) => refused(`expected JSON: ${(error as Error).message}`),
  });
  return yield* Effect.mapError(
    decodeTasks(value, { onExcessProperty: "error" }),
    ({ message }) => refused(message),
  );
});

const columns: ReadonlyArray<Column<StartedExecution>> = [
  { title: "EXECUTION", of: ({ execution }) => execution },
  { title: "STATE", of: (started) => stateOf(started, "submitted") },
];

interface Ended extends StartedExecution {
  readonly result: Schema.Json | undefined;
}

const resultColumns: ReadonlyArray<Column<Ended>> = [
  { title: "EXECUTION", of: ({ execution }) => execution },
  { title: "RESULT", of: ({ result }) => json(result ?? null) },
];

const submitFile = Effect.fnUntraced(function* (file: string, wait: boolean) {
  const executions = yield* Executions;
  const requests = (yield* readTasks(file)).map(({ actor, input, ...options }) => ({
    actor,
    input,
    options,
  }));
  const started = yield* executions.startAll(yield* tenant, requests);
  if (!wait) return yield* printList(columns, started);
  const ended = yield* Effect.forEach(
    started,
    (each) => Effect.map(executions.result(each), (result): Ended => ({ ...each, result })),
    { concurrency: 16 },
  );
  yield* printList(resultColumns, ended);
});

/** Whether a flag was given. */
const isGiven = (value: unknown): boolean =>
  Option.isOption(value) ? Option.isSome(value) : Array.isArray(value) ? value.length > 0 : !!value;

export const submit = Command.make(
  "submit",
  {
    actor: Argument.optional(actor),
    input,
    file: Flag.String("file").pipe(
      Flag.withMetavar("path"),
      Flag.withDescription("All tasks of this JSON file: an array, as weir.submitAll takes it"),
      Flag.optional,
    ),
    ...startFlags,
    ...taskFlags,
    delay,
    deadline,
    wait,
  },
  ({ actor, input, file, delay, deadline, wait, ...flags }) =>
    Effect.gen(function* () {
      if (Option.isSome(file)) return yield* submitFile(file.value, wait);
      const started = yield* (yield* Executions).start(
        yield* parse(ActorName, "actor name", Option.getOrThrow(actor)),
        yield* tenant,
        Option.getOrUndefined(input),
        {
          ...yield* startOptions(flags),
          ...taskOptions(flags),
          ...given("delay", delay),
          ...given("deadline", deadline),
        },
      );
      yield* printStarted(started, "submitted", wait);
    }).pipe(Effect.provide(layer())),
).pipe(
  Command.validate(({ file, actor, wait: _, ...rest }) =>
    Option.isSome(file) === Option.isSome(actor) ||
      Option.isSome(file) && Object.values(rest).some(isGiven)
      ? Effect.fail(
        new CliError.ValidationError({
          message: "Say what to submit: an actor, or --file, which says everything of its tasks",
        }),
      )
      : checkQueue(rest)
  ),
  Command.withDescription("Submit a task, which may come after others, or a file of tasks"),
  Command.withExamples([
    { command: `weir submit load '"sales"' --after extract/e-1 --attempts 5 --timeout "1 hour"` },
    { command: "weir submit charge --queue cards --key c-1" },
    { command: "weir submit --file tasks.json" },
  ]),
);
