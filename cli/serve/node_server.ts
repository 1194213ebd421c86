/**
 * A handler of web-standard requests behind `node:http`, which Deno has as well. A client that goes
 * aborts its request, and one that reads slowly is not written ahead of; what a request says is for
 * the handler alone.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Handler = (request: Request) => Promise<Response>;

const addresses = new WeakMap<Request, string>();

/** The address from which a request came that is served here. */
export const addressOf = (request: Request): string => addresses.get(request) ?? "";

export interface Listening {
  readonly url: string;
  readonly close: () => Promise<void>;
}

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
  const headers = new Headers();
  for (const [name, values = []] of Object.entries(incoming.headersDistinct)) {
    for (const value of values) headers.append(name, value);
  }
  const init = { method, headers, signal };
  try {
    const at = new URL(`http://${host}${url}`);
    return method === "GET" || method === "HEAD"
      ? new Request(at, init)
      : new Request(at, { ...init, body: bodyOf(incoming), duplex: "half" } as RequestInit);
  } catch {
    return undefined;
  }
};

const send = async (response: Response, outgoing: ServerResponse, signal: AbortSignal) => {
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  if (response.body === null) return void outgoing.end();
  const reader = response.body.getReader();
  signal.addEventListener("abort", () => void reader.cancel().catch(() => undefined));
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
    outgoing.destroy();
  }
};

/** Serves a handler until it is closed. */
export const listen = async (
  handler: Handler,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Listening> => {
  const server = createServer((incoming, outgoing) => void answer(handler, incoming, outgoing));
  server.listen(port, host);
  await once(server, "listening");
  const { address, family, port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${chosen}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
