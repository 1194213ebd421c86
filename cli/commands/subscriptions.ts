/** `weir subscriptions`: how far behind each durable reader is; moves and forgets them. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as CliError from "effect/cli/CliError";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { parse, SubscriptionName, Timestamp } from "../../schema/ids.ts";
import { type Subscription, Subscriptions } from "../../streams/subscriptions.ts";
import { familyNames } from "../flags.ts";
import { type Column, printList, printOne } from "../report.ts";
import { existing } from "../root.ts";
import { iso } from "../screen.ts";

const columns: ReadonlyArray<Column<Subscription>> = [
  { title: "FAMILY", of: ({ family }) => family },
  { title: "NAME", of: ({ name }) => name },
  { title: "LAG", of: ({ lag }) => String(lag) },
  { title: "PENDING", of: ({ pending }) => String(pending) },
  { title: "UNACKNOWLEDGED", of: ({ unacknowledged }) => String(unacknowledged) },
  { title: "WAITING", of: ({ waiting }) => String(waiting) },
  { title: "ACTIVE", of: ({ lastActiveAt: at }) => at === undefined ? "-" : iso(at) },
  { title: "CURSOR", of: ({ cursor }) => cursor },
];

const key = {
  family: Argument.Literals("family", familyNames).pipe(
    Argument.withDescription("Which events it reads"),
  ),
  name: Argument.String("name").pipe(Argument.withDescription("Its name in that family")),
};

const list = Command.make("list", {}, () =>
  Effect.gen(function* () {
    yield* printList(columns, yield* (yield* Subscriptions).list);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("List the durable subscriptions"),
  );

const reset = Command.make("reset", {
  ...key,
  after: Flag.String("after").pipe(
    Flag.withMetavar("cursor"),
    Flag.withDescription("Behind this cursor, or at earliest or now"),
    Flag.optional,
  ),
  at: Flag.Date("at").pipe(
    Flag.withMetavar("time"),
    Flag.withDescription("At this time, instead"),
    Flag.optional,
  ),
}, ({ family, name: text, after, at }) =>
  Effect.gen(function* () {
    const name = yield* parse(SubscriptionName, "subscription name", text);
    const to = Option.isSome(at)
      ? { at: yield* parse(Timestamp, "time", at.value.getTime()) }
      : { after: Option.getOrThrow(after) };
    yield* (yield* Subscriptions).reset({ family, name }, to);
    yield* printOne({ family, name, ...to }, [`${family}  ${name}  moved`]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.validate(({ after, at }) =>
      Option.isSome(after) === Option.isSome(at)
        ? Effect.fail(
          new CliError.ValidationError({ message: "Say where to go on: either --after or --at" }),
        )
        : Effect.void
    ),
    Command.withDescription("Have a subscription go on elsewhere"),
    Command.withExamples([
      { command: "weir subscriptions reset completions billing --after earliest" },
      { command: "weir subscriptions reset completions billing --at 2026-11-01T00:00:00Z" },
    ]),
  );

const forget = Command.make("delete", key, ({ family, name: text }) =>
  Effect.gen(function* () {
    const name = yield* parse(SubscriptionName, "subscription name", text);
    yield* (yield* Subscriptions).delete({ family, name });
    yield* printOne({ family, name, deleted: true }, [`${family}  ${name}  deleted`]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Forget a subscription"),
    Command.withExamples([{ command: "weir subscriptions delete completions billing" }]),
  );

export const subscriptions = Command.make("subscriptions").pipe(
  Command.withDescription("Look after the durable subscriptions"),
  Command.withSubcommands([list, reset, forget]),
);
