/**
 * The tenants of a namespace that were created, each by one record that is never changed. Executions
 * may be of a tenant that nobody created; grants may not. Who may do what there is in `grants.ts`.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { type AccessEvent, grantEvent, tenantEvent } from "../schema/access_event.ts";
import { TenantNotFound } from "../schema/access_errors.ts";
import type { Principal, TenantName } from "../schema/access_names.ts";
import { AlreadyExists } from "../schema/errors.ts";
import { grantRecord } from "../schema/grant_record.ts";
import type { Tenant } from "../schema/ids.ts";
import { type TenantRecord, tenantRecord } from "../schema/tenant_record.ts";
import { grantsFilter, tenantAddress, tenantsFilter } from "./access/subjects.ts";
import { type AppendError, type Entry, Log, type ReadError } from "./log.ts";
import * as Register from "./register.ts";
import { subjectOf } from "./subjects.ts";

/** A tenant that was created. */
export interface TenantEntry {
  readonly tenant: Tenant;
  readonly name: TenantName;
  readonly by?: Principal;
  readonly createdAt: number;
}

export class Tenants extends Context.Service<Tenants, {
  /** Creates a tenant; one that is there under the same name is given as it is. */
  readonly create: (
    tenant: Tenant,
    options: { readonly name: TenantName; readonly by?: Principal },
  ) => Effect.Effect<TenantEntry & { readonly created: boolean }, AppendError | ReadError>;
  readonly get: (tenant: Tenant) => Effect.Effect<TenantEntry, TenantNotFound | ReadError>;
  readonly list: Effect.Effect<ReadonlyArray<TenantEntry>, ReadError>;
  /** That it was created, and all that was granted and revoked in it, in order. */
  readonly history: (
    tenant: Tenant,
  ) => Effect.Effect<ReadonlyArray<AccessEvent>, TenantNotFound | ReadError>;
}>()("@weir/weir/streams/Tenants") {}

const entryOf = ({ tenant, name, by }: TenantRecord, createdAt: number): TenantEntry => ({
  tenant,
  name,
  ...(by === undefined ? {} : { by }),
  createdAt,
});

const make = Effect.gen(function* () {
  const log = yield* Log;
  const register = Register.make(log, "tenant", tenantRecord);

  const held = Effect.fnUntraced(function* (tenant: Tenant) {
    const { value, revision, at } = yield* register.read(tenantAddress(log.layout, tenant));
    if (value === undefined) return yield* new TenantNotFound({ tenant });
    return { record: value, sequence: revision, at };
  });

  const get = (tenant: Tenant) => Effect.map(held(tenant), ({ record, at }) => entryOf(record, at));

  const create: Tenants["Service"]["create"] = Effect.fn("Tenants.create")(
    function* (tenant, { name, by }) {
      const address = tenantAddress(log.layout, tenant);
      const created = yield* register.revise(
        address,
        ({ value, revision }) =>
          Effect.gen(function* () {
            if (value === undefined) {
              const next = { kind: "tenant", tenant, name } as const;
              return { result: true, next: by === undefined ? next : { ...next, by } };
            }
            if (value.name === name) return { result: false };
            const subject = subjectOf(address, "tenant");
            return yield* new AlreadyExists({ subject, sequence: revision });
          }),
      );
      const { value, at } = yield* register.read(address);
      return { ...entryOf(value!, at), created };
    },
  );

  const list = Effect.map(
    Stream.runCollect(Stream.mapEffect(
      log.read(tenantsFilter(log.layout)),
      (entry) =>
        Effect.map(tenantRecord.decode(entry.body, entry), (held) => entryOf(held, entry.at)),
    )),
    (entries) => Array.from(entries),
  );

  const eventOf = (entry: Entry) =>
    Effect.map(grantRecord.decode(entry.body, entry), (record) => grantEvent(record, entry));

  const history = Effect.fn("Tenants.history")(function* (tenant: Tenant) {
    const { record, ...place } = yield* held(tenant);
    const granted = yield* Stream.runCollect(
      Stream.mapEffect(log.read(grantsFilter(log.layout, { tenant })), eventOf),
    );
    return [tenantEvent(record, place), ...granted];
  });

  return Tenants.of({ create, get, list, history });
});

export const layer: Layer.Layer<Tenants, never, Log> = Layer.effect(Tenants, make);
