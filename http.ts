/**
 * Weir over HTTP, in handlers that any server of web-standard requests can mount: everything that
 * the promise door offers to clients as JSON, but for the event store, and the four families as
 * server-sent events. `weirHandler` lets nobody in unless `authorize` or `open` says so; nothing is
 * read that the client does not take, and nothing outlives its request.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import "./schema/effect_version.ts";
import { type HandlerOptions, makeHandler } from "./actors/http/handler.ts";
import { makeNodeListener } from "./actors/http/node_listener.ts";
import { type BridgeOptions, handlerOf } from "./actors/live_bridge.ts";

export type {
  Access,
  AskedVerb,
  AuthorizeVerb,
  Caller,
  Judgement,
} from "./actors/http/authorize.ts";
export { bearer, type BearerToken } from "./actors/http/bearer.ts";
export type { HandlerOptions } from "./actors/http/handler.ts";
export { addressOf } from "./actors/http/node_listener.ts";
export type { RequestRate } from "./actors/http/rate.ts";
export type { ServedWeir } from "./actors/http/route.ts";

export type {
  Asked,
  Authorize,
  BridgeOptions,
  EventSources,
  Verdict,
} from "./actors/live_bridge.ts";

/**
 * Answers `GET /v1/streams/{family}?cursor=…&tenant=…&executionId=…&tag=…` with server-sent events.
 *
 * **Example** (Serving events, to those who may see them)
 *
 * ```ts no-run
 * import { connect } from "@weir/weir";
 * import { eventStreams } from "@weir/weir/http";
 *
 * await using weir = await connect();
 * const handler = eventStreams({
 *   weir,
 *   authorize: (request) => request.headers.has("authorization") ? "allowed" : "unauthenticated",
 * });
 * const request = new Request("http://localhost/v1/streams/completions?cursor=earliest");
 * console.log((await handler(request)).status); // 401
 * ```
 */
export const eventStreams = (
  options: BridgeOptions,
): (request: Request) => Promise<Response> => handlerOf(options);

/**
 * Answers everything: `/api/v1` for executions, tasks, schedules, triggers, queues, budgets and the
 * engine, `/api/v2` for tenants, grants, ledgers and remote workers, `/v1/streams` for events,
 * `/healthz`, `/ready`, `/metrics`, and `/openapi.json`, which describes all of it.
 *
 * **Example** (A task over HTTP)
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { actor } from "@weir/weir";
 * import { bearer, weirHandler } from "@weir/weir/http";
 * import { inMemory } from "@weir/weir/testing";
 *
 * const order = actor("order", (ctx, cents: number) => ctx.run("charge", () => cents));
 * await using weir = await inMemory();
 * await weir.worker([order]);
 * const handler = weirHandler({
 *   weir,
 *   actors: [order],
 *   authorize: bearer([{ token: "correct-horse-battery", principal: "shop" }]),
 * });
 * const response = await handler(
 *   new Request("http://weir.test/api/v1/tasks", {
 *     method: "POST",
 *     headers: {
 *       authorization: "Bearer correct-horse-battery",
 *       "content-type": "application/json",
 *     },
 *     body: JSON.stringify({ actor: "order", input: 4200, id: "o-1" }),
 *   }),
 * );
 * assert.equal(response.status, 201);
 * assert.equal(response.headers.get("location"), "/api/v1/runs/order%2Fo-1");
 * ```
 */
export const weirHandler = (
  options: HandlerOptions,
): (request: Request) => Promise<Response> => makeHandler(options);

/**
 * Has a handler answer behind `node:http`, in Node and in Deno. A request that is none is refused and
 * ends nothing; a client that goes aborts its request, and one that reads slowly is not written ahead
 * of.
 *
 * **Example** (Behind node:http)
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { once } from "node:events";
 * import { createServer } from "node:http";
 * import { nodeListener, weirHandler } from "@weir/weir/http";
 * import { inMemory } from "@weir/weir/testing";
 *
 * await using weir = await inMemory();
 * const server = createServer(nodeListener(weirHandler({ weir, open: true })));
 * await once(server.listen(0, "127.0.0.1"), "listening");
 * const { port } = server.address() as { port: number };
 * const response = await fetch(`http://127.0.0.1:${port}/healthz`);
 * assert.equal((await response.json()).status, "ok");
 * server.close();
 * ```
 */
export const nodeListener = (
  handler: (request: Request) => Promise<Response>,
): (incoming: IncomingMessage, outgoing: ServerResponse) => void => makeNodeListener(handler);
