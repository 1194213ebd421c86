/**
 * The tenants of a namespace for callers that use promises. It checks plain strings and leaves the
 * rest to the service.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import type { AccessEvent } from "../schema/access_event.ts";
import { Principal, TenantName } from "../schema/access_names.ts";
import { parse, Tenant } from "../schema/ids.ts";
import { type TenantEntry, Tenants } from "../streams/tenants.ts";

export interface TenantVerbs {
  /** Creates a tenant; one that is there under the same name is given as it is. */
  create(
    tenant: string,
    options: { readonly name: string; readonly by?: string },
  ): Promise<TenantEntry & { readonly created: boolean }>;
  /** Rejects with `TenantNotFound`, if nobody created it. */
  get(tenant: string): Promise<TenantEntry>;
  list(): Promise<ReadonlyArray<TenantEntry>>;
  /** That it was created, and all that was granted and revoked in it, in order. */
  history(tenant: string): Promise<ReadonlyArray<AccessEvent>>;
}

export const makeTenants = (
  runtime: ManagedRuntime.ManagedRuntime<Tenants, unknown>,
): TenantVerbs => {
  const use = <A, E>(
    tenant: string,
    verb: (tenants: Tenants["Service"], tenant: Tenant) => Effect.Effect<A, E>,
  ): Promise<A> =>
    runtime.runPromise(Effect.gen(function* () {
      const checked = yield* parse(Tenant, "tenant", tenant);
      return yield* verb(yield* Tenants, checked);
    }));
  return {
    create: (tenant, { name, by }) =>
      use(tenant, (tenants, checked) =>
        Effect.gen(function* () {
          return yield* tenants.create(checked, {
            name: yield* parse(TenantName, "name of a tenant", name),
            ...(by === undefined ? {} : { by: yield* parse(Principal, "principal", by) }),
          });
        })),
    get: (tenant) => use(tenant, (tenants, checked) => tenants.get(checked)),
    list: () => runtime.runPromise(Effect.flatMap(Tenants, ({ list }) => list)),
    history: (tenant) => use(tenant, (tenants, checked) => tenants.history(checked)),
  };
};
