/**
 * `weir queues`: what queues allow, who waits in them and why. A change is a message to who keeps the
 * queue; that it was stored is all it says.
 */
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as CliError from "effect/cli/CliError";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions } from "../../actors/executions.ts";
import * as Queues from "../../actors/queues.ts";
import type { QueueLimits } from "../../schema/queue_limits.ts";
import { count, duration, given, id, named } from "../flags.ts";
import { limitFlag, limitsText, lines, rateFlag, weights } from "../queue_words.ts";
import { type Column, printList, printOne } from "../report.ts";
import { existing, layer } from "../root.ts";

const name = Argument.String("name").pipe(Argument.withDescription("Name of the queue"));

const columns: ReadonlyArray<Column<Queues.QueueDescription>> = [
  { title: "QUEUE", of: ({ name }) => name },
  {
    title: "STATE",
    of: ({ limits }) => limits.paused ? "paused" : "open",
    color: ({ limits }) => limits.paused ? "yellow" : "green",
  },
  { title: "WAITING", of: ({ waiting }) => String(waiting) },
  { title: "RUNNING", of: ({ running }) => String(running) },
  { title: "ALLOWS", of: ({ limits }) => limitsText(limits) },
];

const ls = Command.make("ls", {}, () =>
  Effect.gen(function* () {
    const found = yield* Effect.forEach(yield* Queues.list, Queues.describe, { concurrency: 8 });
    yield* printList(columns, found);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the queues, who waits and who runs"),
  );

const describe = Command.make("describe", { name }, ({ name }) =>
  Effect.gen(function* () {
    const queue = yield* Queues.describe(name);
    yield* printOne(queue, lines(queue));
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Show what a queue allows, and how many of whom wait and run"),
  );

/** What `configure` can say; `none` lifts a limit. */
const limitFlags = {
  concurrency: count("concurrency", "How many may run at once").pipe(Flag.optional),
  perKey: count("per-key", "How many of one key of a tenant may run at once").pipe(Flag.optional),
  perTenant: limitFlag("per-tenant", "How many of a tenant may run at once"),
  rate: rateFlag("rate", "How many may begin in a time"),
  tenantRate: rateFlag("tenant-rate", "How many of a tenant may begin in a time"),
  keyRate: rateFlag("key-rate", "How many of a key may begin in a time"),
  weights: weights("weight", "How much a tenant gets while others wait; as often as needed"),
  ageing: duration("ageing", "Who waits for so long comes before a priority more by one"),
};

/** Prints what is to hold from now on. */
const printChanged = (queue: string, limits: QueueLimits, done: string) =>
  printOne({ name: queue, limits }, [`${queue}  ${done}  ${limitsText(limits)}`]);

/** Changes a queue. */
const change = Effect.fnUntraced(function* (
  queue: string,
  options: Queues.QueueOptions,
  done: string,
) {
  yield* printChanged(queue, yield* Queues.configure(queue, options), done);
});

const configure = Command.make("configure", { name, ...limitFlags }, ({ name, ...flags }) => {
  const { ageing, weights, ...rest } = flags;
  const limits = Object.entries(rest).flatMap(([limit, value]) =>
    Option.isSome<unknown>(value) ? [[limit, value.value]] : []
  );
  return change(name, {
    ...Object.fromEntries(limits),
    ...given("weights", weights),
    ...given("ageing", ageing as Option.Option<Duration.Input>),
  }, "configured").pipe(Effect.provide(layer()));
}).pipe(
  Command.validate(({ name: _, ...flags }) =>
    Object.values<Option.Option<unknown>>(flags).every(Option.isNone)
      ? Effect.fail(new CliError.ValidationError({ message: "Say what is to change" }))
      : Effect.void
  ),
  Command.withDescription("Change what a queue allows; what is left out stays"),
  Command.withExamples([
    { command: `weir queues configure cards --concurrency 50 --rate "100/1 second"` },
    { command: "weir queues configure cards --weight acme=10 --weight umbrella=1" },
  ]),
);

const tenants = Argument.String("tenants").pipe(
  Argument.withMetavar("tenant"),
  Argument.withDescription("Only these tenants; all of it, if left out"),
  Argument.variadic(),
);

/** Pauses a queue or some of its tenants, or has them go on. */
const steer = (verb: "pause" | "resume", description: string) =>
  Command.make(verb, { name, tenants }, ({ name, tenants }) =>
    Effect.gen(function* () {
      const said = verb === "pause" ? "paused" : "resumed";
      if (tenants.length === 0) return yield* change(name, { paused: verb === "pause" }, said);
      const limits = yield* Queues.steerTenants(name, verb, tenants);
      yield* printChanged(name, limits, `${said} for ${tenants.join(", ")}`);
    }).pipe(Effect.provide(layer()))).pipe(Command.withDescription(description));

const why = Command.make("why", { id }, ({ id }) =>
  Effect.gen(function* () {
    const description = yield* (yield* Executions).describe(yield* named(id));
    const why = (yield* Queues.why(description)) ?? "it does not wait in a queue";
    const { execution, queue } = description;
    yield* printOne({ execution, ...(queue === undefined ? {} : { queue }), why }, [
      `${execution}  ${why}`,
    ]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Say why an execution waits in its queue"),
    Command.withExamples([{ command: "weir queues why charge/c-17" }]),
  );

export const queues = Command.make("queues").pipe(
  Command.withDescription("Look after the queues in which tasks wait for their turns"),
  Command.withSubcommands([
    ls,
    describe,
    configure,
    steer("pause", "Let nobody in; who runs goes on"),
    steer("resume", "Let in again who may"),
    why,
  ]),
);
