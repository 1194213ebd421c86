/**
 * nats-server built by the Go toolchain of this machine, for platforms that neither an archive nor a
 * package serves. Go checks the source against its checksum database. It takes minutes.
 */
import { join } from "node:path";
import process from "node:process";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import { pinnedVersion } from "./binary.ts";
import { run } from "./command.ts";

export interface GoInstallOptions {
  readonly connectTimeout: Duration.Input;
  readonly onProgress: (message: string) => void;
}

const module = `github.com/nats-io/nats-server/v2@v${pinnedVersion}`;

/** Builds the binary into `scratch`. */
export const goInstall = Effect.fnUntraced(function* (
  scratch: string,
  options: GoInstallOptions,
): Effect.fn.Return<string, string> {
  const environment = {
    cwd: scratch,
    env: { ...process.env, GOBIN: scratch, CGO_ENABLED: "0", GOFLAGS: "-trimpath" },
  };
  yield* run("go", ["version"], environment);
  yield* run("go", ["list", "-m", module], environment).pipe(
    Effect.timeoutOrElse({
      duration: options.connectTimeout,
      orElse: () => Effect.fail("the Go module proxy did not answer in time"),
    }),
  );
  options.onProgress(`Building nats-server ${pinnedVersion} with Go`);
  yield* run("go", ["install", module], environment);
  return join(scratch, "nats-server");
});
