/**
 * Where budgets are: all of a tenant's, and what is beside them, in one shard, so that one step covers
 * any of them. What is beside a budget begins with what it is, which no number of a partition looks
 * like. It builds and reads names; it talks to no server.
 */
import { BudgetName } from "../../schema/budget.ts";
import type { Tenant } from "../../schema/ids.ts";
import * as Schema from "effect/Schema";
import { decodeToken, encodeToken } from "../../schema/token.ts";
import { type Address, type Filter, hash, type Layout, shardRoot, subjectOf } from "../subjects.ts";

const isBudgetName = Schema.is(BudgetName);

const shardOf = (layout: Layout, tenant: string): number =>
  layout.shards === 1 ? 0 : hash(tenant) % layout.shards;

const addressOf = (
  layout: Layout,
  tenant: Tenant,
  name: BudgetName,
  what?: "keys" | "spendings",
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
  what: "keys" | "spendings",
): Address => addressOf(layout, tenant, name, what);

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
