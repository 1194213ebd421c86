/**
 * A user's place at a keeper: the writing end of its FIFO, which the kernel closes however the user
 * ends. Whoever wrote a line and then finds the store open is served until it lets go. It neither
 * starts keepers nor reads what they say.
 */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Scope from "effect/Scope";
import type { Configuration } from "./configuration.ts";
import { decode } from "./configuration.ts";

const read = (path: string): Effect.Effect<Option.Option<Configuration>> =>
  Effect.promise(() => readFile(path, "utf8").then(decode, () => Option.none()));

/** The file with the highest generation among those that a pattern finds it in. */
const latest = Effect.fnUntraced(
  function* (store: string, pattern: RegExp): Effect.fn.Return<[number, string], string> {
    const names = yield* Effect.tryPromise({ try: () => readdir(store), catch: String });
    return names
      .map((name): [number, string] => [Number(pattern.exec(name)?.[1] ?? 0), name])
      .reduce((one, other) => other[0] > one[0] ? other : one, [0, ""]);
  },
);

/** The highest generation that was ever claimed; 0 if none was. */
export const highest = (store: string): Effect.Effect<number, string> =>
  Effect.map(latest(store, /^keeper\.(\d+)$/), ([generation]) => generation);

/**
 * The configuration of the last server, for its port and credentials. It is read when its
 * generation has ended: until then its keeper renames it.
 */
export const last = (store: string): Effect.Effect<Option.Option<Configuration>, string> =>
  Effect.flatMap(
    latest(store, /^(?:open|closed)\.(\d+)\.json$/),
    ([generation, name]) => generation === 0 ? Effect.succeedNone : read(join(store, name)),
  );

/** The configuration of the server, if users may come. */
export const invitation = (
  store: string,
  generation: number,
): Effect.Effect<Option.Option<Configuration>> => read(join(store, `open.${generation}.json`));

export interface Registration {
  readonly generation: number;
  /** Says that this user is there; false when the generation has ended. */
  readonly announce: Effect.Effect<boolean>;
}

const hasCode = (error: unknown, ...codes: ReadonlyArray<string>): boolean =>
  error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? "");

/** A place for as long as the scope is open; none if the generation has ended. */
export const register = (
  store: string,
  generation: number,
): Effect.Effect<Option.Option<Registration>, string, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        try {
          const flags = constants.O_WRONLY | constants.O_NONBLOCK;
          return Option.some(openSync(join(store, `keeper.${generation}`), flags));
        } catch (error) {
          if (hasCode(error, "ENXIO", "ENOENT")) return Option.none();
          throw error;
        }
      },
      catch: String,
    }),
    Option.match({
      onNone: () => Effect.void,
      onSome: (descriptor) => Effect.sync(() => closeSync(descriptor)),
    }),
  ).pipe(Effect.map(Option.map((descriptor) => ({
    generation,
    announce: Effect.sync(() => {
      try {
        writeSync(descriptor, "\n");
        return true;
      } catch (error) {
        if (hasCode(error, "EAGAIN")) return true;
        if (hasCode(error, "EPIPE")) return false;
        throw error;
      }
    }),
  }))));
