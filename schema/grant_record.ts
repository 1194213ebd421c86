/**
 * What a principal has in a tenant, or in all of them, from one change to the next: each record says
 * what changed and what holds since, so that the last one is enough to decide, and all of them are
 * the history. What is revoked stays revoked, whatever role has it, until it is granted again.
 */
import * as Schema from "effect/Schema";
import { CapabilityName, Principal, RoleName } from "./access_names.ts";
import { Tenant } from "./ids.ts";
import { record } from "./record.ts";

/** A role as it was assigned; a later definition of the same name does not reach back. */
export const Role = Schema.Struct({
  name: RoleName,
  capabilities: Schema.Array(CapabilityName),
});
export type Role = typeof Role.Type;

export const GrantChange = Schema.Union([
  Schema.Struct({ type: Schema.tag("roleAssigned"), role: Role }),
  Schema.Struct({ type: Schema.tag("roleUnassigned"), role: RoleName }),
  Schema.Struct({ type: Schema.tag("capabilityGranted"), capability: CapabilityName }),
  Schema.Struct({ type: Schema.tag("capabilityRevoked"), capability: CapabilityName }),
]).pipe(Schema.toTaggedUnion("type"));
export type GrantChange = typeof GrantChange.Type;

export const GrantRecord = Schema.Struct({
  kind: Schema.tag("grant"),
  principal: Principal,
  /** Left out: all tenants. */
  tenant: Schema.optionalKey(Tenant),
  change: GrantChange,
  roles: Schema.Array(Role),
  granted: Schema.Array(CapabilityName),
  revoked: Schema.Array(CapabilityName),
  /** Who changed it, if that was done for somebody. */
  by: Schema.optionalKey(Principal),
});
export type GrantRecord = typeof GrantRecord.Type;

/** The body of the bucket key `grant.<tenant>.<principal>`. */
export const grantRecord = record(1, GrantRecord);
