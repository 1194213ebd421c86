/**
 * `weir cancel`, `pause`, `resume`, `promote` and `retry`: each is one message to an execution. That it was sent
 * is all they say; what came of it, `weir describe` shows.
 */
import * as Effect from "effect/Effect";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions } from "../../actors/executions.ts";
import { given, id, named, reason } from "../flags.ts";
import { printOne } from "../report.ts";
import { existing } from "../root.ts";

type Verb = "cancel" | "pause" | "resume" | "promote" | "retry";

const send = Effect.fnUntraced(function* <E>(
  verb: Verb,
  id: string,
  use: (
    executions: Executions["Service"],
    of: Effect.Success<ReturnType<typeof named>>,
  ) => Effect.Effect<unknown, E>,
) {
  const of = yield* named(id);
  yield* use(yield* Executions, of);
  yield* printOne({ ...of, asked: verb }, [`${of.execution}  ${verb} sent`]);
});

export const cancel = Command.make(
  "cancel",
  {
    id,
    reason,
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("End it whatever its code does"),
      Flag.withDefault(false),
    ),
  },
  ({ id, reason, force }) =>
    send(
      "cancel",
      id,
      (executions, of) =>
        executions.cancel(of, { ...given("reason", reason), ...(force ? { force } : {}) }),
    ).pipe(
      Effect.provide(existing),
    ),
).pipe(
  Command.withDescription("Ask an execution to stop"),
  Command.withExamples([{ command: `weir cancel order/o-1 --reason "out of stock"` }]),
);

export const pause = Command.make(
  "pause",
  { id, reason },
  ({ id, reason }) =>
    send("pause", id, (executions, of) => executions.pause(of, given("reason", reason))).pipe(
      Effect.provide(existing),
    ),
).pipe(
  Command.withDescription("Have an execution begin nothing more until it is resumed"),
  Command.withExamples([{ command: "weir pause order/o-1" }]),
);

export const resume = Command.make(
  "resume",
  { id },
  ({ id }) =>
    send("resume", id, (executions, of) => executions.resume(of)).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("Have a paused execution go on"),
  Command.withExamples([{ command: "weir resume order/o-1" }]),
);

export const promote = Command.make(
  "promote",
  { id },
  ({ id }) =>
    send("promote", id, (executions, of) => executions.promote(of)).pipe(Effect.provide(existing)),
).pipe(
  Command.withDescription("Have an execution that waits for its time begin now"),
  Command.withExamples([{ command: "weir promote order/o-1" }]),
);

export const retry = Command.make("retry", {
  id,
  from: Flag.Literals("from", ["failure", "start"]).pipe(
    Flag.withDescription("With the steps that succeeded, or without"),
    Flag.withDefault("failure"),
  ),
}, ({ id, from }) =>
  send("retry", id, (executions, of) => executions.retry(of, { from })).pipe(
    Effect.provide(existing),
  )).pipe(
    Command.withDescription("Run an execution again that has ended"),
    Command.withExamples([{ command: "weir retry order/o-1 --from start" }]),
  );
