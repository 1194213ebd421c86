/**
 * A nats-server binary that was run once and told its version. No path is handed on unless it
 * answered with a version that has all that Weir is built on. It does not look for binaries.
 */
import * as Effect from "effect/Effect";
import { run } from "./command.ts";

/** The release that is fetched where none is installed. */
export const pinnedVersion = "2.15.1";

/** The oldest release that can do message schedules, atomic batches and prioritised consumers. */
export const requiredVersion = "2.14.0";

export interface Binary {
  readonly path: string;
  readonly version: string;
}

const numbers = (version: string): ReadonlyArray<number> =>
  version.split("-")[0]!.split(".").map(Number);

const isRecentEnough = (version: string): boolean => {
  const [major = 0, minor = 0] = numbers(version);
  const [requiredMajor = 0, requiredMinor = 0] = numbers(requiredVersion);
  return major > requiredMajor || (major === requiredMajor && minor >= requiredMinor);
};

/** The binary at `path`, or the reason why it cannot be used. */
export const inspect = Effect.fnUntraced(
  function* (path: string): Effect.fn.Return<Binary, string> {
    const printed = yield* run(path, ["--version"]).pipe(
      Effect.timeoutOrElse({
        duration: "5 seconds",
        orElse: () => Effect.fail(`${path} --version gave no answer within 5 seconds`),
      }),
    );
    const version = /^nats-server: v(\d+\.\d+\.\d+\S*)/.exec(printed)?.[1];
    if (version === undefined) {
      return yield* Effect.fail(
        `${path} is no nats-server: --version printed ${JSON.stringify(printed.slice(0, 80))}`,
      );
    }
    if (!isRecentEnough(version)) {
      return yield* Effect.fail(
        `${path} is version ${version}, ${requiredVersion} or later is needed`,
      );
    }
    return { path, version };
  },
);
