/** `weir serve` as a process. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { tokensIn } from "../../cli/serve/token_file.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { leftovers, scratchFolder } from "../fixtures/server.ts";
import { weir } from "./command_line.ts";

const program = fileURLToPath(
  new URL(`../../cli/main${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url),
);

describe("weir serve", () => {
  const store = scratchFolder("serve");
  const file = join(scratchFolder("tokens"), "tokens");
  const token = "correct-horse-battery";
  let child: ChildProcess;
  let ended: Promise<{ readonly exitCode: number | null; readonly stderr: string }>;
  let url: string;
  before(async () => {
    writeFileSync(file, `# who\n\n${token} ana\nstaple-horse-battery wall acme read\n`);
    chmodSync(file, 0o600);
    const { NATS_URL: _, ...env } = process.env;
    const words = ["serve", "--store", store, "--port", "0", "--token-file", file, "--json"];
    child = spawn(process.execPath, [...runtimeArguments, program, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      env,
    });
    process.on("exit", () => child.kill("SIGKILL"));
    let stderr = "";
    child.stderr!.on("data", (chunk) => stderr += chunk);
    ended = new Promise((resolve) =>
      child.once("close", (exitCode) => resolve({ exitCode, stderr }))
    );
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const { value } = await lines.next();
    assert.ok(value !== undefined, `it says where it listens; ${stderr}`);
    const said = JSON.parse(value);
    assert.deepEqual([said.control, said.open], [false, false]);
    url = said.listening;
    child.stdout!.resume();
  });
  after(async () => {
    process.kill(child.pid!, "SIGINT");
    assert.deepEqual(await ended, { exitCode: 130, stderr: "" });
  });

  const ask = async (method: string, path: string, body?: unknown, authorization?: string) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(authorization === undefined ? {} : { authorization: `Bearer ${authorization}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };

  it("listens where only this machine can connect, and lets in who has a token", async () => {
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.equal((await ask("GET", "/healthz")).status, 200);
    assert.equal((await ask("GET", "/ready")).status, 401);
    assert.equal((await ask("GET", "/ready", undefined, token)).status, 200);
    assert.equal((await ask("GET", "/ready", undefined, "staple-horse-battery")).status, 403);
    assert.equal((await ask("GET", "/api/v1/runs", undefined, "staple-horse-battery")).status, 200);
  });

  it("takes tasks, and steers nothing unless it is told to", async () => {
    const body = { actor: "order", input: { cents: 4200 }, id: "o-1", unserved: true };
    assert.equal((await ask("POST", "/api/v1/tasks", body, token)).status, 201);
    const place = "/api/v1/runs/order%2Fo-1";
    assert.match((await ask("GET", place, undefined, token)).text, /"status":"waiting"/);
    const { status, text } = await ask("POST", `${place}/cancel`, undefined, token);
    assert.deepEqual([status, /Control is off/.test(text)], [403, true]);
    const head = await fetch(`${url}/healthz`, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });

  it("does not start without knowing whom to let in, and repeats no token", async () => {
    const none = await weir(["serve", "--store", store]);
    assert.equal(none.exitCode, 2);
    assert.match(none.stderr, /--token-file .* or --open/);
    const missing = await weir(["serve", "--token-file", "/nonexistent/tokens"]);
    assert.equal(missing.exitCode, 2);
    assert.match(missing.stderr, /no such file/);
    const twice = join(scratchFolder("tokens"), "tokens");
    writeFileSync(twice, `# who\n${token} ana\n${token} wall acme read\n`, { mode: 0o600 });
    const refused = await weir(["serve", "--store", store, "--token-file", twice], {
      until: (stdout) => stdout.includes("listening"),
    });
    assert.equal(refused.exitCode, 2);
    assert.match(refused.stderr, /"numbers 1 and 2" is refused/);
    assert.ok(!refused.stderr.includes(token));
    for (const text of [`${token}`, `${token} ana acme everything`, `${token} a b c d`]) {
      assert.throws(() => tokensIn("tokens", text), (error: Error) => {
        assert.match(error.message, /line 1/);
        assert.ok(!error.message.includes(token));
        return true;
      });
    }
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
