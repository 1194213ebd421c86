/**
 * Runs a program of this machine to its end and returns what it printed. Interruption kills it, and
 * a failure carries the last thing that it said. It is not for programs that keep running.
 */
import { execFile } from "node:child_process";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * A program that this process has just written cannot run while a child that was forked meanwhile
 * still has the file open, which is until that child runs its own program.
 */
const isBusy = (reason: string): boolean => /ETXTBSY|Text file busy/.test(reason);

/** The standard output of `program`, or one line that says why there is none. */
export const run = (
  program: string,
  args: ReadonlyArray<string>,
  options: CommandOptions = {},
): Effect.Effect<string, string> =>
  Effect.callback<string, string>((resume, signal) => {
    execFile(
      program,
      args,
      { ...options, signal, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error === null) return resume(Effect.succeed(stdout));
        const said = stderr.trim().split("\n").at(-1) ?? "";
        resume(Effect.fail(
          error.code === "ENOENT"
            ? `${program} is not installed`
            : `${program} ${args[0] ?? ""} failed: ${said === "" ? error.message : said}`,
        ));
      },
    );
  }).pipe(Effect.retry({ while: isBusy, schedule: Schedule.spaced("10 millis"), times: 100 }));
