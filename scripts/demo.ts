/**
 * `deno task demo`: an execution that survives. A worker is killed with kill -9 in the middle of an
 * order; another one goes on where the log ends, and nothing that was recorded runs again. With
 * `--keep` the server stays up, to be looked at with the NATS CLI.
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { connect } from "@weir/weir";
import { approval, order } from "./demo/order.ts";

const namespace = "demo";
const say = (line = "") => console.log(line);
const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const program = fileURLToPath(new URL("./demo/worker.ts", import.meta.url));
const workers = new Set<ChildProcess>();

/** Starts a worker in a process of its own, and waits until it is ready. */
const startWorker = (url: string): Promise<ChildProcess> =>
  new Promise((resolve, reject) => {
    const worker = spawn(process.execPath, ["run", "-A", program, url, namespace], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    workers.add(worker);
    worker.once("exit", () => {
      workers.delete(worker);
      reject(new Error("the worker ended before it was ready"));
    });
    worker.stdout.on("data", (data: Uint8Array) => {
      const text = new TextDecoder().decode(data);
      process.stdout.write(text);
      if (text.includes("ready")) resolve(worker);
    });
  });

/** Waits until a step is in the log. */
const untilRecorded = async (run: { describe(): Promise<{ steps: object }> }, step: string) => {
  while (!(step in (await run.describe()).steps)) await pause(50);
};

const store = fileURLToPath(new URL("../.cache/demo", import.meta.url));
const embedded = { store, onProgress: (message: string) => say(`   ${message}`) };
say("Starting the embedded nats-server (it is fetched on the first run) …");
await using weir = await connect({ namespace, embedded });
const url = weir.server?.url ?? process.env["NATS_URL"] ?? "";
say(`JetStream listens at ${new URL(url).host}.`);

try {
  say("\n1. A worker comes up, and an order is started:");
  const one = await startWorker(url);
  const id = `o-${Date.now().toString(36)}`;
  const run = await weir.start(order, { cents: 4200 }, {
    id,
    tags: { "team.name": "checkout" },
  });
  await untilRecorded(run, "reserve");
  await pause(500);

  say(`\n2. kill -9 ${one.pid}, in the middle of the charge:`);
  one.kill("SIGKILL");
  const left = await run.describe();
  say(`   ${run.id} is ${left.status}, owned by ${left.owner ?? "nobody"}.`);
  say(`   In the log: ${Object.keys(left.steps).join(", ")}. Nobody had to save anything.`);

  say("\n3. Another worker comes up. The server offers it the order as soon as the first one's");
  say("   silence has lasted 10 seconds; it claims the lease and goes on:");
  await startWorker(url);
  await untilRecorded(run, "charge");

  say("\n4. The order sleeps, then waits for a signal, and costs nothing meanwhile:");
  while ((await run.describe()).reason !== "signal") await pause(100);
  say(`   ${(await run.describe()).why}`);
  const signalled = await run.signal(approval, { by: "ana" }, { key: "approval-1" });
  say(`   The signal is durable; its effect: ${await signalled.effect()}.`);

  say("\n5. The result, reserved by the dead worker and charged by the living one:");
  say(`   ${JSON.stringify(await run.result())}`);

  say("\n6. Everything that happened is one log, which the server kept in order:");
  for await (const { sequence, record } of run.history()) {
    const { kind, ...rest } = record as { kind: string; key?: string; worker?: string };
    say(`   ${String(sequence).padStart(4)}  ${kind.padEnd(9)} ${rest.key ?? rest.worker ?? ""}`);
  }
  say("\nSee the same with the NATS CLI, while the server runs (deno task demo --keep):");
  say(`   nats --server ${url} kv history ${namespace} 'lease.>'`);
  say(`   nats --server ${url} stream view KV_${namespace}`);
  say(`   nats --server ${url} sub '${namespace}.*.*.order.default.${id}'`);
  if (process.argv.includes("--keep")) {
    say("\nServer and worker stay up until you press Ctrl-C.");
    await new Promise((resolve) => process.once("SIGINT", resolve));
  }
} finally {
  await Promise.all([...workers].map((worker) =>
    new Promise((resolve) => {
      worker.removeAllListeners("exit");
      worker.once("exit", resolve);
      worker.kill("SIGTERM");
    })
  ));
}
