/**
 * Where a command writes: results go to the standard output and everything else to the standard
 * error, so that a program that reads the one never meets the other. Texts from the log are made
 * harmless for a terminal first. It chooses no layout; `report.ts` does.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type { PlatformError } from "effect/PlatformError";
import * as Stdio from "effect/Stdio";
import * as Stream from "effect/Stream";
import * as Terminal from "effect/Terminal";
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities";

export class Screen extends Context.Service<Screen, {
  readonly isTerminal: boolean;
  readonly hasColor: boolean;
  /** How many lines fit on the terminal now. */
  readonly rows: Effect.Effect<number>;
  readonly columns: Effect.Effect<number>;
  /** Writes to the standard output as it is. */
  readonly write: (text: string) => Effect.Effect<void, PlatformError>;
  /** Tells a person something about the result, on a line of its own. */
  readonly note: (text: string) => Effect.Effect<void, PlatformError>;
}>()("@weir/weir/cli/Screen") {}

const make = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio;
  const terminal = yield* Terminal.Terminal;
  const { canColor } = yield* TerminalCapabilities.TerminalCapabilities;
  return Screen.of({
    isTerminal: yield* stdio.stdoutIsTerminal,
    hasColor: canColor,
    rows: terminal.rows,
    columns: terminal.columns,
    write: (text) => Stream.run(Stream.make(text), stdio.stdout()),
    note: (text) => Stream.run(Stream.make(`${text}\n`), stdio.stderr()),
  });
});

export const layer: Layer.Layer<Screen, never, Stdio.Stdio | Terminal.Terminal> = Layer.effect(
  Screen,
  make,
).pipe(Layer.provide(TerminalCapabilities.layer));

/** A text as one line, in which nothing can move the cursor or speak to the terminal. */
export const harmless = (text: string): string =>
  text.replace(
    /\p{Cc}/gu,
    (control) => `\\u${control.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );

/** The same line by line. */
export const harmlessLines = (text: string): string => text.split("\n").map(harmless).join("\n");

/** A point in time as people compare them. */
export const iso = (at: number): string => new Date(at).toISOString();
