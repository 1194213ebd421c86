/** `weir start`: begins an execution, unless there is one of that name. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Command from "effect/cli/Command";
import { Executions } from "../../actors/executions.ts";
import { ActorName, parse } from "../../schema/ids.ts";
import { given } from "../flags.ts";
import { layer, tenant } from "../root.ts";
import {
  actor,
  deadline,
  delay,
  input,
  printStarted,
  startFlags,
  startOptions,
  wait,
} from "../start_flags.ts";

export const start = Command.make(
  "start",
  { actor, input, ...startFlags, delay, deadline, wait },
  ({ actor, input, delay, deadline, wait, ...flags }) =>
    Effect.gen(function* () {
      const started = yield* (yield* Executions).start(
        yield* parse(ActorName, "actor name", actor),
        yield* tenant,
        Option.getOrUndefined(input),
        {
          ...yield* startOptions(flags),
          ...given("delay", delay),
          ...given("deadline", deadline),
        },
      );
      yield* printStarted(started, "started", wait);
    }).pipe(Effect.provide(layer())),
).pipe(
  Command.withDescription("Start an execution, unless there is one of that name"),
  Command.withExamples([
    { command: `weir start order '{"cents":4200}' --id o-1 --tag team.name=checkout` },
    { command: `weir start report --delay "5 minutes"` },
  ]),
);
