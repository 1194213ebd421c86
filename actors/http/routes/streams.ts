/**
 * The four families as server-sent events, behind the same door: the live bridge, asked by whoever
 * was let in and with the tenant that is meant. What it refuses is told in the form of this door.
 */
import * as Schema from "effect/Schema";
import { type EventSources, handlerOf, isFamily } from "../../live_bridge.ts";
import { notFound, Refusal } from "../refusal.ts";
import { tenantQuery } from "../query.ts";
import { type Route, route } from "../route.ts";

const text = (description: string) => Schema.optionalKey(Schema.String.annotate({ description }));

const StreamQuery = Schema.Struct({
  ...tenantQuery,
  cursor: text("Behind which it begins, or earliest or now; now, if left out"),
  executionId: text("One execution"),
  tag: text("name, or name=value"),
});

/** The same sources, of one tenant. */
const sourcesOf = (weir: EventSources, tenant: string): EventSources => ({
  leaseHistory: (options) => weir.leaseHistory({ ...options, tenant }),
  completions: (options) => weir.completions({ ...options, tenant }),
  signalDeliveries: (options) => weir.signalDeliveries({ ...options, tenant }),
  instanceTags: (options) => weir.instanceTags({ ...options, tenant }),
});

interface Told {
  readonly code: string;
  readonly message: string;
  readonly retryable?: boolean;
  /** The class, which the code says as well. */
  readonly error?: string;
}

const refusalOf = async (response: Response): Promise<Refusal> => {
  const { code, message, retryable = false, error: _, ...details } = await response.json() as Told;
  const allow = response.headers.get("allow");
  return new Refusal({
    status: response.status,
    code,
    message,
    retryable,
    ...(Object.keys(details).length === 0 ? {} : { details }),
    headers: allow === null ? {} : { allow },
  });
};

export const streamRoutes = (
  base: string,
  heartbeatMs: number | undefined,
): ReadonlyArray<Route> => [
  route({
    method: "GET",
    path: "/v1/streams/{family}",
    verb: "streams",
    access: "read",
    summary: "What happens, as server-sent events",
    query: StreamQuery,
    headers: { "last-event-id": "Where a client goes on that was there before" },
    answers: { 200: { description: "Events without end", mediaType: "text/event-stream" } },
    handle: async ({ request, weir, tenant, path: { family }, tell }) => {
      if (!isFamily(family)) {
        throw notFound(
          "Ask for leaseHistory, completions, signalDeliveries or instanceTags.",
        );
      }
      let failure: unknown;
      let hasBegun = false;
      const bridge = handlerOf({
        weir: sourcesOf(weir, tenant),
        path: `${base}/v1/streams`,
        ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
        onError: (error) => hasBegun ? tell(error) : failure = error,
      });
      const response = await bridge(request);
      hasBegun = response.ok;
      if (hasBegun) return response;
      // Which this door tells in its own way, and its operator whole.
      if (response.status >= 500) throw failure;
      throw await refusalOf(response);
    },
  }),
];
