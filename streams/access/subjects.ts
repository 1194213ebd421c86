/**
 * Where tenants, grants and ledgers lie: the first two as keys of the first shard's bucket, so that
 * they have one order, and each ledger under one subject of one shard. It builds names only.
 */
import type { LedgerEntryId, LedgerKey, Principal } from "../../schema/access_names.ts";
import type { Tenant } from "../../schema/ids.ts";
import { decodeToken, encodeToken } from "../../schema/token.ts";
import { type Address, type Filter, hash, type Layout, shardRoot, subjectOf } from "../subjects.ts";

/** Whom a grant is about. */
export type Where = { readonly tenant: Tenant } | { readonly allTenants: true };

/** No encoded text looks like these. */
const allTenantsToken = "=all";
const ledgerToken = "=ledger";

const inFirstShard = (layout: Layout, tail: string, label: string): Address => ({
  shard: 0,
  root: shardRoot(layout, 0),
  tail,
  label,
});

export const tenantAddress = (layout: Layout, tenant: Tenant): Address =>
  inFirstShard(layout, encodeToken(tenant), `tenant ${tenant}`);

export const tenantsFilter = (layout: Layout): Filter => ({
  shard: 0,
  subject: subjectOf(inFirstShard(layout, "*", "tenants"), "tenant"),
});

const placeOf = (where: Where): string =>
  "tenant" in where ? encodeToken(where.tenant) : allTenantsToken;

export const grantAddress = (layout: Layout, principal: Principal, where: Where): Address =>
  inFirstShard(layout, `${placeOf(where)}.${encodeToken(principal)}`, `what ${principal} has`);

/** The grants of one tenant, or those for all tenants, or all there are. */
export const grantsFilter = (layout: Layout, where?: Where): Filter => ({
  shard: 0,
  subject: subjectOf(
    inFirstShard(layout, `${where === undefined ? "*" : placeOf(where)}.*`, "grants"),
    "grant",
  ),
});

export const ledgerAddress = (layout: Layout, tenant: Tenant, key: LedgerKey): Address => {
  const tail = `${encodeToken(tenant)}.${encodeToken(key)}`;
  const shard = layout.shards === 1 ? 0 : hash(tail) % layout.shards;
  return { shard, root: shardRoot(layout, shard), tail, label: `the ledger ${key}` };
};

/** The entries of a ledger. */
export const ledgerFilter = (address: Address): Filter => ({
  shard: address.shard,
  subject: subjectOf(address, "ledger"),
});

/** Where it is marked that a ledger has an entry of this id. */
export const entryIdAddress = (ledger: Address, id: LedgerEntryId): Address => ({
  ...ledger,
  tail: `${ledger.tail}.${encodeToken(id)}`,
});

/** Where it is marked that a ledger is there. */
export const ledgerMarkAddress = (ledger: Address): Address => ({
  ...ledger,
  tail: `${ledger.tail}.${ledgerToken}`,
});

/** The marks of a tenant's ledgers in one shard. */
export const ledgerMarksFilter = (layout: Layout, shard: number, tenant: Tenant): Filter => ({
  shard,
  subject: `${shardRoot(layout, shard)}.ledger.${encodeToken(tenant)}.*.${ledgerToken}`,
});

/** The ledger that a mark is of. */
export const ledgerKeyOf = (subject: string): string | undefined =>
  decodeToken(subject.split(".")[3] ?? "");
