/** `weir signal`: tells an execution something. */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Argument from "effect/cli/Argument";
import * as Command from "effect/cli/Command";
import * as Flag from "effect/cli/Flag";
import { Executions } from "../../actors/executions.ts";
import { checkForeignSignal } from "../../actors/signal.ts";
import { given, id, jsonArgument, named } from "../flags.ts";
import { json, printOne } from "../report.ts";
import { existing } from "../root.ts";

export const signal = Command.make("signal", {
  id,
  name: Argument.String("name").pipe(Argument.withDescription("Name of the signal")),
  payload: jsonArgument("payload", "What it says; nothing, if left out"),
  key: Flag.String("key").pipe(
    Flag.withDescription("Makes a repeated signal harmless"),
    Flag.optional,
  ),
  source: Flag.String("source").pipe(
    Flag.withMetavar("name"),
    Flag.withDescription("Who sends it"),
    Flag.optional,
  ),
  wait: Flag.Boolean("wait").pipe(
    Flag.withAlias("w"),
    Flag.withDescription("Wait for what becomes of it"),
    Flag.withDefault(false),
  ),
}, ({ id, name, payload, key, source, wait }) =>
  Effect.gen(function* () {
    const to = yield* named(id);
    yield* checkForeignSignal(name);
    const { signalId, effect } = yield* (yield* Executions).signal(
      to,
      name,
      Option.getOrUndefined(payload),
      { ...given("key", key), ...given("source", source) },
    );
    const sent = { ...to, signalId };
    if (!wait) return yield* printOne(sent, [`${to.execution}  signal ${signalId} sent`]);
    const became = yield* effect;
    const word = typeof became === "string" ? became : json(became);
    yield* printOne({ ...sent, effect: became }, [`${to.execution}  signal ${signalId} ${word}`]);
  }).pipe(Effect.provide(existing))).pipe(
    Command.withDescription("Send a signal to an execution"),
    Command.withExamples([
      { command: `weir signal order/o-1 approval '{"by":"ana"}'` },
    ]),
  );
