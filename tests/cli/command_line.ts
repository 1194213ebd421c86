/**
 * The command line in this process, with streams that are kept instead of shown. Nothing of the
 * machine's own environment reaches it. Real processes are started in `process_test.ts` alone.
 */
import assert from "node:assert/strict";
import * as Clock from "effect/Clock";
import * as ConfigProvider from "effect/ConfigProvider";
import * as Effect from "effect/Effect";
import * as FileSystem from "effect/FileSystem";
import * as Layer from "effect/Layer";
import * as Path from "effect/Path";
import * as Sink from "effect/Sink";
import * as Stdio from "effect/Stdio";
import * as Terminal from "effect/Terminal";
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner";
import { run } from "../../cli/weir.ts";
import { eventually } from "../fixtures/server.ts";

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly isTerminal?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the command, as Ctrl-C would, when its standard output is as wished. */
  readonly until?: (stdout: string) => boolean;
  /** How far the clock of its machine is behind. */
  readonly behindMs?: number;
}

const terminal = Terminal.make({
  columns: Effect.succeed(80),
  rows: Effect.succeed(24),
  size: Effect.never,
  readInput: Effect.never,
  readLine: Effect.never,
  display: () => Effect.void,
});

const isBehind = (clock: Clock.Clock, millis: number): Clock.Clock =>
  Object.assign(Object.create(clock), {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() - millis,
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now - millis),
  });

/** Runs `weir` with these words; 130 is the exit code of a command that `until` has ended. */
export const weir = (
  words: ReadonlyArray<string>,
  { isTerminal = false, env = {}, until, behindMs = 0 }: RunOptions = {},
): Promise<Ran> => {
  const written = { stdout: "", stderr: "" };
  let enough: () => void = () => undefined;
  const keep = (name: "stdout" | "stderr") => () =>
    Sink.forEach((chunk: string | Uint8Array) =>
      Effect.sync(() => {
        written[name] += chunk;
        if (until?.(written.stdout) === true) enough();
      })
    );
  const layer = Layer.mergeAll(
    FileSystem.layerNoop({}),
    Path.layer,
    Stdio.layerTest({
      stdout: keep("stdout"),
      stderr: keep("stderr"),
      stdoutIsTerminal: Effect.succeed(isTerminal),
    }),
    Layer.succeed(Terminal.Terminal, terminal),
    Layer.succeed(
      ChildProcessSpawner.ChildProcessSpawner,
      ChildProcessSpawner.make(() => Effect.die("no process is started here")),
    ),
    ConfigProvider.layer(ConfigProvider.fromUnknown(env)),
  );
  const program = Effect.clockWith((clock) =>
    Effect.provideService(run(words), Clock.Clock, isBehind(clock, behindMs))
  );
  const ended = Effect.callback<number>((resume) => {
    enough = () => resume(Effect.succeed(130));
  });
  return Effect.runPromise(
    Effect.raceFirst(program, ended).pipe(
      Effect.map((exitCode) => ({ exitCode, ...written })),
      Effect.provide(layer),
    ),
  );
};

/** What differs from run to run, by what it is. */
export const golden = (text: string): string =>
  text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "TIME")
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "UUID")
    .replace(/\bAw[\w-]{30,}/g, "CURSOR")
    .replace(/"(at|timestamp|startedAt|endedAt|since|asOf|durationMs|lastActiveAt)":\d+/g, '"$1":0')
    .replace(/127\.0\.0\.1:\d+/g, "ADDRESS");

/** Commands to one server: what they end with, what they say, and what they say some day. */
export const commandsTo = (url: () => string) => {
  const command = (...words: ReadonlyArray<string>): Promise<Ran> =>
    weir([...words, "--server", url()]);
  const said = async (...words: ReadonlyArray<string>): Promise<string> => {
    const { exitCode, stdout, stderr } = await command(...words);
    assert.deepEqual([exitCode, stderr], [0, ""]);
    return golden(stdout);
  };
  /** Runs it until it says what is expected, for what a worker or projector brings. */
  const expect = (words: ReadonlyArray<string>, stdout: RegExp) =>
    eventually(
      `${words.join(" ")} says ${stdout}`,
      async () => stdout.test(golden((await command(...words)).stdout)) || undefined,
      30_000,
    );
  return { weir: command, said, expect };
};

/** The objects of JSON lines. */
export const objects = (text: string): ReadonlyArray<Record<string, unknown>> =>
  text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
