/**
 * The second API: tenants, who may do what in them, their ledgers and their remote workers, which
 * register and work by messages. A tenant in a path is the one that is meant, so that a client of
 * another is refused before anything is read.
 */
import * as Schema from "effect/Schema";
import type { AnyRole } from "../../grants.ts";
import {
  Deregistered,
  Grants,
  Ledger,
  LedgerAppended,
  LedgerKeys,
  RemoteWorkers,
  Rights,
  Tenant,
  TenantHistory,
  Tenants,
} from "../answers.ts";
import { defaultLimit, HistoryQuery, TenantQuery, whoseOf, WhoseQuery } from "../query.ts";
import { byOf, type Call, type Route, route } from "../route.ts";

const CreateTenant = Schema.Struct({
  tenant: Schema.String,
  name: Schema.String.annotate({ description: "What people call it" }),
}).annotate({ identifier: "CreateTenant" });

const RoleRequest = Schema.Struct({
  role: Schema.Union([
    Schema.String,
    Schema.Struct({ name: Schema.String, capabilities: Schema.Array(Schema.String) }),
  ]).annotate({ description: "One that is built in, or a name and what it may do" }),
}).annotate({ identifier: "RoleRequest" });

const CapabilityRequest = Schema.Struct({ capability: Schema.String }).annotate({
  identifier: "CapabilityRequest",
});

const EntryRequest = Schema.Struct({
  kind: Schema.String,
  payload: Schema.Unknown,
  id: Schema.optionalKey(Schema.String.annotate({ description: "Makes a repetition harmless" })),
}).annotate({ identifier: "LedgerEntryRequest" });

type Changing<Name extends string, Body> = Call<Name, typeof WhoseQuery.Type, Body>;

/** A change of what a principal may do, with what it may do then. */
const changing = <const Path extends string, Name extends string, Body = undefined>(
  { method, path, verb, summary, body, ask }: {
    readonly method: "POST" | "DELETE";
    readonly path: Path;
    readonly verb: string;
    readonly summary: string;
    readonly body?: Schema.Codec<Body, unknown>;
    readonly ask: (call: Changing<Name, Body>) => Promise<unknown>;
  },
): Route =>
  route({
    method,
    path: path as string,
    verb,
    access: "control",
    summary,
    query: WhoseQuery,
    ...(body === undefined ? {} : { body }),
    answers: { 200: { description: "What it may do now", schema: Rights } },
    handle: async (call) => ({
      status: 200,
      body: await ask(call as unknown as Changing<Name, Body>),
    }),
  });

const principal = "/api/v2/principals/{principal}";

const tenantRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v2/tenants",
    verb: "tenants.list",
    access: "operate",
    summary: "The tenants that were created, as far as one may know of them",
    answers: { 200: { description: "All of them", schema: Tenants } },
    handle: async ({ weir }) => ({ status: 200, body: { tenants: await weir.tenants.list() } }),
  }),
  route({
    method: "POST",
    path: "/api/v2/tenants",
    verb: "tenants.create",
    access: "operate",
    steers: true,
    summary: "Creates a tenant, unless it is there under the same name",
    body: CreateTenant,
    answers: {
      200: { description: "It was there", schema: Tenant },
      201: { description: "It is created", schema: Tenant },
    },
    handle: async (call) => {
      const { tenant, name } = call.body;
      const body = await call.weir.tenants.create(tenant, { name, ...byOf(call) });
      return { status: body.created ? 201 : 200, body };
    },
  }),
  route({
    method: "GET",
    path: "/api/v2/tenants/{tenant}",
    verb: "tenants.get",
    access: "read",
    summary: "A tenant that was created",
    answers: { 200: { description: "As it was", schema: Tenant } },
    handle: async ({ weir, path: { tenant } }) => ({
      status: 200,
      body: await weir.tenants.get(tenant),
    }),
  }),
  route({
    method: "GET",
    path: "/api/v2/tenants/{tenant}/history",
    verb: "tenants.history",
    access: "read",
    summary: "That a tenant was created, and all that was granted and revoked in it",
    answers: { 200: { description: "In order", schema: TenantHistory } },
    handle: async ({ weir, path: { tenant } }) => ({
      status: 200,
      body: { events: await weir.tenants.history(tenant) },
    }),
  }),
];

const grantRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v2/grants",
    verb: "grants.list",
    access: "read",
    summary: "What was given and taken, principal by principal",
    query: WhoseQuery,
    answers: { 200: { description: "All of it", schema: Grants } },
    handle: async (call) => ({
      status: 200,
      body: { grants: await call.weir.grants.list(whoseOf(call)) },
    }),
  }),
  route({
    method: "GET",
    path: principal,
    verb: "grants.of",
    access: "read",
    summary: "What a principal may do",
    query: WhoseQuery,
    answers: { 200: { description: "All grants together", schema: Rights } },
    handle: async (call) => ({
      status: 200,
      body: await call.weir.grants.of(call.path.principal, whoseOf(call)),
    }),
  }),
  changing<string, "principal", typeof RoleRequest.Type>({
    method: "POST",
    path: `${principal}/roles`,
    verb: "grants.assign",
    summary: "Gives a principal a role",
    body: RoleRequest,
    ask: (call) =>
      call.weir.grants.assign(call.path.principal, call.body.role as AnyRole, {
        ...whoseOf(call),
        ...byOf(call),
      }),
  }),
  changing<string, "principal" | "role">({
    method: "DELETE",
    path: `${principal}/roles/{role}`,
    verb: "grants.unassign",
    summary: "Takes a role away",
    ask: (call) =>
      call.weir.grants.unassign(call.path.principal, call.path.role, {
        ...whoseOf(call),
        ...byOf(call),
      }),
  }),
  changing<string, "principal", typeof CapabilityRequest.Type>({
    method: "POST",
    path: `${principal}/capabilities`,
    verb: "grants.grant",
    summary: "Gives a principal one capability",
    body: CapabilityRequest,
    ask: (call) =>
      call.weir.grants.grant(call.path.principal, call.body.capability, {
        ...whoseOf(call),
        ...byOf(call),
      }),
  }),
  changing<string, "principal" | "capability">({
    method: "DELETE",
    path: `${principal}/capabilities/{capability}`,
    verb: "grants.revoke",
    summary: "Takes a capability away, whatever role has it",
    ask: (call) =>
      call.weir.grants.revoke(call.path.principal, call.path.capability, {
        ...whoseOf(call),
        ...byOf(call),
      }),
  }),
];

const ledgerRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v2/ledgers",
    verb: "ledgers.keys",
    access: "read",
    summary: "The keys of the ledgers of a tenant",
    query: TenantQuery,
    answers: { 200: { description: "All of them", schema: LedgerKeys } },
    handle: async ({ weir, tenant }) => ({
      status: 200,
      body: { keys: await weir.ledgers.keys({ tenant }) },
    }),
  }),
  route({
    method: "GET",
    path: "/api/v2/ledgers/{key}",
    verb: "ledgers.read",
    access: "read",
    summary: "The entries of a ledger, oldest first, a page at a time",
    query: HistoryQuery,
    answers: { 200: { description: "A page", schema: Ledger } },
    handle: async ({ weir, tenant, path: { key }, query }) => {
      const { limit = defaultLimit, from = 0 } = query;
      const entries = await weir.ledgers.read(key, { tenant, after: from, limit });
      const last = entries.length < limit ? undefined : entries.at(-1);
      return {
        status: 200,
        body: { entries, ...(last === undefined ? {} : { next: last.sequence }) },
      };
    },
  }),
  route({
    method: "POST",
    path: "/api/v2/ledgers/{key}",
    verb: "ledgers.append",
    access: "submit",
    summary: "Appends an entry, unless one has its id already",
    query: TenantQuery,
    body: EntryRequest,
    answers: {
      200: { description: "It was there", schema: LedgerAppended },
      201: { description: "It is appended", schema: LedgerAppended },
    },
    handle: async (call) => {
      const { tenant, path: { key }, body } = call;
      const appended = await call.weir.ledgers.append(key, { ...body, tenant, ...byOf(call) });
      return { status: appended.appended ? 201 : 200, body: appended };
    },
  }),
];

const actorRoutes: ReadonlyArray<Route> = [
  route({
    method: "GET",
    path: "/api/v2/actors",
    verb: "remotes.list",
    access: "read",
    summary: "The remote workers of a tenant that are registered, and what they can do",
    query: TenantQuery,
    answers: { 200: { description: "All of them", schema: RemoteWorkers } },
    handle: async ({ weir, tenant }) => ({
      status: 200,
      body: { actors: await weir.remotes.list({ tenant }) },
    }),
  }),
  route({
    method: "DELETE",
    path: "/api/v2/actors/{identity}",
    verb: "remotes.deregister",
    access: "control",
    summary: "Removes a remote worker, and gives what it has to others",
    query: TenantQuery,
    answers: { 200: { description: "Whether it was registered", schema: Deregistered } },
    handle: async ({ weir, tenant, path: { identity } }) => ({
      status: 200,
      body: { deregistered: await weir.remotes.deregister(identity, { tenant }) },
    }),
  }),
];

export const platformRoutes: ReadonlyArray<Route> = [
  ...tenantRoutes,
  ...grantRoutes,
  ...ledgerRoutes,
  ...actorRoutes,
];
