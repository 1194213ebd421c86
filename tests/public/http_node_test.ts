import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect as dial } from "node:net";
import { after, before, describe, it } from "node:test";
import { addressOf, nodeListener, weirHandler } from "@weir/weir/http";
import { inMemory, type MemoryWeir } from "@weir/weir/testing";

const chunk = new Uint8Array(65_536);
const chunks = 1_000;

/** Serves a handler on a port of its own. */
const serve = async (handler: (request: Request) => Promise<Response>) => {
  const server = createServer(nodeListener(handler));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { server, port, url: `http://127.0.0.1:${port}` };
};

const close = (server: Server) =>
  new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

/** Sends bytes and gives all that comes back until the server closes. */
const raw = (port: number, text: string) =>
  new Promise<string>((resolve, reject) => {
    const socket = dial(port, "127.0.0.1", () => socket.write(text));
    let said = "";
    socket.setTimeout(30_000, () => socket.destroy(new Error("it hangs")));
    socket.on("data", (chunk) => said += chunk);
    socket.on("error", reject);
    socket.on("close", () => resolve(said));
  });

const end = "connection: close\r\n\r\n";

describe("a handler behind node:http", () => {
  let server: Server;
  let port: number;
  let url: string;
  const aborted: Array<string> = [];
  let pulled = 0;
  /** Called when an answer is asked for whose client will have gone, and when it is let go. */
  const late = { begun: () => {}, letGo: () => {} };
  before(async () => {
    ({ server, port, url } = await serve(async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/refuse") return new Response("no", { status: 413 });
      if (pathname === "/endless") {
        request.signal.addEventListener("abort", () => aborted.push(pathname));
        return new Response(
          new ReadableStream({
            pull: (controller) => controller.enqueue(chunk),
            cancel: () => void aborted.push("body"),
          }),
        );
      }
      if (pathname === "/long") {
        return new Response(
          new ReadableStream({
            pull: (controller) => {
              if (pulled === chunks) return controller.close();
              pulled++;
              controller.enqueue(chunk);
            },
          }),
        );
      }
      if (pathname === "/late") {
        late.begun();
        await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
        return new Response(new ReadableStream({ cancel: () => late.letGo() }));
      }
      if (pathname === "/address") return new Response(addressOf(request));
      if (pathname === "/cookies") {
        return new Response(null, { headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]] });
      }
      if (pathname === "/throws") throw new Error("a secret");
      return new Response(`${request.method} ${pathname} ${await request.text()}`);
    }));
  });
  after(() => close(server));

  it("passes on what is sent, and what is answered", async () => {
    const response = await fetch(`${url}/a%2Fb`, { method: "POST", body: "x".repeat(300_000) });
    assert.equal(await response.text(), `POST /a%2Fb ${"x".repeat(300_000)}`);
    const { headers } = await fetch(`${url}/cookies`);
    assert.deepEqual(headers.getSetCookie(), ["a=1", "b=2"]);
  });

  it("knows the address of who asks, and of nobody else", async () => {
    assert.equal(await (await fetch(`${url}/address`)).text(), "127.0.0.1");
    assert.equal(addressOf(new Request(url)), "");
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
      assert.match(await raw(port, request), /^HTTP\/1\.1 4\d\d /, JSON.stringify(request));
    }
  });

  it("answers what is refused before its body has come, and closes", async () => {
    const said = await raw(
      port,
      "POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nbegin",
    );
    assert.match(said, /^HTTP\/1\.1 413 [^]*connection: close/i);
  });

  it("tells the handler of a client that has gone", async () => {
    const gone = new AbortController();
    const response = await fetch(`${url}/endless`, { signal: gone.signal });
    await response.body!.getReader().read();
    gone.abort();
    const deadline = performance.now() + 60_000;
    while (aborted.length < 2) {
      assert.ok(performance.now() < deadline, `told of ${aborted}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.deepEqual([...aborted].sort(), ["/endless", "body"]);
  });

  it("lets go of an answer whose client went before it came", async () => {
    const begun = new Promise<void>((resolve) => late.begun = resolve);
    const letGo = new Promise<void>((resolve) => late.letGo = resolve);
    const gone = new AbortController();
    const response = fetch(`${url}/late`, { signal: gone.signal });
    await begun;
    gone.abort();
    await assert.rejects(response);
    await letGo;
  });

  it("asks for no more than the client reads, and for all of it in the end", async () => {
    const socket = dial(port, "127.0.0.1");
    socket.write(`GET /long HTTP/1.1\r\nhost: x\r\n${end}`);
    // It has begun to come, and nobody takes it.
    await new Promise((resolve) => socket.once("readable", resolve));
    // Turns in which one that writes ahead would.
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setTimeout(resolve));
    assert.ok(pulled < chunks, `${pulled} of ${chunks} were asked for`);
    let bytes = 0;
    socket.on("data", (some) => bytes += some.length);
    await new Promise((resolve, reject) => socket.once("end", resolve).once("error", reject));
    socket.destroy();
    assert.equal(pulled, chunks);
    assert.ok(bytes > chunks * chunk.length, `${bytes} bytes came`);
  });

  it("answers for a handler that fails, and says nothing of why", async () => {
    const said = await raw(port, `GET /throws HTTP/1.1\r\nhost: x\r\n${end}`);
    assert.match(said, /^HTTP\/1\.1 500 /);
    assert.ok(!said.includes("secret"));
  });
});

describe("everything behind node:http", () => {
  let weir: MemoryWeir;
  let server: Server;
  let port: number;
  before(async () => {
    weir = await inMemory();
    ({ server, port } = await serve(weirHandler({ weir, open: true })));
  });
  after(async () => {
    await close(server);
    await weir.close();
  });

  it("goes on after requests that are none", async () => {
    const status = async (request: string) =>
      /^HTTP\/1\.1 (\d+) /.exec(await raw(port, `${request}\r\n${end}`))?.[1];
    assert.equal(await status("GET // HTTP/1.1\r\nhost: x"), "404");
    assert.equal(await status("TRACE / HTTP/1.1\r\nhost: x"), "400");
    assert.equal(await status("GET / HTTP/1.1\r\nhost: a b"), "400");
    assert.equal(await status("GET /healthz HTTP/1.1\r\nhost: x"), "200");
  });
});
