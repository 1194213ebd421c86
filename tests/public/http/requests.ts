/**
 * Requests to what is no execution's own: engine, queues, subscriptions, budgets, tenants, grants,
 * ledgers, remote workers and triggers, in an order in which each succeeds. They suppose an execution `order/done` that has ended,
 * a worker that keeps queues, and a subscription `billing` of completions.
 */
export interface Asking {
  /** The operation of the document, which is the verb of the door but where `needs` says. */
  readonly verb: string;
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly status?: number;
  /** What a principal needs of the tenant, or of all if it is `everywhere`. */
  readonly needs: ReadonlyArray<string>;
  readonly everywhere?: boolean;
  /** What is answered in place of a refusal, as if nothing were there. */
  readonly hidden?: unknown;
}

const reads = ["read"];
const steers = ["cancel"];
const administers = ["administer"];
const acts = ["submit", "execute", "review", "approve", "cancel", "administer"];
const everywhere = true;

export const requests = (tenant: string): ReadonlyArray<Asking> => {
  const of = `?tenant=${tenant}`;
  const budget = "/api/v1/budgets/team";
  const bo = "/api/v2/principals/bo";
  const entry = { kind: "audit", payload: { n: 1 }, id: "e-1" };
  return [
    ...(["pause", "drain", "disable", "resume"] as const).map((verb): Asking => ({
      verb: `engine.${verb}`,
      method: "POST",
      path: `/api/v1/engine/${verb}${of}`,
      body: { lane: "gpu", reason: "new drivers" },
      needs: steers,
    })),
    { verb: "engine.status", method: "GET", path: `/api/v1/engine${of}`, needs: reads },
    { verb: "engine.history", method: "GET", path: `/api/v1/engine/history${of}`, needs: reads },
    {
      verb: "engine.status",
      method: "GET",
      path: "/api/v1/engine?allTenants=true",
      needs: reads,
      everywhere,
    },
    {
      verb: "engine.resume",
      method: "POST",
      path: "/api/v1/engine/resume?allTenants=true",
      needs: steers,
      everywhere,
    },

    {
      verb: "queues.configure",
      method: "POST",
      path: "/api/v1/queues/cards/configure",
      body: { concurrency: 2, rate: { count: 5, perMs: 1_000 }, perTenant: null, ageingMs: 1_000 },
      needs: administers,
      everywhere,
    },
    ...(["pause", "resume"] as const).map((verb): Asking => ({
      verb: `queues.${verb}`,
      method: "POST",
      path: `/api/v1/queues/cards/${verb}`,
      needs: administers,
      everywhere,
    })),
    { verb: "queues.list", method: "GET", path: "/api/v1/queues", needs: reads, everywhere },
    {
      verb: "queues.describe",
      method: "GET",
      path: "/api/v1/queues/cards",
      needs: reads,
      everywhere,
    },
    {
      verb: "subscriptions.list",
      method: "GET",
      path: "/api/v1/subscriptions",
      needs: reads,
      everywhere,
    },
    {
      verb: "subscriptions.reset",
      method: "POST",
      path: "/api/v1/subscriptions/completions/billing/reset",
      body: { to: "earliest" },
      needs: administers,
      everywhere,
    },
    {
      verb: "subscriptions.delete",
      method: "DELETE",
      path: "/api/v1/subscriptions/completions/billing",
      needs: administers,
      everywhere,
    },

    {
      verb: "budgets.allocate",
      method: "POST",
      path: `${budget}/allocate${of}`,
      body: { limits: { token: { hard: 10, soft: 8 } }, resetEvery: "1 day", key: "a-1" },
      needs: administers,
    },
    {
      verb: "budgets.consume",
      method: "POST",
      path: `${budget}/consume${of}`,
      body: { amounts: { token: 3 }, execution: "order/done", key: "c-1" },
      needs: ["execute"],
    },
    { verb: "budgets.describe", method: "GET", path: `${budget}${of}`, needs: reads },
    { verb: "budgets.list", method: "GET", path: `/api/v1/budgets${of}`, needs: reads },
    {
      verb: "budgets.release",
      method: "POST",
      path: `/api/v1/runs/order%2Fdone/release-budgets${of}`,
      needs: ["execute"],
    },
    {
      verb: "budgets.replenish",
      method: "POST",
      path: `${budget}/replenish${of}`,
      body: { limits: { token: 20 } },
      needs: administers,
    },
    { verb: "budgets.reset", method: "POST", path: `${budget}/reset${of}`, needs: administers },
    { verb: "budgets.delete", method: "DELETE", path: `${budget}${of}`, needs: administers },

    {
      verb: "tenants.create",
      method: "POST",
      path: "/api/v2/tenants",
      body: { tenant, name: "Acme Ltd" },
      needs: administers,
      everywhere,
    },
    {
      verb: "tenants.list",
      method: "GET",
      path: "/api/v2/tenants",
      needs: reads,
      hidden: { tenants: [] },
    },
    { verb: "tenants.get", method: "GET", path: `/api/v2/tenants/${tenant}`, needs: reads },
    {
      verb: "tenants.history",
      method: "GET",
      path: `/api/v2/tenants/${tenant}/history`,
      needs: reads,
    },
    {
      verb: "grants.assign",
      method: "POST",
      path: `${bo}/roles${of}`,
      body: { role: { name: "clerk", capabilities: ["invoice.pay"] } },
      needs: administers,
    },
    {
      verb: "grants.grant",
      method: "POST",
      path: `${bo}/capabilities${of}`,
      body: { capability: "invoice.read" },
      needs: administers,
    },
    { verb: "grants.of", method: "GET", path: `${bo}${of}`, needs: reads },
    { verb: "grants.list", method: "GET", path: `/api/v2/grants${of}`, needs: reads },
    {
      verb: "grants.revoke",
      method: "DELETE",
      path: `${bo}/capabilities/invoice.read${of}`,
      needs: administers,
    },
    {
      verb: "grants.unassign",
      method: "DELETE",
      path: `${bo}/roles/clerk${of}`,
      needs: administers,
    },
    {
      verb: "ledgers.append",
      method: "POST",
      path: `/api/v2/ledgers/order%2Fdone${of}`,
      body: entry,
      needs: acts,
    },
    {
      verb: "ledgers.read",
      method: "GET",
      path: `/api/v2/ledgers/order%2Fdone${of}`,
      needs: reads,
      hidden: { entries: [] },
    },
    { verb: "ledgers.keys", method: "GET", path: `/api/v2/ledgers${of}`, needs: reads },

    { verb: "remotes.list", method: "GET", path: `/api/v2/actors${of}`, needs: reads },
    {
      verb: "remotes.deregister",
      method: "DELETE",
      path: `/api/v2/actors/py-1${of}`,
      needs: administers,
    },

    {
      verb: "triggers.create",
      method: "POST",
      path: `/api/v1/triggers${of}`,
      body: {
        id: "t",
        when: { event: "paid" },
        then: { submit: "order", options: { tags: { "paid.by": "card" } } },
        standing: true,
        unserved: true,
      },
      needs: ["submit"],
    },
    { verb: "triggers.list", method: "GET", path: `/api/v1/triggers${of}`, needs: reads },
    { verb: "triggers.describe", method: "GET", path: `/api/v1/triggers/t${of}`, needs: reads },
    {
      verb: "emit",
      method: "POST",
      path: `/api/v1/events/paid${of}`,
      body: { payload: { cents: 5 }, id: "e-1", execution: "order/done" },
      needs: ["submit"],
    },
    {
      verb: "triggers.cancel",
      method: "POST",
      path: `/api/v1/triggers/t/cancel${of}`,
      needs: steers,
    },
  ];
};
