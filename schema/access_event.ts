/**
 * What happened to tenants, grants and ledgers, as typed events: views of the records, of which each
 * transition has exactly one. They are told and never stored.
 */
import type { CapabilityName, Principal, RoleName, TenantName } from "./access_names.ts";
import type { GrantRecord } from "./grant_record.ts";
import type { Tenant } from "./ids.ts";
import type { LedgerRecord } from "./ledger_record.ts";
import type { TenantRecord } from "./tenant_record.ts";

interface Happened {
  /** Of its record; in one ledger, or among tenants and grants, these are in order. */
  readonly sequence: number;
  /** When the server stored it, in milliseconds. */
  readonly at: number;
  /** Who did it, if that was done for somebody. */
  readonly by?: Principal;
}

export interface TenantCreated extends Happened {
  readonly type: "tenantCreated";
  readonly tenant: Tenant;
  readonly name: TenantName;
}

interface OfPrincipal extends Happened {
  readonly principal: Principal;
  /** Left out: all tenants. */
  readonly tenant?: Tenant;
}

export interface RoleAssigned extends OfPrincipal {
  readonly type: "roleAssigned";
  readonly role: RoleName;
  readonly capabilities: ReadonlyArray<CapabilityName>;
}

export interface RoleUnassigned extends OfPrincipal {
  readonly type: "roleUnassigned";
  readonly role: RoleName;
}

export interface CapabilityGranted extends OfPrincipal {
  readonly type: "capabilityGranted";
  readonly capability: CapabilityName;
}

export interface CapabilityRevoked extends OfPrincipal {
  readonly type: "capabilityRevoked";
  readonly capability: CapabilityName;
}

export type AccessEvent =
  | TenantCreated
  | RoleAssigned
  | RoleUnassigned
  | CapabilityGranted
  | CapabilityRevoked;

/** One entry of a ledger. */
export interface LedgerEntry extends Happened {
  readonly type: "ledgerEntryAppended";
  readonly tenant: Tenant;
  readonly key: LedgerRecord["key"];
  readonly id: LedgerRecord["id"];
  readonly kind: LedgerRecord["entry"];
  readonly payload: LedgerRecord["payload"];
}

interface Place {
  readonly sequence: number;
  readonly at: number;
}

const happened = ({ sequence, at }: Place, { by }: { readonly by?: Principal }): Happened => ({
  sequence,
  at,
  ...(by === undefined ? {} : { by }),
});

export const tenantEvent = (record: TenantRecord, place: Place): TenantCreated => ({
  type: "tenantCreated",
  tenant: record.tenant,
  name: record.name,
  ...happened(place, record),
});

export const grantEvent = (record: GrantRecord, place: Place): AccessEvent => {
  const { principal, tenant, change } = record;
  const of = {
    principal,
    ...(tenant === undefined ? {} : { tenant }),
    ...happened(place, record),
  };
  return change.type === "roleAssigned"
    ? { type: change.type, role: change.role.name, capabilities: change.role.capabilities, ...of }
    : { ...change, ...of };
};

export const ledgerEntry = (record: LedgerRecord, place: Place): LedgerEntry => ({
  type: "ledgerEntryAppended",
  tenant: record.tenant,
  key: record.key,
  id: record.id,
  kind: record.entry,
  payload: record.payload,
  ...happened(place, record),
});
