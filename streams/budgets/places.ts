/**
 * Where budgets are: all of a tenant's, and what is beside them, in one shard, so that one step covers
 * any of them. What is beside a budget begins with what it is, which no number of a partition looks
 * like. It builds and reads names; it talks to no server.
 */
import { BudgetName } from "../../schema/budget.ts";
import { Tenant } from "../../schema/ids.ts";
import * as Schema from "effect/Schema";
import { decodeToken, encodeToken } from "../../schema/token.ts";
import { type Address, type Filter, hash, type Layout, shardRoot, subjectOf } from "../subjects.ts";

/** What may lie beside a budget. */
export type Beside = "keys" | "spendings" | "waiters";

const isBudgetName = Schema.is(BudgetName);
const isTenant = Schema.is(Tenant);

const shardOf = (layout: Layout, tenant: string): number =>
  layout.shards === 1 ? 0 : hash(tenant) % layout.shards;

const addressOf = (
  layout: Layout,
  tenant: Tenant,
  name: BudgetName,
  what?: Beside,
): Address => {
  const token = encodeToken(tenant);
  const shard = shardOf(layout, token);
  const tail = `${token}.${encodeToken(name)}`;
  return {
    shard,
    root: shardRoot(layout, shard),
    tail: what === undefined ? tail : `${what}.${tail}`,
    label: `the budget ${name}`,
  };
};

export const budgetAddress = (layout: Layout, tenant: Tenant, name: BudgetName): Address =>
  addressOf(layout, tenant, name);

/** What has no room in a budget's record, each under its own key. */
export const spendAddress = (
  layout: Layout,
  tenant: Tenant,
  name: BudgetName,
  what: Beside,
): Address => addressOf(layout, tenant, name, what);

/** No number of a partition looks like this. */
const bellToken = "budget";

/**
 * Where it is said that those who wait for a budget are to be told: among what is due, in the place
 * of an execution of no actor.
 */
export const bellAddress = (layout: Layout, tenant: Tenant, name: BudgetName): Address => {
  const { tail, ...address } = addressOf(layout, tenant, name);
  return { ...address, tail: `${bellToken}._.${tail}` };
};

/** The budget that a bell is of, if the subject is of one. */
export const budgetOfBell = (
  subject: string,
): { readonly tenant: Tenant; readonly budget: BudgetName } | undefined => {
  const [, , kind, , tenantToken = "", nameToken = ""] = subject.split(".");
  const tenant = decodeToken(tenantToken);
  const budget = decodeToken(nameToken);
  return kind === bellToken && isTenant(tenant) && isBudgetName(budget)
    ? { tenant, budget }
    : undefined;
};

/** The key under which one waits. */
export const waiterKey = (
  { execution, life, turn }: {
    readonly execution: string;
    readonly life: number;
    readonly turn: string;
  },
): string => `${execution} ${life} ${turn}`;

/** All budgets of a tenant. */
export const budgetFilter = (layout: Layout, tenant: Tenant): Filter => {
  const token = encodeToken(tenant);
  const shard = shardOf(layout, token);
  return { shard, subject: `$KV.${shardRoot(layout, shard)}.budget.${token}.*` };
};

/** Everything of one kind beside a budget. */
export const spendFilter = (of: Address): Filter => ({
  shard: of.shard,
  subject: `${subjectOf(of, "spend")}.*`,
});

/** The budget that a subject of a tenant's filter is of. */
export const budgetOfSubject = (subject: string): BudgetName | undefined => {
  const name = decodeToken(subject.slice(subject.lastIndexOf(".") + 1));
  return isBudgetName(name) ? name : undefined;
};
