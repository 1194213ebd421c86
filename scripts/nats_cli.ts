/**
 * Provides the real NATS CLI, which tests and the demo's story use to look at what Weir stores. It
 * is built once per user from the sources that `natscli/go.mod` and `go.sum` pin, since no registry
 * carries the binary. Run by itself, it prints the path.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { runOrThrow } from "./gate/command.ts";
import { findGo } from "./gate/go.ts";
import { root } from "./gate/library.ts";
import { cached, cachePath } from "./gate/user_cache.ts";

const module = join(root, "scripts", "natscli");
const buildLimitSeconds = 480;

export const natsCli = async (): Promise<string> => {
  const named = process.env["WEIR_NATS_CLI"];
  if (named) return named;
  const pins = await readFile(join(module, "go.mod"), "utf8");
  const version = /natscli v(\S+)/.exec(pins)?.[1];
  if (version === undefined) throw new Error(`${module}/go.mod pins no natscli`);
  return cached(cachePath("nats-cli", version, "nats"), async (result, scratch) => {
    const { program, env } = await findGo(scratch);
    const stamp = `-s -w -X main.version=${version}`;
    const from = "github.com/nats-io/natscli/nats";
    await runOrThrow(
      program,
      [
        "build",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        stamp,
        "-o",
        result,
        from,
      ],
      { cwd: module, env: { ...env, CGO_ENABLED: "0" }, limitSeconds: buildLimitSeconds },
    );
  });
};

if (import.meta.main) console.log(await natsCli());
