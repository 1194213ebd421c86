/** Tenants and principals that no other test has. */
import { randomUUID } from "node:crypto";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Schedule from "effect/Schedule";
import { CapabilityName, Principal, RoleName, TenantName } from "../../../schema/access_names.ts";
import { Grants, layerWith, type Where } from "../../../streams/grants.ts";
import type { Ledgers } from "../../../streams/ledgers.ts";
import { Log } from "../../../streams/log.ts";
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
    Effect.timeout("60 seconds"),
  );

/** Grants as another process has them, which remembers for an hour unless it hears of a change. */
export const elsewhere = Effect.gen(function* () {
  const log = yield* Log;
  let reads = 0;
  const counted = Log.of({
    ...log,
    last: (...args) => Effect.suspend(() => (reads++, log.last(...args))),
  });
  const context = yield* Layer.build(
    layerWith({ remember: "1 hour" }).pipe(Layer.provide(Layer.succeed(Log, counted))),
  );
  const grants = Context.get(context, Grants);
  /** What is known without a look, as soon as it is. */
  const remembered = (principal: Principal, where: Where) =>
    eventually(Effect.gen(function* () {
      const before = reads;
      yield* grants.rights(principal, where);
      return reads === before;
    })).pipe(Effect.andThen(grants.rights(principal, where)));
  return { ...grants, remembered };
});

/** The capabilities by name. */
export const names = ({ capabilities }: { readonly capabilities: ReadonlySet<string> }) =>
  [...capabilities].sort();

export const everywhere = { allTenants: true } as const;
