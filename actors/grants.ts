/**
 * Roles and capabilities of principals for callers that use promises. It checks plain strings and
 * leaves the rest to the service; a left-out tenant is the connection's, as with every verb.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Schema from "effect/Schema";
import { type BuiltinRole, type Capability, isBuiltinRole, roles } from "../schema/access.ts";
import { CapabilityName, Principal, RoleName } from "../schema/access_names.ts";
import { InvalidInput } from "../schema/errors.ts";
import { parse, Tenant } from "../schema/ids.ts";
import { type Grant, Grants, type Rights as HeldRights, type Where } from "../streams/grants.ts";
import { type WhoseInput, whoseOf } from "./whose.ts";

/** One that verbs know, or one of the application's own. */
export type AnyCapability = Capability | (string & Record<never, never>);

/** One that is built in, or a name and what it may do. */
export type AnyRole =
  | BuiltinRole
  | { readonly name: string; readonly capabilities: ReadonlyArray<AnyCapability> };

/** Where something is granted: in a tenant, the connection's if none is named, or in all. */
export type GrantWhere = WhoseInput;

export interface GrantOptions extends GrantWhere {
  /** On whose behalf; who acts as a principal always does so for himself. */
  readonly by?: string;
}

/** What a principal may do. */
export interface Rights {
  readonly principal: string;
  /** Left out: in all tenants. */
  readonly tenant?: string;
  readonly roles: ReadonlyArray<string>;
  /** All that it may do by roles and grants together. */
  readonly capabilities: ReadonlyArray<string>;
}

export interface GrantVerbs {
  /** Gives a principal a role. */
  assign(principal: string, role: AnyRole, options?: GrantOptions): Promise<Rights>;
  /** Takes a role away, by its name. */
  unassign(principal: string, role: string, options?: GrantOptions): Promise<Rights>;
  /** Gives a principal one capability. */
  grant(principal: string, capability: AnyCapability, options?: GrantOptions): Promise<Rights>;
  /** Takes a capability away, whatever role has it, until it is granted again. */
  revoke(principal: string, capability: AnyCapability, options?: GrantOptions): Promise<Rights>;
  /** What a principal may do. */
  of(principal: string, where?: string | GrantWhere): Promise<Rights>;
  /** What was given and taken, principal by principal. */
  list(where?: GrantWhere): Promise<ReadonlyArray<Grant>>;
}

const shown = ({ principal, tenant, roles, capabilities }: HeldRights): Rights => ({
  principal,
  ...(tenant === undefined ? {} : { tenant }),
  roles,
  capabilities: [...capabilities].sort(),
});

const Capabilities = Schema.Array(CapabilityName);

/** A role as it is assigned: one that is built in, or the one that is described. */
export const roleOf = Effect.fnUntraced(function* (role: AnyRole) {
  const name = yield* parse(RoleName, "role", typeof role === "string" ? role : role?.name);
  const refuse = (rule: string) => new InvalidInput({ what: "role", value: name, rule });
  if (typeof role === "string") {
    if (!isBuiltinRole(name)) {
      return yield* refuse(
        `expected ${
          Object.keys(roles).join(", ")
        }, or { name, capabilities } of a role of one's own`,
      );
    }
    const capabilities: ReadonlyArray<string> = roles[name as BuiltinRole];
    return { name, capabilities: capabilities.map((each) => CapabilityName.make(each)) };
  }
  if (isBuiltinRole(name)) return yield* refuse("expected another name: this one is built in");
  const capabilities = yield* parse(Capabilities, "the capabilities of a role", role.capabilities);
  return { name, capabilities };
});

export const makeGrants = (
  runtime: ManagedRuntime.ManagedRuntime<Grants, unknown>,
  defaultTenant: Tenant,
): GrantVerbs => {
  const whereOf = whoseOf(defaultTenant);

  const change = <Checked, E>(
    principal: string,
    what: Effect.Effect<Checked, InvalidInput>,
    { by, ...where }: GrantOptions,
    verb: (
      grants: Grants["Service"],
      ...args: [Principal, Checked, Where, { readonly by?: Principal }]
    ) => Effect.Effect<HeldRights, E>,
  ): Promise<Rights> =>
    runtime.runPromise(Effect.gen(function* () {
      const rights = yield* verb(
        yield* Grants,
        yield* parse(Principal, "principal", principal),
        yield* what,
        yield* whereOf(where),
        by === undefined ? {} : { by: yield* parse(Principal, "principal", by) },
      );
      return shown(rights);
    }));
  const capabilityOf = (text: string) => parse(CapabilityName, "capability", text);

  return {
    assign: (principal, role, options = {}) =>
      change(principal, roleOf(role), options, ({ assign }, ...args) => assign(...args)),
    unassign: (principal, role, options = {}) =>
      change(
        principal,
        parse(RoleName, "role", role),
        options,
        ({ unassign }, ...args) => unassign(...args),
      ),
    grant: (principal, capability, options = {}) =>
      change(principal, capabilityOf(capability), options, ({ grant }, ...args) => grant(...args)),
    revoke: (principal, capability, options = {}) =>
      change(
        principal,
        capabilityOf(capability),
        options,
        ({ revoke }, ...args) => revoke(...args),
      ),
    of: (principal, where = {}) =>
      runtime.runPromise(Effect.gen(function* () {
        const named = yield* parse(Principal, "principal", principal);
        const place = yield* whereOf(typeof where === "string" ? { tenant: where } : where);
        return shown(yield* (yield* Grants).of(named, place));
      })),
    list: (where = {}) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* Grants).list(yield* whereOf(where));
      })),
  };
};
