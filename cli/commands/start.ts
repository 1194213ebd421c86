/** `weir start`: begins an execution, unless there is one of that name. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions } from "../../actors/executions.ts";
import { ActorName, Lane, parse } from "../../schema/ids.ts";
import { checked, duration, given, jsonArgument } from "../flags.ts";
import { json, printOne } from "../report.ts";
import { layer, tenant } from "../root.ts";

export const start = Command.make(
  "start",
  {
    actor: Argument.String("actor").pipe(Argument.withDescription("Whose code it runs")),
    input: jsonArgument("input", "What the code is given; nothing, if left out"),
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
    delay: duration("delay", "When it is to begin"),
    deadline: duration("deadline", "How long it may take in all"),
    unserved: Flag.Boolean("unserved").pipe(
      Flag.withDescription("Even if no worker has ever served the actor"),
      Flag.withDefault(false),
    ),
    wait: Flag.Boolean("wait").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Wait for the end and print the result"),
      Flag.withDefault(false),
    ),
  },
  ({ actor, input, id, tags, lane, requires, priority, delay, deadline, unserved, wait }) =>
    Effect.gen(function* () {
      const executions = yield* Executions;
      const started = yield* executions.start(
        yield* parse(ActorName, "actor name", actor),
        yield* tenant,
        Option.getOrUndefined(input),
        {
          ...given("id", id),
          ...given("tags", tags),
          ...given("lane", yield* checked(Lane, "lane", lane)),
          ...(requires.length === 0 ? {} : { requires }),
          ...given("priority", priority),
          ...given("delay", delay),
          ...given("deadline", deadline),
          unserved,
        },
      );
      if (!wait) {
        const state = started.created ? "started" : "was there already";
        return yield* printOne(started, [`${started.execution}  ${state}`]);
      }
      const result = yield* executions.result(started);
      yield* printOne({ ...started, result }, [json(result ?? null)]);
    }).pipe(Effect.provide(layer())),
).pipe(
  Command.withDescription("Start an execution, unless there is one of that name"),
  Command.withExamples([
    { command: `weir start order '{"cents":4200}' --id o-1 --tag team.name=checkout` },
    { command: `weir start report --delay "5 minutes"` },
  ]),
);
