/**
 * Starting executions: everything that the start says is checked before it is sent, and the start is
 * sent once, whoever else starts the same. Signals that come with it are in the mailbox from the
 * beginning.
 */
import { randomUUID } from "node:crypto";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../../schema/errors.ts";
import { UnknownActor } from "../../schema/execution_errors.ts";
import { namedExecution, parse, Timestamp } from "../../schema/ids.ts";
import { Json } from "../../schema/json.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import { Requires, routeOf } from "../../schema/route.ts";
import type { Mailboxes } from "../../streams/mailbox.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import type { Executions } from "../executions.ts";
import { Tags } from "../tags.ts";
import { traced } from "../traced.ts";
import type { Means, Presence } from "./present.ts";
import { checkSignal, signalMail } from "./signals.ts";

const Priority = Schema.Int.check(Schema.isBetween({ minimum: -1_000, maximum: 1_000 }));

const positive = (what: string, input: Duration.Input | undefined) => {
  if (input === undefined) return Effect.undefined;
  const duration = Option.map(Duration.fromInput(input), Duration.toMillis);
  return Option.isSome(duration) && duration.value >= 0 && Number.isFinite(duration.value)
    ? Effect.succeed(duration.value)
    : Effect.fail(
      new InvalidInput({ what, value: String(input), rule: "expected a duration, like 5 minutes" }),
    );
};

export const makeStart = (
  { post }: Means,
  { addressOf }: Presence,
  { mailboxes, clock, signal }: {
    readonly mailboxes: Mailboxes["Service"];
    readonly clock: ServerClock["Service"];
    readonly signal: Executions["Service"]["signal"];
  },
) => {
  const start: Executions["Service"]["start"] = Effect.fnUntraced(
    function* (actor, tenant, input, options = {}) {
      const { id = randomUUID(), lane, requires, tags, priority } = options;
      const { execution } = yield* namedExecution(actor, id);
      const value = yield* (input === undefined ? Effect.undefined : parse(Json, "input", input));
      const delayMs = yield* positive("delay", options.delay);
      const deadlineMs = yield* positive("deadline", options.deadline);
      const required = requires === undefined
        ? undefined
        : yield* parse(Requires, "requires", requires);
      const route = routeOf(lane, required);
      const now = delayMs === undefined && deadlineMs === undefined ? 0 : yield* clock.now;
      const record: StartRecord = {
        kind: "start",
        seed: randomUUID(),
        ...(value === undefined ? {} : { input: value }),
        ...(tags === undefined ? {} : { tags: yield* parse(Tags, "tags", tags) }),
        ...(route === undefined ? {} : { route }),
        ...(required === undefined ? {} : { requires: required }),
        ...(priority === undefined
          ? {}
          : { priority: yield* parse(Priority, "priority", priority) }),
        ...(delayMs === undefined ? {} : { notBefore: Timestamp.make(Math.ceil(now + delayMs)) }),
        ...(deadlineMs === undefined
          ? {}
          : { deadline: Timestamp.make(Math.ceil(now + deadlineMs)) }),
      };
      const signals = yield* Effect.forEach(
        options.signals ?? [],
        ({ name, payload, ...rest }) =>
          Effect.map(checkSignal(name, payload), (value) => ({
            ...signalMail(name, value, rest),
            ...(route === undefined ? {} : { route }),
          })),
      );
      if (options.unserved !== true && !(yield* mailboxes.isServed(actor))) {
        return yield* new UnknownActor({ actor });
      }
      const named = { execution, tenant };
      const { created, life } = yield* post.start(addressOf(named), record, signals);
      if (!created) {
        yield* Effect.forEach(
          options.signals ?? [],
          ({ name, payload, ...rest }) => signal(named, name, payload, rest),
          { discard: true },
        );
      }
      return { ...named, created, life };
    },
    traced("Executions.start"),
  );

  return start;
};
