/**
 * The command line: all commands under their name, run on given words with an exit code as its
 * result. It never ends the process and reads no arguments of its own; `main.ts` does.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Logger from "effect/Logger";
import * as Command from "effect/cli/Command";
import { budgets } from "./commands/budgets.ts";
import { cancel, pause, promote, resume, retry } from "./commands/steer.ts";
import { describe } from "./commands/describe.ts";
import { dev } from "./commands/dev.ts";
import { doctor } from "./commands/doctor.ts";
import { engine } from "./commands/engine.ts";
import { events } from "./commands/events.ts";
import { grants } from "./commands/grants.ts";
import { history } from "./commands/history.ts";
import { lanes } from "./commands/lanes.ts";
import { ledger } from "./commands/ledger.ts";
import { ls } from "./commands/ls.ts";
import { permissions } from "./commands/permissions.ts";
import { queues } from "./commands/queues.ts";
import { remotes } from "./commands/remotes.ts";
import { schedule } from "./commands/schedule.ts";
import { serve } from "./commands/serve.ts";
import { signal } from "./commands/signal.ts";
import { start } from "./commands/start.ts";
import { submit } from "./commands/submit.ts";
import { subscriptions } from "./commands/subscriptions.ts";
import { tail } from "./commands/tail.ts";
import { tenants } from "./commands/tenants.ts";
import { emit, triggers } from "./commands/triggers.ts";
import { workers } from "./commands/workers.ts";
import { explain, layerPresenter, succeeded } from "./failure.ts";
import { root } from "./root.ts";
import * as Screen from "./screen.ts";
import { version } from "./version.ts";

const weir = root.pipe(Command.withSubcommands([
  { group: "Executions", commands: [start, submit, schedule, ls, describe, history, events] },
  { group: "Steering", commands: [signal, cancel, pause, resume, promote, retry, triggers, emit] },
  { group: "Readers", commands: [tail, subscriptions] },
  { group: "Access", commands: [tenants, grants, ledger, permissions] },
  {
    group: "Operation",
    commands: [dev, serve, engine, workers, lanes, queues, remotes, budgets, doctor],
  },
]));

/** What the library logs is no result. */
const layerLog = Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]);

/** Runs the command that the words ask for, and gives what the process is to end with. */
export const run = (words: ReadonlyArray<string>) => {
  // It may be that the words make no sense, and yet the answer has to be in the right form.
  const isForProgram = words.includes("--json");
  return Command.runWith(weir, { version })(words).pipe(
    Effect.as(succeeded),
    Effect.catchCauseIf(
      (cause) => !Cause.hasInterruptsOnly(cause),
      (cause) => explain(cause, isForProgram),
    ),
    Effect.provide(layerPresenter(isForProgram).pipe(Layer.provideMerge(Screen.layer))),
    Effect.provide(layerLog),
  );
};
