/**
 * One call of every verb of the door, in a tenant of the test's choice. A verb that is added to the
 * table and not here does not compile.
 */
import { actor, type FollowOptions, signal, type Weir } from "../../../mod.ts";
import type { Verb } from "../../../schema/mod.ts";

export const wait = actor("wait", (ctx) => ctx.wait(go));
export const go = signal<{ n: number }>("go");

/** What a verb is called on: the door of a principal, and what is in the tenant. */
export interface Scene {
  readonly door: Pick<Weir, Exclude<keyof Weir, "as" | "close" | "server" | symbol>>;
  readonly tenant: string;
  /** Names nothing that another call has named. */
  readonly fresh: string;
}

/** The first thing that an iterable gives, or that it gives nothing. */
const first = async <A>(iterable: AsyncIterable<A>): Promise<A | undefined> => {
  for await (const each of iterable) return each;
  return undefined;
};

/** What is there in each tenant: an execution that has ended, one that waits, and a ledger. */
export const ended = "ended";
export const waiting = "waiting";
export const ledger = "known";
export const scheduled = "scheduled";
export const budget = "tenant";
export const trigger = "known";
export const policy = { type: "repeat", count: 1_000, interval: "1 day" } as const;

const family =
  (name: "leaseHistory" | "completions" | "signalDeliveries" | "instanceTags") =>
  ({ door, tenant }: Scene): Promise<unknown> => {
    const read: (options: FollowOptions) => AsyncIterable<unknown> = door[name];
    return first(read({ tenant, after: "earliest" }));
  };

const schedule = ({ door, tenant }: Scene) => door.getSchedule(wait, scheduled, { tenant });
const over = ({ door, tenant }: Scene) => door.getSchedule(wait, ended, { tenant });
const run = (name: string) => ({ door, tenant }: Scene) => door.get(wait, name, { tenant });
const event = { type: "custom", eventType: "noted", data: {} } as const;
const id = `wait/${ended}`;
/** Of which nothing else is. */
const lane = (fresh: string) => fresh.replace(/[^\w-]+/g, "-").slice(0, 64);

export const calls: { readonly [V in Verb]: (scene: Scene) => unknown } = {
  "start": ({ door, tenant, fresh }) => door.start(wait, undefined, { id: fresh, tenant }),
  "submit": ({ door, tenant, fresh }) => door.submit(wait, undefined, { id: `${fresh} s`, tenant }),
  "submitAll": ({ door, tenant, fresh }) =>
    door.submitAll([{ actor: wait, input: undefined, id: `${fresh} a` }], { tenant }),
  "schedule": ({ door, tenant, fresh }) =>
    door.schedule(wait, undefined, { id: `${fresh} c`, tenant, policy }),
  "getSchedule": ({ door, tenant }) => door.getSchedule(wait, scheduled, { tenant }),
  "schedule.trigger": (scene) => schedule(scene).trigger(),
  "schedule.backfill": (scene) => schedule(scene).backfill({ from: new Date(0), to: new Date(0) }),
  "schedule.pause": (scene) => schedule(scene).pause(),
  "schedule.resume": (scene) => schedule(scene).resume(),
  "schedule.change": (scene) => schedule(scene).change({ overlap: "skip" }),
  "schedule.finish": (scene) => schedule(scene).finish(),
  "schedule.cancel": (scene) => schedule(scene).cancel(),
  "schedule.describe": (scene) => schedule(scene).describe(),
  "schedule.result": (scene) => over(scene).result(),
  "schedule.runs": (scene) => schedule(scene).runs(),
  "schedules.list": ({ door, tenant }) => door.schedules.list({ tenant }),
  "remotes.list": ({ door, tenant }) => door.remotes.list({ tenant }),
  "remotes.describe": ({ door, tenant }) => door.remotes.describe("nobody", { tenant }),
  "remotes.deregister": ({ door, tenant }) => door.remotes.deregister("nobody", { tenant }),
  "engine.pause": ({ door, tenant, fresh }) => door.engine.pause({ tenant, lane: lane(fresh) }),
  "engine.drain": ({ door, tenant, fresh }) => door.engine.drain({ tenant, lane: lane(fresh) }),
  "engine.disable": ({ door, tenant, fresh }) => door.engine.disable({ tenant, lane: lane(fresh) }),
  "engine.resume": ({ door, tenant, fresh }) => door.engine.resume({ tenant, lane: lane(fresh) }),
  "engine.status": ({ door, tenant }) => door.engine.status({ tenant }),
  "engine.history": ({ door, tenant }) => door.engine.history({ tenant }),
  "queues.configure": ({ door }) => door.queues.configure("any", { concurrency: 2 }),
  "queues.list": ({ door }) => door.queues.list(),
  "queues.describe": ({ door }) => door.queues.describe("any"),
  "queues.why": ({ door, tenant }) =>
    door.queues.why({
      id,
      tenant,
      describe: () => run(ended)({ door, tenant, fresh: "" }).describe(),
    }),
  "budgets.allocate": ({ door, tenant }) =>
    door.budgets.allocate(budget, { token: { hard: 10 } }, { tenant }),
  "budgets.replenish": ({ door, tenant }) =>
    door.budgets.replenish(budget, { token: { hard: 10 } }, { tenant }),
  "budgets.reset": ({ door, tenant }) => door.budgets.reset(budget, { tenant }),
  "budgets.consume": ({ door, tenant }) => door.budgets.consume(budget, { token: 1 }, { tenant }),
  "budgets.release": ({ door, tenant }) => door.budgets.release(id, { tenant }),
  "budgets.describe": ({ door, tenant }) => door.budgets.describe(budget, { tenant }),
  "budgets.list": ({ door, tenant }) => door.budgets.list({ tenant }),
  "budgets.delete": ({ door, tenant, fresh }) => door.budgets.delete(fresh, { tenant }),
  "get": ({ door, tenant }) => door.get(wait, ended, { tenant }),
  "complete": ({ door }) => door.complete("no token"),
  "list": ({ door, tenant }) => door.list({ tenant }),
  "workers": ({ door }) => door.workers(),
  "worker": async ({ door }) => await (await door.worker([wait])).close(),
  "run.result": (scene) => run(ended)(scene).result(),
  "run.outcome": (scene) => run(ended)(scene).outcome(),
  "run.describe": (scene) => run(ended)(scene).describe(),
  "run.history": (scene) => first(run(ended)(scene).history()),
  "run.workHistory": (scene) => first(run(ended)(scene).workHistory()),
  "run.output": (scene) => first(run(ended)(scene).output("progress")),
  "run.signal": (scene) => run(waiting)(scene).signal(go, { n: 1 }),
  "run.cancel": (scene) => run(waiting)(scene).cancel(),
  "run.pause": (scene) => run(waiting)(scene).pause(),
  "run.resume": (scene) => run(waiting)(scene).resume(),
  "run.promote": (scene) => run(waiting)(scene).promote(),
  "run.retry": (scene) => run(waiting)(scene).retry(),
  "run.revokeLease": (scene) => run(waiting)(scene).revokeLease(),
  "leaseHistory": family("leaseHistory"),
  "completions": family("completions"),
  "signalDeliveries": family("signalDeliveries"),
  "instanceTags": family("instanceTags"),
  "subscriptions.list": ({ door }) => door.subscriptions.list(),
  "subscriptions.reset": ({ door }) => door.subscriptions.reset("completions", "none", "now"),
  "subscriptions.delete": ({ door }) => door.subscriptions.delete("completions", "none"),
  "events.append": ({ door, tenant, fresh }) => door.events.append(fresh, tenant, event),
  "events.appendBatch": ({ door, tenant, fresh }) =>
    door.events.appendBatch(`${fresh} b`, tenant, [event]),
  "events.loadEvents": ({ door, tenant }) => door.events.loadEvents(id, tenant),
  "events.loadEventsAfter": ({ door, tenant }) => door.events.loadEventsAfter(id, 0, tenant),
  "events.iterate": ({ door, tenant }) => first(door.events.iterate(id, { tenant })),
  "events.latestSequence": ({ door, tenant }) => door.events.latestSequence(id, tenant),
  "events.executionExists": ({ door, tenant }) => door.events.executionExists(id, tenant),
  "events.countEvents": ({ door, tenant }) => door.events.countEvents(id, tenant),
  "events.listExecutions": ({ door, tenant }) => door.events.listExecutions(tenant, 10, 0),
  "events.pageExecutions": ({ door, tenant }) => door.events.pageExecutions(tenant, { limit: 10 }),
  "tenants.create": ({ door, fresh }) => door.tenants.create(fresh, { name: fresh }),
  "tenants.get": ({ door, tenant }) => door.tenants.get(tenant),
  "tenants.list": ({ door }) => door.tenants.list(),
  "tenants.history": ({ door, tenant }) => door.tenants.history(tenant),
  "triggers.create": ({ door, tenant, fresh }) =>
    door.triggers.create({
      tenant,
      id: fresh,
      when: { event: "paid" },
      then: { promote: `wait/${waiting}` },
      unserved: true,
    }),
  "triggers.list": ({ door, tenant }) => door.triggers.list({ tenant }),
  "triggers.describe": ({ door, tenant }) => door.triggers.describe(trigger, { tenant }),
  "triggers.cancel": ({ door, tenant }) => door.triggers.cancel(trigger, { tenant }),
  "emit": ({ door, tenant }) => door.emit("paid", undefined, { tenant }),
  "grants.assign": ({ door, tenant, fresh }) => door.grants.assign(fresh, "auditor", { tenant }),
  "grants.unassign": ({ door, tenant, fresh }) =>
    door.grants.unassign(fresh, "auditor", { tenant }),
  "grants.grant": ({ door, tenant, fresh }) => door.grants.grant(fresh, "read", { tenant }),
  "grants.revoke": ({ door, tenant, fresh }) => door.grants.revoke(fresh, "read", { tenant }),
  "grants.of": ({ door, tenant }) => door.grants.of("ana", tenant),
  "grants.list": ({ door, tenant }) => door.grants.list({ tenant }),
  "ledgers.append": ({ door, tenant }) =>
    door.ledgers.append("new", { kind: "audit", payload: 1, tenant }),
  "ledgers.read": ({ door, tenant }) => door.ledgers.read(ledger, { tenant }),
  "ledgers.keys": ({ door, tenant }) => door.ledgers.keys({ tenant }),
  "ledgers.follow": ({ door, tenant }) => first(door.ledgers.follow(ledger, { tenant })),
};
