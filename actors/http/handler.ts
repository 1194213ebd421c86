/**
 * The handler: one request from its URL to its answer, in one order for all routes. Nobody is told
 * anything, and no body is read, before it is known who asks; whatever goes wrong is an answer.
 */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../../schema/errors.ts";
import { ExecutionId, parse, Tenant } from "../../schema/ids.ts";
import { type Access, type AuthorizeVerb, type Caller, judge } from "./authorize.ts";
import { type BodyLimits, readJson } from "./body.ts";
import { makeCors } from "./cors.ts";
import { isFamily } from "../live_bridge.ts";
import { problemOf } from "./problem.ts";
import { makeRate, type RequestRate } from "./rate.ts";
import { parseQuery } from "./query.ts";
import { forbidden, invalidBody, invalidRequest, Refusal } from "./refusal.ts";
import type { Answer, Besides, Call, Route, ServedWeir } from "./route.ts";
import type { Weir } from "../weir.ts";
import { makeRouter } from "./router.ts";
import { tableOf } from "./table.ts";
import type { AnyActor } from "./routes/tasks.ts";
import type { AnySignal } from "./signals.ts";

export interface HandlerOptions {
  /** What is served. */
  readonly weir: ServedWeir & Partial<Pick<Weir, "as">>;
  /** The actors whose tasks are taken, with their schemas; any by its name, if left out. */
  readonly actors?: ReadonlyArray<AnyActor>;
  /**
   * The signals whose payloads are checked, and which are sent by who has what they `need`. Of any
   * other name the payload is any, and it is sent by whoever may send signals.
   */
  readonly signals?: ReadonlyArray<AnySignal>;
  /**
   * Asked before anything is read. Without it, and without `open`, only `/healthz` and tokens of
   * signals are answered.
   */
  readonly authorize?: AuthorizeVerb;
  /** The connection that acts for a caller; `weir` itself, if left out. */
  readonly weirFor?: (caller: Caller, request: Request) => ServedWeir | Promise<ServedWeir>;
  /**
   * Whether each caller acts as its principal, and is refused what that was not granted; a caller
   * without one is refused everything. Not with `weirFor`, which says that itself.
   */
  readonly grants?: boolean;
  /** Whether everybody is let in, if there is no `authorize`; only where nobody else can connect. */
  readonly open?: boolean;
  /**
   * Whether anything may be steered: executions, schedules, triggers, remote workers, the engine,
   * queues, subscriptions, budgets, tenants and grants.
   */
  readonly control?: boolean;
  /** What all paths begin with, like `/weir`; nothing, if left out. */
  readonly base?: string;
  /** The origins of web pages that may use it, like `https://app.example`; none, if left out. */
  readonly origins?: ReadonlyArray<string>;
  /** The longest body, in bytes; 1 MiB if left out. */
  readonly maxBodyBytes?: number;
  /** How long a body may take to arrive, in milliseconds; 30,000 if left out. */
  readonly bodyTimeoutMs?: number;
  /** How many requests may wait for results at once; 1,000 if left out. */
  readonly maxWaits?: number;
  /** How fast requests may come that need who asks; as fast as they come, if left out. */
  readonly rate?: RequestRate;
  /** How fast tokens of signals may come, good or bad; 50 a second in all, if left out. */
  readonly tokenRate?: RequestRate;
  /** How long a reader of events hears nothing at most, in milliseconds; 15,000 if left out. */
  readonly heartbeatMs?: number;
  /** Told of what went wrong here, with the id that the client was given. */
  readonly onError?: (
    error: unknown,
    request: { readonly id: string; readonly verb: string },
  ) => void;
}

const requestIdOf = ({ headers }: Request): string => {
  const given = headers.get("x-request-id") ?? "";
  return /^[\x21-\x7e]{1,128}$/.test(given) ? given : randomUUID();
};

/** Checks a part of a path or query, which is refused as a request is. */
const checked = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  what: string,
  value: string,
): void => {
  const result = Effect.runSync(Effect.result(parse(schema, what, value)));
  if (Result.isFailure(result)) throw invalidRequest(result.failure.message);
};

const parseBody = (route: Route, value: unknown): unknown => {
  if (route.body === undefined) {
    if (value === undefined || isEmptyObject(value)) return undefined;
    throw invalidBody("expected none");
  }
  if (value === undefined && route.isBodyOptional) return undefined;
  const decoded = Schema.decodeUnknownResult(route.body as Schema.Decoder<unknown>)(value, {
    onExcessProperty: "error",
  });
  if (Result.isSuccess(decoded)) return decoded.success;
  const rule = decoded.failure.message.replace("Expected", "expected").replace(/\s+/g, " ");
  throw invalidBody(rule.length > 500 ? `${rule.slice(0, 500)}…` : rule);
};

const isEmptyObject = (value: unknown): boolean =>
  typeof value === "object" && value !== null && !Array.isArray(value) &&
  Object.keys(value).length === 0;

const responseOf = ({ status, body, headers }: Answer): Response =>
  new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: { "content-type": "application/json", ...headers },
  });

/** The connection as the principal of each caller has it. */
const actingFor = (
  { weir, weirFor }: Pick<HandlerOptions, "weir" | "weirFor">,
): NonNullable<HandlerOptions["weirFor"]> => {
  if (weir.as === undefined || weirFor !== undefined) {
    const rule = "expected a connection that acts for others, and no weirFor";
    throw new InvalidInput({ what: "grants", value: "true", rule });
  }
  const { as } = weir;
  return ({ principal }) => {
    if (principal !== undefined) return as(principal);
    throw forbidden("Nobody is known to ask. It needs a principal that something was granted to.");
  };
};

/** The handler of everything. */
export const makeHandler = (
  options: HandlerOptions,
): (request: Request) => Promise<Response> => {
  const { weir, open = false, control = false, base = "", origins = [], onError } = options;
  const weirFor = options.grants === true ? actingFor(options) : options.weirFor;
  if (base !== "" && !/^(\/[\w.~-]+)+$/.test(base)) {
    throw new InvalidInput({ what: "base", value: base, rule: "expected a path like /weir" });
  }
  const limits: BodyLimits = {
    maxBytes: options.maxBodyBytes ?? 1024 * 1024,
    timeoutMs: options.bodyTimeoutMs ?? 30_000,
  };
  const authorize = options.authorize ?? (open ? () => "allowed" as const : undefined);
  const routes = tableOf({ ...options, base });
  const router = makeRouter(routes, base);
  const byVerb = new Map(routes.map((route) => [route.verb, route]));
  const cors = makeCors(origins);
  const rate = options.rate === undefined ? undefined : makeRate("rate", options.rate);

  const checkControl = ({ access, steers = false }: Route): void => {
    if ((access === "control" || steers) && !control) {
      throw forbidden("Control is off here. It needs `control: true`.");
    }
  };

  /** Who asks, and whose executions are meant. */
  const admit = async (
    request: Request,
    route: Route,
    path: Readonly<Record<string, string>>,
    query: URLSearchParams,
  ) => {
    const { access, verb } = route;
    const named = query.get("tenant") || path["tenant"];
    const allTenants = query.get("allTenants") === "true";
    const { id = query.get("executionId") ?? undefined, family } = path;
    const caller = access === "anybody" ? {} : await judge(authorize, request, {
      verb,
      access,
      ...(named === undefined ? {} : { tenant: named }),
      ...(allTenants ? { allTenants } : {}),
      ...(id === undefined ? {} : { execution: id }),
      ...(family !== undefined && isFamily(family) ? { family } : {}),
    });
    if (path["tenant"] !== undefined && path["tenant"] !== named) {
      throw invalidRequest("The path and the query name different tenants. Name one.");
    }
    checkControl(route);
    return { caller, tenant: caller.tenant ?? named ?? weir.tenant };
  };

  /** Whether what a body asks for besides may be asked for: as if it were asked for by itself. */
  const admitBesides = async (
    request: Request,
    { verb, execution }: Besides,
    tenant: string,
  ): Promise<void> => {
    const route = byVerb.get(verb)!;
    await judge(authorize, request, {
      verb,
      access: route.access as Access,
      tenant,
      ...(execution === undefined ? {} : { execution }),
    });
    checkControl(route);
  };

  /** Tells whoever runs the server of what is no client's doing. */
  const report = (error: unknown, id: string, verb: string): void => {
    if (error instanceof Refusal || !problemOf(error).isOurs) return;
    try {
      onError?.(error, { id, verb });
    } catch {
      // Whoever is told must not fail the answer.
    }
  };

  const serve = async (
    request: Request,
    id: string,
    seen: (verb: string) => void,
  ): Promise<Response> => {
    const { pathname, searchParams } = new URL(request.url);
    const preflight = cors.preflight(request, router.methods(pathname));
    if (preflight !== undefined) return preflight;
    const { route, path } = router.find(request.method, pathname);
    seen(route.verb);
    const limit = route.access === "anybody" ? route.limit : rate;
    limit?.(request);
    cors.check(request);
    const { caller, tenant } = await admit(request, route, path, searchParams);
    checked(Tenant, "tenant", tenant);
    if (path["id"] !== undefined) checked(ExecutionId, "execution id", path["id"]);
    const query = parseQuery(route.query, searchParams);
    const body = route.method === "POST"
      ? parseBody(route, await readJson(request, limits))
      : undefined;
    if (route.besides !== undefined) {
      await admitBesides(request, route.besides(body as never), tenant);
    }
    const call: Call<string> = {
      request,
      caller,
      tenant,
      path,
      query,
      body,
      tell: (error) => report(error, id, route.verb),
      weir: weirFor === undefined || route.access === "anybody"
        ? weir
        : await weirFor(caller, request),
    };
    const answer = await route.handle(call as Call<string, never, never>);
    return answer instanceof Response ? answer : responseOf(answer);
  };

  /** The answer to whatever went wrong, of which a client is told what it may know. */
  const refuse = (error: unknown, id: string, verb: string): Response => {
    report(error, id, verb);
    return responseOf(problemOf(error));
  };

  return async (request) => {
    const id = requestIdOf(request);
    let verb = "none";
    const response = await serve(request, id, (found) => verb = found)
      .catch((error) => refuse(error, id, verb));
    const headers = new Headers(response.headers);
    headers.set("x-request-id", id);
    headers.set("x-content-type-options", "nosniff");
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    for (const [name, value] of Object.entries(cors.headers(request))) headers.set(name, value);
    if (request.method === "HEAD") await response.body?.cancel();
    const body = request.method === "HEAD" ? null : response.body;
    return new Response(body, { status: response.status, headers });
  };
};
