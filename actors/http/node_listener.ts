/**
 * The handler behind `node:http`, which Deno has as well. Nothing that a client sends reaches anybody
 * but the handler, or ends the process; a client that goes aborts its request, and one that reads
 * slowly is not written ahead of.
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";

export type Handler = (request: Request) => Promise<Response>;

const addresses = new WeakMap<Request, string>();

/** The address from which a request came that is served here. */
export const addressOf = (request: Request): string => addresses.get(request) ?? "";

/** What is sent, as fast as it is read; whatever nobody reads is let go. */
const bodyOf = (incoming: IncomingMessage): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start: (controller) => {
      incoming.on("data", (chunk: Uint8Array) => {
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) incoming.pause();
      });
      incoming.once("end", () => controller.close());
      incoming.once("error", (error) => controller.error(error));
      incoming.pause();
    },
    pull: () => void incoming.resume(),
    cancel: () => {
      incoming.removeAllListeners("data");
      incoming.removeAllListeners("end");
      incoming.resume();
    },
  });

/** The request, or nothing if it is none that a handler could be asked. */
const requestOf = (incoming: IncomingMessage, signal: AbortSignal): Request | undefined => {
  const { method = "GET", url = "" } = incoming;
  const { host = "localhost" } = incoming.headers;
  // A host that is none would move what the path is.
  if (!url.startsWith("/") || !/^[\w.:[\]-]+$/.test(host)) return undefined;
  try {
    const headers = new Headers();
    for (const [name, values = []] of Object.entries(incoming.headersDistinct)) {
      for (const value of values) headers.append(name, value);
    }
    const init = { method, headers, signal };
    const at = new URL(`http://${host}${url}`);
    return method === "GET" || method === "HEAD"
      ? new Request(at, init)
      : new Request(at, { ...init, body: bodyOf(incoming), duplex: "half" } as RequestInit);
  } catch {
    return undefined;
  }
};

const send = async (response: Response, outgoing: ServerResponse, signal: AbortSignal) => {
  for (const [name, value] of response.headers) outgoing.appendHeader(name, value);
  outgoing.writeHead(response.status);
  if (response.body === null) return void outgoing.end();
  const reader = response.body.getReader();
  const stop = () => void reader.cancel().catch(() => undefined);
  if (signal.aborted) return stop();
  signal.addEventListener("abort", stop, { once: true });
  // Whoever reads an event stream learns at once that it has begun.
  outgoing.flushHeaders();
  for (;;) {
    const { value, done } = await reader.read();
    if (done || signal.aborted) break;
    if (!outgoing.write(value)) await once(outgoing, "drain", { signal });
  }
  outgoing.end();
};

const answer = async (handler: Handler, incoming: IncomingMessage, outgoing: ServerResponse) => {
  const gone = new AbortController();
  outgoing.once("close", () => gone.abort());
  try {
    const request = requestOf(incoming, gone.signal);
    if (request === undefined) return void outgoing.writeHead(400).end();
    addresses.set(request, incoming.socket.remoteAddress ?? "");
    const response = await handler(request);
    // What the handler did not read is not waited for.
    if (!incoming.complete) outgoing.setHeader("connection", "close");
    await send(response, outgoing, gone.signal);
  } catch {
    if (outgoing.headersSent) outgoing.destroy();
    else outgoing.writeHead(500).end();
  }
};

/** A listener for `createServer` that has a handler answer. */
export const makeNodeListener =
  (handler: Handler) => (incoming: IncomingMessage, outgoing: ServerResponse): void =>
    void answer(handler, incoming, outgoing);
