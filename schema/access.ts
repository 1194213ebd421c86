/**
 * The one table of who may do what: the capability that each verb of the promise door needs, and the
 * capabilities of each role that is built in. A verb that is missing here does not compile where
 * verbs are guarded, and is refused to every principal. It holds no one's grants.
 */

/** The capabilities that verbs ask for; applications may grant others, and ask about them. */
export const capabilities = [
  "submit",
  "execute",
  "review",
  "approve",
  "cancel",
  "read",
  "administer",
] as const;
export type Capability = typeof capabilities[number];

/** The roles that need no definition. Who administers is granted that by name. */
export const roles = {
  operator: ["submit", "execute", "cancel", "read"],
  auditor: ["review", "read"],
  gatekeeper: ["approve", "read"],
} as const satisfies Readonly<Record<string, ReadonlyArray<Capability>>>;
export type BuiltinRole = keyof typeof roles;

export const isBuiltinRole = (name: string): name is BuiltinRole => Object.hasOwn(roles, name);

/** What a verb answers to somebody who has nothing in the tenant, so that it tells nothing of it. */
export type Hidden = "noExecution" | "noTenant" | { readonly value: unknown };

/** What a verb needs, and where it says whom it concerns. */
export interface VerbRule {
  /** One of these is enough; nobody needs any for a verb that does nothing itself. */
  readonly needs: ReadonlyArray<Capability>;
  /**
   * Whom it concerns: the tenant of the argument of this index, or else the connection's; the tenant of a run; all tenants; or each of which it tells.
   */
  readonly concerns: number | "run" | "allTenants" | "eachTenant";
  /** Whether the argument is the tenant itself, always or also; else it is options, which may name one. */
  readonly takesText?: "only" | "too";
  /** What it gives: a promise, if left out. */
  readonly gives?: "iterable" | "run" | "runs" | "schedule";
  /** Where it says who speaks, which is always the principal itself: a property of an argument. */
  readonly signs?: readonly [property: "by" | "source", argument: number];
  /** Whether it waits, so that what it answers is checked again. */
  readonly waits?: boolean;
  /** Refused as forbidden, if left out. */
  readonly hidden?: Hidden;
}

const looksAtEvents = { needs: ["read"], concerns: 1 } as const;
const events = { ...looksAtEvents, takesText: "only" } as const;
const family = { needs: ["read"], concerns: 0, gives: "iterable" } as const;
const changesGrants = { needs: ["administer"], concerns: 2, signs: ["by", 2] } as const;
const steersEngine = { needs: ["cancel"], concerns: 0, signs: ["by", 0] } as const;
const looksAtRun = { needs: ["read"], concerns: "run", hidden: "noExecution" } as const;

/** Those who act in a tenant, and so may leave a word of it. */
const anyActing = ["submit", "execute", "review", "approve", "cancel", "administer"] as const;

/**
 * Every verb, by its path from the connection; `run` is what `start` and `get` give, and `schedule.`
 * begins what is asked of what `schedule` gives.
 */
export const verbs = {
  "start": { needs: ["submit"], concerns: 2, gives: "run" },
  "submit": { needs: ["submit"], concerns: 2, gives: "run" },
  "submitAll": { needs: ["submit"], concerns: 1, gives: "runs" },
  "schedule": { needs: ["submit"], concerns: 2, gives: "schedule" },
  "getSchedule": { needs: [], concerns: 2, gives: "schedule" },
  "get": { needs: [], concerns: 2, gives: "run" },
  "list": { needs: ["read"], concerns: 0 },
  // The token is what it takes, and says whom it concerns.
  "complete": { needs: [], concerns: "allTenants" },
  "workers": { needs: ["read"], concerns: "allTenants" },
  // A worker is handed the mail of every tenant.
  "worker": { needs: ["execute"], concerns: "allTenants" },

  "run.result": { ...looksAtRun, waits: true },
  "run.outcome": { ...looksAtRun, waits: true },
  "run.describe": looksAtRun,
  "run.history": { ...looksAtRun, gives: "iterable" },
  "run.workHistory": { ...looksAtRun, gives: "iterable" },
  "run.output": { ...looksAtRun, gives: "iterable" },
  // Or what the signal itself says that it needs.
  "run.signal": { needs: ["submit"], concerns: "run", signs: ["source", 2] },
  "run.cancel": { needs: ["cancel"], concerns: "run" },
  "run.pause": { needs: ["cancel"], concerns: "run" },
  "run.resume": { needs: ["cancel"], concerns: "run" },
  "run.promote": { needs: ["submit"], concerns: "run" },
  "run.retry": { needs: ["submit"], concerns: "run" },
  "run.revokeLease": { needs: ["administer"], concerns: "run" },

  "schedule.trigger": { needs: ["submit"], concerns: "run", gives: "run" },
  "schedule.backfill": { needs: ["submit"], concerns: "run" },
  "schedule.pause": { needs: ["cancel"], concerns: "run" },
  "schedule.resume": { needs: ["cancel"], concerns: "run" },
  "schedule.change": { needs: ["submit"], concerns: "run" },
  "schedule.finish": { needs: ["cancel"], concerns: "run" },
  "schedule.cancel": { needs: ["cancel"], concerns: "run" },
  "schedule.describe": looksAtRun,
  "schedule.result": { ...looksAtRun, waits: true },
  "schedule.runs": { needs: ["read"], concerns: "run" },

  "schedules.list": { needs: ["read"], concerns: 0 },

  "engine.pause": steersEngine,
  "engine.drain": steersEngine,
  "engine.disable": steersEngine,
  "engine.resume": steersEngine,
  "engine.status": { needs: ["read"], concerns: 0 },
  "engine.history": { needs: ["read"], concerns: 0 },

  // A queue is shared by the tenants.
  "queues.configure": { needs: ["administer"], concerns: "allTenants" },
  "queues.list": { needs: ["read"], concerns: "allTenants" },
  "queues.describe": { needs: ["read"], concerns: "allTenants" },
  "queues.why": { needs: ["read"], concerns: 0 },

  "remotes.list": { needs: ["read"], concerns: 0 },
  "remotes.describe": { needs: ["read"], concerns: 1 },
  "remotes.deregister": { needs: ["administer"], concerns: 1 },

  "budgets.allocate": { needs: ["administer"], concerns: 2 },
  "budgets.replenish": { needs: ["administer"], concerns: 2 },
  "budgets.reset": { needs: ["administer"], concerns: 1 },
  "budgets.delete": { needs: ["administer"], concerns: 1 },
  "budgets.consume": { needs: ["execute"], concerns: 2 },
  "budgets.release": { needs: ["execute"], concerns: 1 },
  "budgets.describe": { needs: ["read"], concerns: 1 },
  "budgets.list": { needs: ["read"], concerns: 0 },

  "leaseHistory": family,
  "completions": family,
  "signalDeliveries": family,
  "instanceTags": family,
  "subscriptions.list": { needs: ["read"], concerns: "allTenants" },
  "subscriptions.reset": { needs: ["administer"], concerns: "allTenants" },
  "subscriptions.delete": { needs: ["administer"], concerns: "allTenants" },

  "events.append": { needs: ["execute"], concerns: 1, takesText: "only" },
  "events.appendBatch": { needs: ["execute"], concerns: 1, takesText: "only" },
  "events.loadEvents": { ...events, hidden: { value: [] } },
  "events.loadEventsAfter": { ...events, concerns: 2, hidden: { value: [] } },
  "events.iterate": { ...looksAtEvents, gives: "iterable", hidden: { value: [] } },
  "events.latestSequence": { ...events, hidden: { value: undefined } },
  "events.executionExists": { ...events, hidden: { value: false } },
  "events.countEvents": { ...events, hidden: { value: 0 } },
  "events.listExecutions": { ...events, concerns: 0 },
  "events.pageExecutions": { ...events, concerns: 0 },

  "tenants.create": { needs: ["administer"], concerns: "allTenants", signs: ["by", 1] },
  "tenants.get": { needs: ["read"], concerns: 0, takesText: "only", hidden: "noTenant" },
  "tenants.list": { needs: ["read"], concerns: "eachTenant" },
  "tenants.history": { needs: ["read"], concerns: 0, takesText: "only", hidden: "noTenant" },

  // And what it takes to do what the trigger does: `run.promote`, `run.signal` or `submit`.
  "triggers.create": { needs: ["submit"], concerns: 0, signs: ["by", 0] },
  "triggers.list": { needs: ["read"], concerns: 0 },
  "triggers.describe": { needs: ["read"], concerns: 1 },
  "triggers.cancel": { needs: ["cancel"], concerns: 1, signs: ["by", 1] },
  "emit": { needs: ["submit"], concerns: 2 },

  "grants.assign": changesGrants,
  "grants.unassign": changesGrants,
  "grants.grant": changesGrants,
  "grants.revoke": changesGrants,
  "grants.of": { needs: ["read"], concerns: 1, takesText: "too" },
  "grants.list": { needs: ["read"], concerns: 0 },

  "ledgers.append": { needs: anyActing, concerns: 1, signs: ["by", 1] },
  "ledgers.read": { needs: ["read"], concerns: 1, hidden: { value: [] } },
  "ledgers.keys": { needs: ["read"], concerns: 0 },
  "ledgers.follow": { needs: ["read"], concerns: 1, gives: "iterable" },
} as const satisfies Readonly<Record<string, VerbRule>>;
export type Verb = keyof typeof verbs;

/** The rule of a verb; a verb that nobody thought of has none. */
export const ruleOf = (verb: string): VerbRule | undefined =>
  Object.hasOwn(verbs, verb) ? verbs[verb as Verb] : undefined;
