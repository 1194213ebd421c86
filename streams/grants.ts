/**
 * What principals may do in each tenant, and in all: one register for each principal and tenant, of
 * which every change is one record that names who is concerned, what changed, and what holds since.
 * What was granted for all tenants holds in each, and what was revoked anywhere it concerns holds
 * against everything. It refuses nobody anything; the doors ask `rights` and do.
 */
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import type { TenantNotFound } from "../schema/access_errors.ts";
import type { CapabilityName, Principal, RoleName } from "../schema/access_names.ts";
import {
  type GrantChange,
  type GrantRecord,
  grantRecord,
  type Role,
} from "../schema/grant_record.ts";
import type { Tenant } from "../schema/ids.ts";
import { makeRights } from "./access/rights.ts";
import { grantAddress, grantsFilter, type Where } from "./access/subjects.ts";
import * as Transition from "./access/transition.ts";
import { type AppendError, Log, type ReadError } from "./log.ts";
import * as Register from "./register.ts";
import { Tenants } from "./tenants.ts";

export type { Where } from "./access/subjects.ts";

/** What one principal has in one tenant, or for all, as it was written down. */
export interface Grant extends Pick<GrantRecord, "principal" | "roles" | "granted" | "revoked"> {
  /** Left out: all tenants. */
  readonly tenant?: Tenant;
  /** When it was last changed. */
  readonly at: number;
}

/** What a principal may do, all grants taken together. */
export interface Rights {
  readonly principal: Principal;
  /** Left out: all tenants. */
  readonly tenant?: Tenant;
  readonly roles: ReadonlyArray<RoleName>;
  readonly capabilities: ReadonlySet<CapabilityName>;
}

/** On whose behalf a change is made. */
export interface ChangeOptions {
  readonly by?: Principal;
}

type ChangeError = TenantNotFound | AppendError | ReadError;

type Change<What> = (
  principal: Principal,
  what: What,
  where: Where,
  options?: ChangeOptions,
) => Effect.Effect<Rights, ChangeError>;

export class Grants extends Context.Service<Grants, {
  readonly assign: Change<Role>;
  readonly unassign: Change<RoleName>;
  readonly grant: Change<CapabilityName>;
  /** Takes a capability away, whatever role has it, until it is granted again. */
  readonly revoke: Change<CapabilityName>;
  /** What a principal may do, as the leader has it. */
  readonly of: (principal: Principal, where: Where) => Effect.Effect<Rights, ReadError>;
  /** What there is in one tenant, or for all of them. */
  readonly list: (where: Where) => Effect.Effect<ReadonlyArray<Grant>, ReadError>;
  /**
   * The same as `of`, remembered until word of a change comes, and for two seconds at most; nothing
   * is remembered while no word could come, and what cannot be read is not known.
   */
  readonly rights: (principal: Principal, where: Where) => Effect.Effect<Rights, ReadError>;
}>()("@weir/weir/streams/Grants") {}

export interface GrantsOptions {
  /** How long rights are remembered if no word of a change comes. */
  readonly remember?: Duration.Input;
}

const everywhere = { allTenants: true } as const;

const make = Effect.fnUntraced(function* ({ remember = "2 seconds" }: GrantsOptions) {
  const log = yield* Log;
  const tenants = yield* Tenants;
  const register = Register.make(log, "grant", grantRecord);

  const of: Grants["Service"]["of"] = Effect.fnUntraced(function* (principal, where) {
    const places = "tenant" in where ? [where, everywhere] : [everywhere];
    const held = yield* Effect.forEach(
      places,
      (place) => register.read(grantAddress(log.layout, principal, place)),
      { concurrency: "unbounded" },
    );
    const given = held.map(({ value }) => value ?? Transition.nothing);
    return {
      principal,
      ...("tenant" in where ? { tenant: where.tenant } : {}),
      roles: [...new Set(given.flatMap(({ roles }) => roles.map(({ name }) => name)))].sort(),
      capabilities: Transition.effective(given),
    };
  });

  const { rights, changed } = yield* makeRights(log, of, remember);

  const change = Effect.fn("Grants.change")(function* (
    principal: Principal,
    change: GrantChange,
    where: Where,
    { by }: ChangeOptions = {},
  ): Effect.fn.Return<Rights, ChangeError> {
    if ("tenant" in where) yield* tenants.get(where.tenant);
    yield* register.revise(
      grantAddress(log.layout, principal, where),
      ({ value = Transition.nothing }) => {
        const next = Transition.after(value, change);
        if (next === undefined) return Effect.succeed({ result: undefined });
        const record = {
          kind: "grant",
          principal,
          ...("tenant" in where ? { tenant: where.tenant } : {}),
          change,
          roles: next.roles,
          granted: next.granted,
          revoked: next.revoked,
          ...(by === undefined ? {} : { by }),
        } as const;
        return Effect.succeed({ result: undefined, next: record });
      },
    );
    yield* changed(principal, where);
    return yield* of(principal, where);
  });

  const list: Grants["Service"]["list"] = Effect.fnUntraced(function* (where) {
    const last = new Map<string, Grant>();
    yield* Stream.runForEach(
      log.read(grantsFilter(log.layout, where)),
      (entry) =>
        Effect.map(
          grantRecord.decode(entry.body, entry),
          ({ principal, tenant, roles, granted, revoked }) => {
            const of = tenant === undefined ? {} : { tenant };
            last.set(entry.subject, { principal, ...of, roles, granted, revoked, at: entry.at });
          },
        ),
    );
    return [...last.values()];
  });

  return Grants.of({
    assign: (principal, role, where, options) =>
      change(principal, { type: "roleAssigned", role }, where, options),
    unassign: (principal, role, where, options) =>
      change(principal, { type: "roleUnassigned", role }, where, options),
    grant: (principal, capability, where, options) =>
      change(principal, { type: "capabilityGranted", capability }, where, options),
    revoke: (principal, capability, where, options) =>
      change(principal, { type: "capabilityRevoked", capability }, where, options),
    of,
    list,
    rights,
  });
});

export const layerWith = (options: GrantsOptions): Layer.Layer<Grants, never, Log | Tenants> =>
  Layer.effect(Grants, make(options));

export const layer: Layer.Layer<Grants, never, Log | Tenants> = layerWith({});
