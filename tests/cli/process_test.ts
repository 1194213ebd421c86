/** `weir` as a process: what only a real one has, exit codes, pipes and signals. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { runtimeArguments } from "../fixtures/program.ts";
import { eventually, leftovers, scratchFolder } from "../fixtures/server.ts";
import { objects } from "./command_line.ts";

const program = fileURLToPath(
  new URL(`../../cli/main${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url),
);

const children = new Set<ChildProcess>();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

const launch = (words: ReadonlyArray<string>) => {
  const { NATS_URL: _, ...env } = process.env;
  const child = spawn(process.execPath, [...runtimeArguments, program, ...words], {
    stdio: ["ignore", "pipe", "pipe"],
    // A process that was not told otherwise is piped here, and must not be coloured.
    env: { ...env, TERM: "xterm-256color" },
  });
  children.add(child);
  let stderr = "";
  child.stderr.on("data", (chunk) => stderr += chunk);
  const ended = new Promise<{ readonly exitCode: number | null; readonly stderr: string }>(
    (resolve) => child.once("close", (exitCode) => resolve({ exitCode, stderr })),
  ).finally(() => children.delete(child));
  return { child, ended };
};

const runToEnd = async (words: ReadonlyArray<string>) => {
  const { child, ended } = launch(words);
  let stdout = "";
  child.stdout.on("data", (chunk) => stdout += chunk);
  return { ...await ended, stdout };
};

describe("the process weir", () => {
  const store = scratchFolder("dev");
  let dev: ReturnType<typeof launch>;
  let server: { readonly url: string; readonly store: string };
  before(async () => {
    dev = launch(["dev", "--store", store, "--json"]);
    const lines = createInterface({ input: dev.child.stdout })[Symbol.asyncIterator]();
    server = JSON.parse((await lines.next()).value).server;
    dev.child.stdout.resume();
  });
  after(async () => {
    // Of a child that it killed itself, Deno says that the signal ended it, whatever did.
    process.kill(dev.child.pid!, "SIGINT");
    assert.deepEqual(await dev.ended, { exitCode: 130, stderr: "" });
  });

  it("dev runs the embedded server of a folder, which others find by the folder", async () => {
    assert.equal(server.store, store);
    const started = await runToEnd(
      ["start", "order", "--id", "o-1", "--unserved", "--store", store, "--json"],
    );
    assert.deepEqual([started.exitCode, started.stderr], [0, ""]);
    assert.equal(objects(started.stdout)[0]!["execution"], "order/o-1");
  });

  it("prints no colour into a pipe, and ends with 0", async () => {
    const listed = await eventually("it is listed", async () => {
      const ran = await runToEnd(["ls", "--server", server.url]);
      return ran.stdout === "" ? undefined : ran;
    }, 30_000);
    assert.deepEqual([listed.exitCode, listed.stderr], [0, ""]);
    assert.match(listed.stdout, /^order\/o-1\twaiting\t[\dT:.Z-]+\t-\t-\n$/);
  });

  it("ends with 1 for what failed and with 2 for what makes no sense", async () => {
    const failed = await runToEnd(["describe", "order/o-9", "--server", server.url]);
    assert.deepEqual([failed.exitCode, failed.stdout], [1, ""]);
    assert.match(failed.stderr, /^weir: There is no execution order\/o-9\./);
    assert.equal((await runToEnd(["--nonsense"])).exitCode, 2);
  });

  it("ends although a server that is not NATS keeps the connection", async () => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => {
      socket.on("error", () => undefined);
      sockets.add(socket);
    });
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    try {
      const ran = await runToEnd(["ls", "--server", `nats://127.0.0.1:${port}`]);
      assert.deepEqual([ran.exitCode, ran.stdout], [1, ""]);
      assert.match(ran.stderr, /^weir: Cannot connect to .*: timeout\. Check the address/);
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => silent.close(resolve));
    }
  });

  it("ends with 0, and without a word, when nobody reads on", async () => {
    const { child, ended } = launch(["dev", "--server", server.url]);
    child.stdout.destroy();
    const late = setTimeout(() => child.kill("SIGKILL"), 30_000);
    assert.deepEqual(await ended, { exitCode: 0, stderr: "" });
    clearTimeout(late);
  });

  it("prints a completion script", async () => {
    const { exitCode, stdout } = await runToEnd(["--completions", "bash"]);
    assert.equal(exitCode, 0);
    assert.match(stdout, /complete .*weir/);
    assert.match(stdout, /subscriptions/);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
