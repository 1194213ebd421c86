/**
 * Who may ask for what: the question that is put to the application before anything is read, and the
 * answers that it may give. Whatever is not one of these answers forbids the request.
 */
import * as Predicate from "effect/Predicate";
import type { Verdict } from "../live_bridge.ts";
import type { Family } from "../../streams/families.ts";
import { forbidden, Refusal } from "./refusal.ts";

/**
 * What a route does: `read` and `submit` and `signal` executions, `control` the course of those that
 * are there, or `operate` the namespace, which is of no tenant.
 */
export const accesses = ["read", "submit", "signal", "control", "operate"] as const;
export type Access = typeof accesses[number];

/**
 * What a client asks for; nothing of it was checked, and the body was not read. Of what a trigger is
 * to do it is asked as well, once the body is read.
 */
export interface AskedVerb {
  /** The route, like `runs.cancel`: the `operationId` of the OpenAPI document. */
  readonly verb: string;
  readonly access: Access;
  /** The tenant that the request names, if it names one. */
  readonly tenant?: string;
  /** Whether it is asked for all tenants, as a few routes can be. */
  readonly allTenants?: boolean;
  /** The id in the path, or the one that a stream is about. */
  readonly execution?: string;
  /** Of a stream of events. */
  readonly family?: Family;
}

/** Who asks. */
export interface Caller {
  /** In whose name it is done. */
  readonly principal?: string;
  /** The one tenant that there is for the caller; any, if left out. */
  readonly tenant?: string;
}

/** `allowed` is whoever it may be; of somebody known, say who it is. */
export type Judgement = Verdict | Caller;

export type AuthorizeVerb = (
  request: Request,
  asked: AskedVerb,
) => Judgement | Promise<Judgement>;

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

const isCaller = (value: unknown): value is Caller =>
  Predicate.isObject(value) && (isText(value["principal"]) || isText(value["tenant"])) &&
  (value["principal"] === undefined || isText(value["principal"])) &&
  (value["tenant"] === undefined || isText(value["tenant"]));

/** Who asks, if that may be asked for. */
export const judge = async (
  authorize: AuthorizeVerb | undefined,
  request: Request,
  asked: AskedVerb,
): Promise<Caller> => {
  if (authorize === undefined) {
    throw forbidden("Nobody may use this server yet. It needs `authorize`, or `open: true`.");
  }
  const judgement: unknown = await authorize(request, asked);
  if (judgement === "allowed") return {};
  if (judgement === "unauthenticated") {
    throw new Refusal({
      status: 401,
      code: "WEIR_UNAUTHENTICATED",
      message: "Say who you are and try again.",
      headers: { "www-authenticate": "Bearer" },
    });
  }
  if (!isCaller(judgement)) throw forbidden("Ask for what you may do.");
  const { tenant } = judgement;
  if (tenant !== undefined && asked.tenant !== undefined && asked.tenant !== tenant) {
    throw forbidden("Ask for what you may do: another tenant is not yours.");
  }
  if (tenant !== undefined && asked.allTenants === true) {
    throw forbidden("Ask for what you may do: other tenants are not yours.");
  }
  return judgement;
};
