/** The contract of `Tenants`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { Principal, TenantName } from "../../../schema/access_names.ts";
import { tenantsFilter } from "../../../streams/access/subjects.ts";
import { Grants } from "../../../streams/grants.ts";
import { Log } from "../../../streams/log.ts";
import { Tenants } from "../../../streams/tenants.ts";
import { collect } from "../../fixtures/log_client.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import { capability, newPrincipal, newTenant, role, type Services } from "./matter.ts";

export const tenantsSuite = (name: string, run: Run<Services>) => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));
  const acme = TenantName.make("Acme");

  describe(`tenants: ${name}`, () => {
    test(
      "a tenant is created once, by one record, whoever of many is first",
      Effect.gen(function* () {
        const tenants = yield* Tenants;
        const log = yield* Log;
        const tenant = uniqueTenant();
        const by = Principal.make("root");
        const created = yield* Effect.forEach(
          Array.from({ length: 8 }),
          () => tenants.create(tenant, { name: acme, by }),
          { concurrency: "unbounded" },
        );
        assert.equal(created.filter((each) => each.created).length, 1);
        const records = (yield* collect(log.read(tenantsFilter(log.layout))))
          .map(({ body }) => JSON.parse(new TextDecoder().decode(body)))
          .filter((record) => record.tenant === tenant);
        assert.deepEqual(records, [{ v: 1, kind: "tenant", tenant, name: acme, by: "root" }]);
        const { createdAt, ...found } = yield* tenants.get(tenant);
        assert.deepEqual(found, { tenant, name: acme, by });
        assert.ok(createdAt > 0);
        assert.ok((yield* tenants.list).some((each) => each.tenant === tenant));
      }),
    );

    test(
      "a tenant that is there keeps its name",
      Effect.gen(function* () {
        const tenants = yield* Tenants;
        const tenant = yield* newTenant;
        const again = yield* Effect.flip(tenants.create(tenant, { name: acme }));
        assert.equal(again._tag, "AlreadyExists");
        assert.equal((yield* tenants.get(tenant)).name, "Acme & Söhne");
      }),
    );

    test(
      "a tenant that nobody created is not found",
      Effect.gen(function* () {
        const tenants = yield* Tenants;
        const tenant = uniqueTenant();
        for (const verb of [tenants.get(tenant), tenants.history(tenant)]) {
          const error = yield* Effect.flip<unknown, { readonly _tag: string }, never>(verb);
          assert.equal(error._tag, "TenantNotFound");
        }
      }),
    );

    test(
      "its history tells each transition, in order, and nothing that changed nothing",
      Effect.gen(function* () {
        const tenants = yield* Tenants;
        const grants = yield* Grants;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        const by = Principal.make("root");
        const where = { tenant };
        const reviewer = role("reviewer", "review", "read");
        yield* grants.assign(principal, reviewer, where, { by });
        yield* grants.assign(principal, reviewer, where, { by });
        yield* grants.grant(principal, capability("cancel"), where);
        yield* grants.grant(principal, capability("cancel"), where);
        yield* grants.revoke(principal, capability("review"), where);
        yield* grants.revoke(principal, capability("review"), where);
        yield* grants.unassign(principal, reviewer.name, where);
        yield* grants.unassign(principal, reviewer.name, where);
        const told = yield* tenants.history(tenant);
        const sequences = told.map(({ sequence }) => sequence);
        assert.deepEqual(sequences, [...new Set(sequences)].sort((a, b) => a - b));
        assert.deepEqual(told.map(({ sequence: _, at, ...event }) => (assert.ok(at > 0), event)), [
          { type: "tenantCreated", tenant, name: "Acme & Söhne" },
          {
            type: "roleAssigned",
            role: "reviewer",
            capabilities: ["review", "read"],
            principal,
            tenant,
            by,
          },
          { type: "capabilityGranted", capability: "cancel", principal, tenant },
          { type: "capabilityRevoked", capability: "review", principal, tenant },
          { type: "roleUnassigned", role: "reviewer", principal, tenant },
        ]);
      }),
    );
  });
};
