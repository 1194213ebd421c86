/**
 * A tenant as the namespace knows it: that it was created, by what name. It is never changed and
 * never deleted, so whoever has seen a tenant needs not look again.
 */
import * as Schema from "effect/Schema";
import { Principal, TenantName } from "./access_names.ts";
import { Tenant } from "./ids.ts";
import { record } from "./record.ts";

export const TenantRecord = Schema.Struct({
  kind: Schema.tag("tenant"),
  tenant: Tenant,
  name: TenantName,
  /** Who created it, if that was done for somebody. */
  by: Schema.optionalKey(Principal),
});
export type TenantRecord = typeof TenantRecord.Type;

/** The body of the bucket key `tenant.<tenant>`. */
export const tenantRecord = record(1, TenantRecord);
