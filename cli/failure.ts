/**
 * How a command ends that did not do what it was asked for: with 2 if it was asked in a way that
 * cannot be meant, with 1 if it failed, and in both cases with a message that says what to do. A
 * reader of the output that has read enough is no failure.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { PlatformError } from "effect/PlatformError";
import * as Predicate from "effect/Predicate";
import * as CliError from "effect/cli/CliError";
import * as CliOutput from "effect/cli/CliOutput";
import { InvalidCursor, InvalidInput, StreamDisconnected } from "../schema/errors.ts";
import { json } from "./report.ts";
import { harmlessLines, Screen } from "./screen.ts";

/** What a command ends with. */
export const succeeded = 0;
export const failed = 1;
export const misused = 2;

/** The command did what it could, and has said already why that is not enough. */
export class Unwell extends Error {
  override readonly name = "Unwell";
}

const isClosedPipe = (error: unknown): boolean =>
  error instanceof PlatformError && Predicate.hasProperty(error.reason.cause, "code") &&
  error.reason.cause.code === "EPIPE";

const described = (error: unknown) => {
  const message = error instanceof Error ? error.message : String(error);
  return {
    code: Predicate.hasProperty(error, "code") ? error.code : "WEIR_UNEXPECTED",
    // The message itself speaks to who writes code.
    message: message.includes("{ unserved: true }")
      ? `${message} On the command line that is --unserved, or "unserved": true in a file of tasks.`
      : message,
    retryable: Predicate.hasProperty(error, "retryable") && error.retryable === true,
    ...(error instanceof StreamDisconnected ? { cursor: error.cursor } : {}),
  };
};

const say = Effect.fnUntraced(function* (error: unknown, isForProgram: boolean) {
  const screen = yield* Screen;
  const told = described(error);
  yield* screen.note(
    isForProgram ? json({ error: told }) : `weir: ${harmlessLines(told.message)}`,
  );
});

/** The exit code for what went wrong, which it tells on the standard error. */
export const explain = (cause: Cause.Cause<unknown>, isForProgram: boolean) => {
  const error = Cause.squash(cause);
  if (isClosedPipe(error)) return Effect.succeed(succeeded);
  if (error instanceof Unwell) return Effect.succeed(failed);
  // It was presented already.
  if (CliError.isCliError(error) && error._tag === "ShowHelp") {
    return Effect.succeed(error.errors.length === 0 ? succeeded : misused);
  }
  const isMisuse = error instanceof InvalidInput || error instanceof InvalidCursor ||
    CliError.isCliError(error);
  return say(error, isForProgram).pipe(Effect.ignore, Effect.as(isMisuse ? misused : failed));
};

/** Help on the standard output if it was asked for; what is wrong with the words, in short. */
export const layerPresenter = (isForProgram: boolean): Layer.Layer<never, never, Screen> =>
  Layer.effect(
    CliOutput.Presenter,
    Effect.map(Screen, (screen) => {
      const formatter = CliOutput.defaultFormatter({ colors: screen.hasColor });
      const present = (event: CliOutput.Presenter.Event) => {
        switch (event._tag) {
          case "Help":
            return screen.write(`${formatter.formatHelpDoc(event.helpDoc)}\n`);
          case "Version":
            return screen.write(`${event.name} ${event.version}\n`);
          case "InvalidInvocation": {
            const message = event.errors.map((error) => error.message).join("\n");
            const hint = `Run \`${event.commandPath.join(" ")} --help\` for usage.`;
            return screen.note(
              isForProgram
                ? json({
                  error: { code: "WEIR_USAGE", message: `${message} ${hint}`, retryable: false },
                })
                : `weir: ${harmlessLines(message)}\n${hint}`,
            );
          }
        }
      };
      return { present: (event) => Effect.ignore(present(event)) };
    }),
  );
