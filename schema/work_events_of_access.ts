/**
 * What the records of tenants, grants and ledgers say in the words of `work_event.ts`; one record
 * tells one event. That a role was taken away has no word there, and nothing tells it.
 */
import type { GrantRecord } from "./grant_record.ts";
import type { LedgerRecord } from "./ledger_record.ts";
import type { TenantRecord } from "./tenant_record.ts";
import type { WorkFact } from "./work_event.ts";

export const workOfTenant = ({ tenant, name }: TenantRecord): ReadonlyArray<WorkFact> => [
  { kind: "tenantCreated", tenantId: tenant, name },
];

export const workOfGrant = (
  { principal, tenant, change }: GrantRecord,
): ReadonlyArray<WorkFact> => {
  const of = { actorId: principal, ...(tenant === undefined ? {} : { tenantId: tenant }) };
  switch (change.type) {
    case "roleAssigned":
      return [{ kind: "roleAssigned", ...of, role: change.role.name }];
    case "capabilityGranted":
      return [{ kind: "capabilityGranted", ...of, capability: change.capability }];
    case "capabilityRevoked":
      return [{ kind: "capabilityRevoked", ...of, capability: change.capability }];
    case "roleUnassigned":
      return [];
  }
};

export const workOfLedger = (
  { id, tenant, key, by, payload }: LedgerRecord,
): ReadonlyArray<WorkFact> => [{
  kind: "ledgerEntryAppended",
  entryId: id,
  tenantId: tenant,
  ledgerKey: key,
  ...(by === undefined ? {} : { actorId: by }),
  payload,
}];
