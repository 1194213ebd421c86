/**
 * The live bridge: the four families as server-sent events, in a handler that any server of
 * web-standard requests can mount. A browser that comes back goes on behind the last message it was
 * sent; nothing is read that the client does not take, and nothing outlives its request.
 *
 * @module
 */
import "./schema/effect_version.ts";
import { type BridgeOptions, handlerOf } from "./actors/live_bridge.ts";

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
