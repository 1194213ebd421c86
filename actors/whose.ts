/** Whose something is: a tenant's, the connection's if none is named, or everybody's. */
import * as Effect from "effect/Effect";
import { InvalidInput } from "../schema/errors.ts";
import { parse, Tenant } from "../schema/ids.ts";

/** As people say it. */
export interface WhoseInput {
  readonly tenant?: string;
  readonly allTenants?: boolean;
}

export const whoseOf = (own: Tenant) =>
  Effect.fnUntraced(function* (
    { tenant, allTenants = false }: WhoseInput,
  ): Effect.fn.Return<
    { readonly tenant: Tenant } | { readonly allTenants: true },
    InvalidInput
  > {
    if (!allTenants) {
      return { tenant: tenant === undefined ? own : yield* parse(Tenant, "tenant", tenant) };
    }
    if (tenant === undefined) return { allTenants };
    const rule = "it is left out where all tenants are meant";
    return yield* new InvalidInput({ what: "tenant", value: tenant, rule });
  });
