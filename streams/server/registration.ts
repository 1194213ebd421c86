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

/** What is known of a store's generations without asking a process. */
export interface Generations {
  /** The highest that was ever claimed; 0 if none was. */
  readonly highest: number;
  /** The configuration of the last server, for its port and credentials. */
  readonly last: Option.Option<Configuration>;
}

const read = (path: string): Effect.Effect<Option.Option<Configuration>> =>
  Effect.promise(() => readFile(path, "utf8").then(decode, () => Option.none()));

export const generations = Effect.fnUntraced(
  function* (store: string): Effect.fn.Return<Generations, string> {
    const names = yield* Effect.tryPromise({ try: () => readdir(store), catch: String });
    let highest = 0;
    let lastNumber = 0;
    let lastName = "";
    for (const name of names) {
      const [, kind, digits] = /^(keeper|open|closed)\.(\d+)(?:\.json)?$/.exec(name) ?? [];
      const number = Number(digits);
      if (kind === "keeper") highest = Math.max(highest, number);
      else if (kind !== undefined && number > lastNumber) [lastNumber, lastName] = [number, name];
    }
    return { highest, last: lastName === "" ? Option.none() : yield* read(join(store, lastName)) };
  },
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
