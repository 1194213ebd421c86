/**
 * `weir schedule`: has a task run by a count or a calendar, and steers what does. Like other verbs
 * these are messages: that it was stored is all they say, and `weir schedule show` what came of it.
 */
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as CliError from "effect/cli/CliError";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions } from "../../actors/executions.ts";
import * as Schedules from "../../actors/executions/schedules.ts";
import type { ScheduleOptions } from "../../actors/executions/task.ts";
import { runsTag } from "../../actors/tags.ts";
import { schedulesTag } from "../../actors/work/schedule.ts";
import type { FailedRun } from "../../actors/work/schedule_state.ts";
import { ActorName, parse } from "../../schema/ids.ts";
import { Misfire } from "../../schema/misfire.ts";
import { Overlap } from "../../schema/overlap.ts";
import type { RunPolicy } from "../../schema/run_policy.ts";
import { duration, given, id as argument, named, reason } from "../flags.ts";
import { fields, printOne } from "../report.ts";
import { existing, layer, tenant } from "../root.ts";
import {
  actor,
  checkQueue,
  input,
  printStarted,
  startFlags,
  startOptions,
  taskFlags,
  taskOptions,
} from "../start_flags.ts";
import { filterFlags, filterOf, pageFlags, printExecutions } from "./ls.ts";

/** When it runs, and what becomes of runs that are late or meet another. */
const policyFlags = {
  cron: Flag.String("cron").pipe(
    Flag.withMetavar("expression"),
    Flag.withDescription(`By a calendar: 5 to 7 cron fields, like "30 6 * * mon-fri"`),
    Flag.optional,
  ),
  every: duration("every", "At this interval, instead"),
  count: Flag.Int("count").pipe(
    Flag.withDescription("How many runs in all, with --every"),
    Flag.optional,
  ),
  timeZone: Flag.String("time-zone").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Whose clocks the calendar means, like Europe/Berlin (UTC)"),
    Flag.optional,
  ),
  max: Flag.Int("max").pipe(
    Flag.withDescription("How many runs at most, with --cron"),
    Flag.optional,
  ),
  misfire: Flag.Literals("misfire", Object.keys(Misfire.cases) as Array<Misfire["type"]>).pipe(
    Flag.withDescription("What becomes of runs that were missed (fire-once)"),
    Flag.optional,
  ),
  overlap: Flag.Literals("overlap", Overlap.literals).pipe(
    Flag.withDescription("What becomes of a run while another still runs (allow)"),
    Flag.optional,
  ),
  grace: duration("grace", "How late a run may be and yet not be missed (1 minute)"),
};

/** What the flags give. */
interface PolicyValues {
  readonly cron: Option.Option<string>;
  readonly every: ScheduleDuration;
  readonly count: Option.Option<number>;
  readonly timeZone: Option.Option<string>;
  readonly max: Option.Option<number>;
  readonly misfire: Option.Option<Misfire["type"]>;
  readonly overlap: Option.Option<Overlap>;
  readonly grace: ScheduleDuration;
}

type ScheduleDuration = typeof policyFlags.every extends Flag.Flag<infer A> ? A : never;

const policyOf = ({ cron, every, count, timeZone, max }: PolicyValues): Pick<
  ScheduleOptions,
  "policy"
> =>
  Option.isSome(cron)
    ? {
      policy: {
        type: "cron",
        expression: cron.value,
        ...given("timeZone", timeZone),
        ...given("maxOccurrences", max),
      },
    }
    : Option.isSome(every)
    ? {
      policy: {
        type: "repeat",
        interval: every.value,
        count: Option.getOrThrow(count),
      },
    }
    : {};

const optionsOf = (flags: PolicyValues): ScheduleOptions => ({
  ...policyOf(flags),
  ...given("misfire", flags.misfire),
  ...given("overlap", flags.overlap),
  ...given("grace", flags.grace),
});

const misused = (message: string) => Effect.fail(new CliError.ValidationError({ message }));

/** What goes together, and what does not. */
const checkPolicy = ({ cron, every, count, timeZone, max }: PolicyValues) =>
  Option.isSome(cron) && Option.isSome(every)
    ? misused("Say when it runs: either --cron or --every")
    : Option.isSome(every) !== Option.isSome(count)
    ? misused("--every and --count go together")
    : Option.isNone(cron) && (Option.isSome(timeZone) || Option.isSome(max))
    ? misused("--time-zone and --max go with --cron")
    : Effect.void;

const id = argument.pipe(
  Argument.withDescription("Id of the schedule: its actor, a slash, and its name"),
);

/** A command that sends one message. */
const control = <E, R>(
  verb: string,
  description: string,
  send: (of: Effect.Success<ReturnType<typeof named>>) => Effect.Effect<void, E, R>,
) =>
  Command.make(verb, { id }, ({ id }) =>
    Effect.gen(function* () {
      const of = yield* named(id);
      yield* send(of);
      yield* printOne({ ...of, asked: verb }, [`${of.execution}  ${verb} sent`]);
    }).pipe(Effect.provide(existing))).pipe(Command.withDescription(description));

const whenOf = (policy: RunPolicy): string => {
  switch (policy.type) {
    case "once":
      return "once";
    case "repeat":
      return `${policy.count} times, every ${Duration.format(Duration.millis(policy.intervalMs))}`;
    case "cron": {
      const { expression, timeZone, maxOccurrences } = policy;
      const most = maxOccurrences === undefined ? "" : `, ${maxOccurrences} times at most`;
      return `${expression} in ${timeZone}${most}`;
    }
  }
};

const failedRun = ({ execution, name, message }: FailedRun) => `${execution}: ${name}: ${message}`;

const lines = (
  { execution, status, why, schedule }: Schedules.ScheduleDescription,
): ReadonlyArray<string> =>
  fields([
    ["schedule", execution],
    ["status", schedule?.paused === true ? "paused" : status],
    ["why", why],
    ["runs", schedule && whenOf(schedule.policy)],
    ["misfire", schedule?.misfire.type],
    ["overlap", schedule?.overlap],
    ["next", schedule?.next],
    ["running", schedule?.running],
    ["created", schedule?.created],
    ["completed", schedule?.completed],
    ["failed", schedule?.failed],
    ["last failure", schedule?.lastFailure && failedRun(schedule.lastFailure)],
    ["cancelled", schedule?.cancelled],
    ["skipped", schedule?.skipped],
  ]);

const ls = Command.make(
  "ls",
  { ...filterFlags, ...pageFlags },
  ({ status, actor, ...page }) =>
    Effect.gen(function* () {
      const filter = yield* filterOf({ status, actor });
      yield* printExecutions({ ...filter, tag: schedulesTag }, page);
    }).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("List schedules, newest first"),
  Command.withExamples([
    { command: "weir schedule ls --status suspended", description: "Those that go on" },
  ]),
);

const show = Command.make("show", { id }, ({ id }) =>
  Effect.gen(function* () {
    const found = yield* Schedules.describe(yield* named(id));
    yield* printOne(found, lines(found));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Show when a schedule runs next, and how its runs went"),
  );

const trigger = Command.make("trigger", {
  id,
  run: Flag.String("id").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Name of the run; while it is kept, the same runs once (drawn at random)"),
    Flag.optional,
  ),
}, ({ id, run }) =>
  Effect.gen(function* () {
    const of = yield* named(id);
    const { execution } = yield* Schedules.trigger(of, given("id", run));
    yield* printOne({ ...of, asked: "trigger", run: execution }, [`${execution}  asked for`]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Run it once more, at once"),
  );

const instant = (name: string, description: string) =>
  Flag.Date(name).pipe(Flag.withMetavar("time"), Flag.withDescription(description));

const backfill = Command.make("backfill", {
  id,
  from: instant("from", "The first time to run for"),
  to: instant("to", "The last time to run for, which is over"),
}, ({ id, from, to }) =>
  Effect.gen(function* () {
    const of = yield* named(id);
    yield* Schedules.backfill(of, { from, to });
    yield* printOne(
      { ...of, asked: "backfill", from, to },
      [`${of.execution}  backfill sent`],
    );
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Run it for the times between two that are over"),
    Command.withExamples([{
      command:
        "weir schedule backfill report/r --from 2026-02-01T00:00:00Z --to 2026-02-04T06:00:00Z",
    }]),
  );

const change = Command.make(
  "change",
  { id, ...policyFlags },
  ({ id, ...flags }) =>
    Effect.gen(function* () {
      const of = yield* named(id);
      yield* Schedules.change(of, optionsOf(flags));
      yield* printOne({ ...of, asked: "change" }, [`${of.execution}  change sent`]);
    }).pipe(Effect.provide(existing)),
).pipe(
  Command.validate(({ id: _, ...flags }) =>
    Object.values<Option.Option<unknown>>(flags).every(Option.isNone)
      ? misused("Say what is to change")
      : checkPolicy(flags)
  ),
  Command.withDescription("Have it follow another policy from now on"),
  Command.withExamples([{ command: `weir schedule change report/r --cron "0 7 * * *"` }]),
);

const cancel = Command.make("cancel", { id, reason }, ({ id, reason }) =>
  Effect.gen(function* () {
    const of = yield* named(id);
    yield* (yield* Executions).cancel(of, given("reason", reason));
    yield* printOne({ ...of, asked: "cancel" }, [`${of.execution}  cancel sent`]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("End it, and cancel its runs"),
  );

const runs = Command.make(
  "runs",
  { id, ...pageFlags },
  ({ id, ...page }) =>
    Effect.gen(function* () {
      const { execution, tenant } = yield* named(id);
      yield* printExecutions({ tenant, tag: { name: runsTag, value: execution } }, page);
    }).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("List its runs, newest first"),
);

export const schedule = Command.make(
  "schedule",
  { actor, input, ...policyFlags, ...startFlags, ...taskFlags },
  ({ actor, input, ...flags }) =>
    Effect.gen(function* () {
      const started = yield* (yield* Executions).start(
        yield* parse(ActorName, "actor name", actor),
        yield* tenant,
        Option.getOrUndefined(input),
        { ...yield* startOptions(flags), ...taskOptions(flags), ...optionsOf(flags) },
      );
      yield* printStarted(started, "scheduled", false);
    }).pipe(Effect.provide(layer())),
).pipe(
  Command.validate((flags) =>
    Option.isNone(flags.cron) && Option.isNone(flags.every)
      ? misused("Say when it runs: --cron, or --every with --count")
      : Effect.andThen(checkPolicy(flags), checkQueue(flags))
  ),
  Command.withDescription("Have a task run by a count or a calendar, and look after it"),
  Command.withExamples([
    { command: `weir schedule report --id r --cron "30 6 * * mon-fri" --time-zone Europe/Berlin` },
    { command: `weir schedule report --every "1 hour" --count 24 --overlap skip` },
    { command: "weir schedule show report/r" },
  ]),
  Command.withSubcommands([
    ls,
    show,
    trigger,
    backfill,
    control("pause", "Start no runs until it is resumed", Schedules.pause),
    control(
      "resume",
      "Go on; the misfire policy says what becomes of the time between",
      Schedules.resume,
    ),
    change,
    control("finish", "Start no more runs, and end when the last has", Schedules.finish),
    cancel,
    runs,
  ]),
);
