/** `weir triggers` and `weir emit`: what is done when something happens, and events of one's own. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as CliError from "effect/cli/CliError";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import * as Triggers from "../../actors/triggers.ts";
import { RunState } from "../../schema/run_state.ts";
import { OutcomeType } from "../../schema/trigger.ts";
import { by, given, jsonArgument } from "../flags.ts";
import { type Column, fields, json, printList, printOne } from "../report.ts";
import { existing, layer, tenant } from "../root.ts";
import { iso } from "../screen.ts";

const id = Argument.String("id").pipe(Argument.withDescription("Id of the trigger"));

const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(description),
    Flag.optional,
  );

const jsonFlag = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("json"),
    Flag.withDescription(description),
    Flag.mapTryCatch(
      (text): unknown => JSON.parse(text),
      (error) => `Expected JSON, like '{"cents":4200}' or '"text"': ${(error as Error).message}`,
    ),
    Flag.optional,
  );

const isTrue = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false));

/** What it waits for: exactly one of the first four, and what belongs to that. */
const whenFlags = {
  completed: text("completed", "id or actor", "When this execution ends, or any of this actor"),
  state: text("state", "id", "When this execution comes into the state of --is"),
  budget: text("budget", "name", "When usage of this budget comes to --percent of a limit"),
  event: text("event", "key", "When somebody emits this event"),
  outcome: Flag.Literals("outcome", OutcomeType.literals).pipe(
    Flag.withDescription("With --completed: only if it ends so"),
    Flag.optional,
  ),
  is: Flag.Literals("is", RunState.literals).pipe(
    Flag.withDescription("With --state: which"),
    Flag.optional,
  ),
  dimension: text("dimension", "name", "With --budget: of which dimension"),
  percent: Flag.Int("percent").pipe(
    Flag.withDescription("With --budget: how much of the limit"),
    Flag.optional,
  ),
};

/** What it does: exactly one of the first three, and what belongs to that. */
const thenFlags = {
  promote: text("promote", "id", "Have this execution begin, or try again, now"),
  signal: text("signal", "id", "Send this execution the signal of --name"),
  submit: text("submit", "actor", "Submit a task of this actor"),
  name: text("name", "name", "With --signal: which"),
  payload: jsonFlag("payload", "With --signal: what it says; what has happened, if left out"),
  input: jsonFlag("input", "With --submit: what it is given; what has happened, if left out"),
};

type Given = Readonly<Record<string, Option.Option<unknown>>>;

/** The flags that were given, as properties. */
const said = (flags: Given): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(flags).flatMap(([name, value]) =>
      Option.isSome(value) ? [[name, value.value]] : []
    ),
  );

const hasOne = (flags: Given, names: ReadonlyArray<string>): boolean =>
  names.filter((name) => Option.isSome(flags[name]!)).length === 1;

const ofActor = (completed: unknown) =>
  typeof completed === "string" && !completed.includes("/") ? { actor: completed } : completed;

const whenText = (when: Triggers.TriggerDescription["when"]): string => {
  if ("event" in when) return `event ${when.event}`;
  if ("state" in when) return `${when.state} is ${when.is}`;
  if ("budget" in when) return `${when.percent}% of ${when.dimension} of ${when.budget}`;
  const { completed, outcome = "ends" } = when;
  return `${typeof completed === "string" ? completed : `any ${completed.actor}`} ${outcome}`;
};

const thenText = ({ promote, signal, submit, name }: Record<string, unknown>): string => {
  if (promote !== undefined) return `promote ${promote}`;
  return signal === undefined ? `submit ${submit}` : `signal ${signal} ${name}`;
};

const columns: ReadonlyArray<Column<Triggers.TriggerDescription>> = [
  { title: "TRIGGER", of: ({ id }) => id },
  {
    title: "STATE",
    of: ({ state }) => state,
    color: ({ state }) => state === "active" ? "green" : "dim",
  },
  { title: "FIRED", of: ({ fired }) => String(fired) },
  { title: "LAST", of: ({ last }) => last === undefined ? "-" : iso(last.at) },
  { title: "WHEN", of: ({ when }) => whenText(when) },
  { title: "THEN", of: ({ then }) => thenText(then) },
];

const lines = (found: Triggers.TriggerDescription): ReadonlyArray<string> => {
  const { last, refused } = found;
  return fields([
    ["trigger", found.id],
    ["when", whenText(found.when)],
    ["then", thenText(found.then)],
    ["fires", found.standing ? "each time" : "once"],
    ["state", found.state],
    ["fired", found.fired],
    ["created", iso(found.createdAt)],
    ["ended", found.endedAt === undefined ? undefined : iso(found.endedAt)],
    [
      "last",
      last === undefined ? undefined : `${iso(last.at)}  ${json(last.what) ?? ""}`.trimEnd(),
    ],
    ["failed", last?.failure && `${last.failure.name}: ${last.failure.message}`],
    ["refused", refused && `${iso(refused.at)}  too many triggers had led to it`],
  ]);
};

const create = Command.make("create", {
  id: text("id", "text", "Its name, so that creating it again creates nothing"),
  ...whenFlags,
  ...thenFlags,
  standing: isTrue("standing", "Fire each time, not once"),
  unserved: isTrue("unserved", "Create it even if no worker has ever kept triggers"),
  by,
}, (flags) =>
  Effect.gen(function* () {
    const { id, by, standing, unserved, ...rest } = flags;
    const { completed, state, budget, event, outcome, is, dimension, percent, ...then } = rest;
    const when = said({ completed, state, budget, event, outcome, is, dimension, percent });
    const created = yield* Triggers.create(yield* tenant, {
      ...given("id", id),
      ...given("by", by),
      when: {
        ...when,
        ...("completed" in when ? { completed: ofActor(when["completed"]) } : {}),
      } as unknown as Triggers.TriggerWhen,
      then: said(then) as unknown as Triggers.TriggerThen,
      standing,
      unserved,
    });
    const word = created.created ? "created" : "was there before";
    yield* printOne(created, [`${created.id}  ${word}`]);
  }).pipe(Effect.provide(layer()))).pipe(
    Command.validate((flags) => {
      const isClear =
        hasOne(flags as unknown as Given, ["completed", "state", "budget", "event"]) &&
        hasOne(flags as unknown as Given, ["promote", "signal", "submit"]);
      const message = "Say one thing that it waits for (--completed, --state, --budget or " +
        "--event), and one that it does (--promote, --signal or --submit)";
      return isClear ? Effect.void : Effect.fail(new CliError.ValidationError({ message }));
    }),
    Command.withDescription("Have something done when something happens"),
    Command.withExamples([
      { command: "weir triggers create --completed load/a --promote report/r" },
      { command: "weir triggers create --event paid --signal order/o-1 --name paid --standing" },
      {
        command: "weir triggers create --budget tenant --dimension token --percent 80 --standing " +
          "--submit alert",
      },
    ]),
  );

const ls = Command.make("ls", {}, () =>
  Effect.gen(function* () {
    yield* printList(columns, yield* Triggers.list(yield* tenant));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the triggers of the tenant; ended ones for seven days"),
  );

const describe = Command.make("describe", { id }, ({ id }) =>
  Effect.gen(function* () {
    const found = yield* Triggers.describe(yield* tenant, id);
    yield* printOne(found, lines(found));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Show a trigger, and what it fired for last"),
    Command.withExamples([{ command: "weir triggers describe on-paid" }]),
  );

const cancel = Command.make("cancel", { id, by }, ({ id, by }) =>
  Effect.gen(function* () {
    const found = yield* Triggers.cancel(yield* tenant, id, Option.getOrUndefined(by));
    yield* printOne(found, [`${found.id}  ${found.state}`]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("End a trigger; what it has fired for is done"),
    Command.withExamples([{ command: "weir triggers cancel on-paid" }]),
  );

export const triggers = Command.make("triggers").pipe(
  Command.withDescription("Look after what is done when something happens"),
  Command.withSubcommands([create, ls, describe, cancel]),
);

export const emit = Command.make("emit", {
  event: Argument.String("event").pipe(Argument.withDescription("What the event is called")),
  payload: jsonArgument("payload", "What it says"),
  id: text("id", "text", "Makes the event harmless if it is emitted again"),
  execution: text("execution", "id", "The execution that emits it"),
}, ({ event, payload, id, execution }) =>
  Effect.gen(function* () {
    const emitted = yield* Triggers.emit(
      yield* tenant,
      event,
      Option.getOrUndefined(payload),
      { ...given("id", id), ...given("execution", execution) },
    );
    const word = emitted.emitted ? "emitted" : "was emitted before";
    yield* printOne({ event, ...emitted }, [`${event}  ${word}`]);
  }).pipe(Effect.provide(layer()))).pipe(
    Command.withDescription("Emit an event for the triggers that wait for it"),
    Command.withExamples([{ command: `weir emit paid '{"cents":4200}' --id invoice-7` }]),
  );
