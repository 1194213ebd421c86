/**
 * Which web pages may use the server, by the origins that they come from. A page of another origin is
 * kept from reading by its browser, and from changing anything here: browsers send a plain POST
 * across origins without asking.
 */
import { forbidden, shown } from "./refusal.ts";

const allowedHeaders = "authorization, content-type, idempotency-key, last-event-id, x-request-id";
const exposedHeaders = "location, retry-after, x-request-id";

export interface Cors {
  /** Refuses what a page of a strange origin would change. */
  readonly check: (request: Request) => void;
  /** The answer to a browser's question; nothing, if it is none, or of a strange origin. */
  readonly preflight: (request: Request, methods: ReadonlyArray<string>) => Response | undefined;
  /** What an answer says to the browser. */
  readonly headers: (request: Request) => Readonly<Record<string, string>>;
}

const isSame = (origin: string, request: Request): boolean =>
  URL.canParse(origin) && new URL(origin).host === new URL(request.url).host;

export const makeCors = (origins: ReadonlyArray<string>): Cors => {
  const isAllowed = (origin: string) => origins.includes(origin) || origins.includes("*");

  const headers: Cors["headers"] = ({ headers }) => {
    const origin = headers.get("origin");
    if (origins.length === 0) return {};
    if (origin === null || !isAllowed(origin)) return { vary: "origin" };
    return {
      vary: "origin",
      "access-control-allow-origin": origin,
      "access-control-expose-headers": exposedHeaders,
    };
  };

  return {
    headers,
    check: (request) => {
      const origin = request.headers.get("origin");
      if (origin === null || request.method === "GET" || request.method === "HEAD") return;
      if (isAllowed(origin) || isSame(origin, request)) return;
      throw forbidden(`Pages of the origin ${shown(origin)} may not change anything here.`);
    },
    preflight: (request, methods) => {
      const origin = request.headers.get("origin");
      const isAsking = request.method === "OPTIONS" &&
        request.headers.has("access-control-request-method");
      if (!isAsking || origin === null || !isAllowed(origin) || methods.length === 0) return;
      return new Response(null, {
        status: 204,
        headers: {
          ...headers(request),
          "access-control-allow-methods": methods.join(", "),
          "access-control-allow-headers": allowedHeaders,
          "access-control-max-age": "600",
        },
      });
    },
  };
};
