/** Tenants and principals that no other test has. */
import { randomUUID } from "node:crypto";
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import { CapabilityName, Principal, RoleName, TenantName } from "../../../schema/access_names.ts";
import type { Grants } from "../../../streams/grants.ts";
import type { Ledgers } from "../../../streams/ledgers.ts";
import type { Log } from "../../../streams/log.ts";
import { Tenants } from "../../../streams/tenants.ts";
import { uniqueTenant } from "../subject_matter.ts";

export type Services = Grants | Ledgers | Log | Tenants;

export const newPrincipal = (): Principal => Principal.make(`ana ${randomUUID()}`);
export const capability = (name: string): CapabilityName => CapabilityName.make(name);
export const role = (name: string, ...capabilities: ReadonlyArray<string>) => ({
  name: RoleName.make(name),
  capabilities: capabilities.map(capability),
});

/** A tenant that was created. */
export const newTenant = Effect.gen(function* () {
  const tenant = uniqueTenant();
  yield* (yield* Tenants).create(tenant, { name: TenantName.make("Acme & Söhne") });
  return tenant;
});

/** Asks again until it is so. */
export const eventually = <E, R>(is: Effect.Effect<boolean, E, R>) =>
  is.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("10 millis") }),
    Effect.timeout("20 seconds"),
  );
