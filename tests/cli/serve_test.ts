/** `weir serve` as a process, and its adapter to `node:http` on what no browser would send. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { connect as dial } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { listen, type Listening } from "../../cli/serve/node_server.ts";
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
    for (const text of [`${token}`, `${token} ana acme everything`, `${token} a b c d`]) {
      assert.throws(() => tokensIn("tokens", text), (error: Error) => {
        assert.match(error.message, /line 1/);
        assert.ok(!error.message.includes(token));
        return true;
      });
    }
  });
});

describe("a handler behind node:http", () => {
  let server: Listening;
  const aborted: Array<string> = [];
  before(async () => {
    server = await listen(async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/refuse") return new Response("no", { status: 413 });
      if (pathname === "/endless") {
        request.signal.addEventListener("abort", () => aborted.push(pathname));
        return new Response(
          new ReadableStream({
            pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
            cancel: () => void aborted.push("body"),
          }),
        );
      }
      if (pathname === "/throws") throw new Error("a secret");
      return new Response(`${request.method} ${pathname} ${await request.text()}`);
    }, { host: "127.0.0.1", port: 0 });
  });
  after(() => server.close());

  /** Sends bytes and gives all that comes back until the server closes. */
  const raw = (text: string) =>
    new Promise<string>((resolve, reject) => {
      const { hostname, port } = new URL(server.url);
      const socket = dial(Number(port), hostname, () => socket.write(text));
      let said = "";
      socket.setTimeout(30_000, () => socket.destroy(new Error("it hangs")));
      socket.on("data", (chunk) => said += chunk);
      socket.on("error", reject);
      socket.on("close", () => resolve(said));
    });

  const end = "connection: close\r\n\r\n";

  it("passes on what is sent, and what is answered", async () => {
    const response = await fetch(`${server.url}/a%2Fb`, {
      method: "POST",
      body: "x".repeat(300_000),
    });
    assert.equal(await response.text(), `POST /a%2Fb ${"x".repeat(300_000)}`);
  });

  it("answers junk with a refusal", async () => {
    for (
      const request of [
        `GET http://other.test/ HTTP/1.1\r\nhost: x\r\n${end}`,
        `OPTIONS * HTTP/1.1\r\nhost: x\r\n${end}`,
        `GET / HTTP/1.1\r\nhost: a b\r\n${end}`,
        // Which would have what is asked for be another path than a proxy has seen.
        `GET / HTTP/1.1\r\nhost: x/throws?\r\n${end}`,
        `GET / HTTP/1.1\r\nhost: x/throws#\r\n${end}`,
        `GET / HTTP/1.1\r\nhost: ana:secret@x\r\n${end}`,
        `GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n${end}`,
        `GET / HTTP/9.9\r\nhost: x\r\n${end}`,
        `TRACE / HTTP/1.1\r\nhost: x\r\n${end}`,
        "\u0000\u0001\u0002\r\n\r\n",
        `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n${end}`,
      ]
    ) {
      assert.match(await raw(request), /^HTTP\/1\.1 4\d\d /, JSON.stringify(request));
    }
  });

  it("answers what is refused before its body has come, and closes", async () => {
    const said = await raw(
      "POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nbegin",
    );
    assert.match(said, /^HTTP\/1\.1 413 [^]*connection: close/i);
  });

  it("tells the handler of a client that has gone", async () => {
    const gone = new AbortController();
    const response = await fetch(`${server.url}/endless`, { signal: gone.signal });
    await response.body!.getReader().read();
    gone.abort();
    const deadline = performance.now() + 60_000;
    while (aborted.length < 2) {
      assert.ok(performance.now() < deadline, `told of ${aborted}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual([...aborted].sort(), ["/endless", "body"]);
  });

  it("says nothing of a handler that fails", async () => {
    const said = await raw(`GET /throws HTTP/1.1\r\nhost: x\r\n${end}`);
    assert.ok(!said.includes("secret"));
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
