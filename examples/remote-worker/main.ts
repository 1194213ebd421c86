/**
 * Work that a program in another language does: `worker.py` speaks JSON over NATS and imports nothing
 * of Weir. It is killed in the middle of a step, and the next one goes on from what it had reported.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect, remoteActor } from "@weir/weir";

const transcribe = remoteActor<
  { lines: ReadonlyArray<string>; secondsPerLine: number },
  { text: string }
>("transcribe", { leaseTtl: "5 seconds" });

await using weir = await connect();
await using _worker = await weir.worker([transcribe]);

/** Starts the worker; `onLine` hears what it says that it does. */
const python = (onLine: (line: { readonly what: string; readonly fence?: number }) => void) => {
  const script = fileURLToPath(new URL("worker.py", import.meta.url));
  const child = spawn(process.env["WEIR_PYTHON"] ?? "python3", [script, "w-1"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NATS_URL: weir.server?.url ?? process.env["NATS_URL"] },
  });
  createInterface({ input: child.stdout }).on("line", (line) => onLine(JSON.parse(line)));
  return child;
};

const lines = ["a weir", "is a fence", "set in a stream"];
const run = await weir.start(transcribe, { lines, secondsPerLine: 0.5 }, { id: "t-1" });

const first = python(({ what }) => {
  if (what === "claimed") setTimeout(() => first.kill("SIGKILL"), 800);
});
await new Promise((resolve) => first.once("exit", resolve));

const second = python(({ what, fence }) => console.log(`${what} under the fence ${fence ?? "-"}`));
const { text } = await run.result();
console.log(text.replaceAll("\n", " "));
second.kill("SIGTERM");
await new Promise((resolve) => second.once("exit", resolve));

// prints: claimed under the fence 2
// prints: A WEIR IS A FENCE SET IN A STREAM
