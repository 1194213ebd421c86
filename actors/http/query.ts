/**
 * The query of a request, as the schema of its route has it. A name that the route does not know, or
 * that is given twice, is refused: whoever mistypes a filter must not be shown everything.
 */
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import type { Cursor } from "../../schema/cursor.ts";
import { ExecutionStatus } from "../../streams/execution_index/status.ts";
import { invalidRequest, shown } from "./refusal.ts";

const optional = Schema.optionalKey;

/** Of every route that speaks of a tenant. */
export const tenantQuery = {
  tenant: optional(Schema.String.annotate({
    description: "Whose executions are meant; the caller's own or the server's, if left out",
  })),
};

const pageQuery = {
  limit: optional(
    Schema.NumberFromString.check(
      Schema.isInt(),
      Schema.isBetween({ minimum: 1, maximum: 1_000 }),
    ).annotate({ description: "How many at most; 100, if left out" }),
  ),
};

const from = optional(Schema.String.annotate({ description: "The `next` of the page before" }));

export const defaultLimit = 100;

/** Of routes that speak of one tenant or of all. */
export const WhoseQuery = Schema.Struct({
  ...tenantQuery,
  allTenants: optional(
    Schema.Literals(["true", "false"]).annotate({ description: "Of all, in place of one" }),
  ),
});

/** Whom such a query means. */
export const whoseOf = (
  { tenant, query: { allTenants, tenant: named } }: {
    readonly tenant: string;
    readonly query: typeof WhoseQuery.Type;
  },
) => {
  if (allTenants !== "true") return { tenant };
  if (named === undefined) return { allTenants: true };
  throw invalidRequest("The query names a tenant and all of them. Leave one of these out.");
};

export const TenantQuery = Schema.Struct(tenantQuery);

export const WhosePageQuery = Schema.Struct({ ...WhoseQuery.fields, ...pageQuery, from });

export const PageQuery = Schema.Struct({ ...tenantQuery, ...pageQuery, from });

/** Of the list of schedules. */
export const SchedulesQuery = Schema.Struct({
  ...PageQuery.fields,
  status: optional(ExecutionStatus),
  actor: optional(Schema.String),
});

export const ListQuery = Schema.Struct({
  ...SchedulesQuery.fields,
  tag: optional(Schema.String.annotate({ description: "name, or name=value" })),
});

/** What of a list such a query means, but for a tag. */
export const listOf = (
  { tenant, query: { status, actor, limit = defaultLimit, from } }: {
    readonly tenant: string;
    readonly query: typeof SchedulesQuery.Type;
  },
) => ({
  tenant,
  limit,
  ...(status === undefined ? {} : { status }),
  ...(actor === undefined ? {} : { actor }),
  // The list checks what it is given as a cursor.
  ...(from === undefined ? {} : { from: from as Cursor }),
});

export const HistoryQuery = Schema.Struct({
  ...tenantQuery,
  ...pageQuery,
  from: optional(
    Schema.NumberFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0)).annotate({
      description: "The `next` of the page before",
    }),
  ),
});

export const mostWaitSeconds = 30;

export const ResultQuery = Schema.Struct({
  ...tenantQuery,
  wait: optional(
    Schema.NumberFromString.check(
      Schema.isBetween({ minimum: 0, maximum: mostWaitSeconds }),
    ).annotate({ description: "Seconds to wait for the end" }),
  ),
});

/** A query as its schema gives it. */
export const parseQuery = (
  schema: Schema.Top | undefined,
  parameters: URLSearchParams,
): Readonly<Record<string, unknown>> => {
  const given: Record<string, string> = {};
  for (const [name, value] of parameters) {
    if (Object.hasOwn(given, name)) {
      throw invalidRequest(`The query gives ${shown(name)} twice. Give it once.`);
    }
    Object.defineProperty(given, name, { value, enumerable: true });
  }
  const decoded = Schema.decodeUnknownResult(
    (schema ?? Schema.Struct({})) as Schema.Decoder<object>,
  )(
    given,
    { onExcessProperty: "error" },
  );
  if (Result.isSuccess(decoded)) return decoded.success as Readonly<Record<string, unknown>>;
  const rule = decoded.failure.message.replace(/\s+/g, " ").slice(0, 300);
  throw invalidRequest(`The query is refused: ${rule}.`);
};

/** A tag to look for, as a query has it. */
export const tagOf = (text: string) => {
  const at = text.indexOf("=");
  return at === -1 ? { name: text } : { name: text.slice(0, at), value: text.slice(at + 1) };
};
