/** The contract of `Grants`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Effect from "effect/Effect";
import { grantAddress } from "../../../streams/access/subjects.ts";
import { Grants } from "../../../streams/grants.ts";
import { Log } from "../../../streams/log.ts";
import { subjectOf } from "../../../streams/subjects.ts";
import { collect } from "../../fixtures/log_client.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import {
  capability,
  elsewhere,
  everywhere,
  names,
  newPrincipal,
  newTenant,
  role,
  type Services,
} from "./matter.ts";

export const grantsSuite = (name: string, run: Run<Services>) => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));

  describe(`grants: ${name}`, () => {
    test(
      "roles and capabilities add up, in their tenant and nowhere else",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const tenant = yield* newTenant;
        const other = yield* newTenant;
        const principal = newPrincipal();
        const where = { tenant };
        assert.deepEqual(names(yield* grants.of(principal, where)), []);
        yield* grants.assign(principal, role("clerk", "submit", "read"), where);
        const both = yield* grants.grant(principal, capability("invoice.pay"), where);
        assert.deepEqual(names(both), ["invoice.pay", "read", "submit"]);
        assert.deepEqual(both.roles, ["clerk"]);
        assert.deepEqual(names(yield* grants.of(principal, { tenant: other })), []);
        assert.deepEqual(names(yield* grants.of(principal, everywhere)), []);
        assert.deepEqual(names(yield* grants.of(newPrincipal(), where)), []);
      }),
    );

    test(
      "what is granted for all tenants holds in each",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        yield* grants.grant(principal, capability("read"), everywhere);
        assert.deepEqual(names(yield* grants.of(principal, { tenant })), ["read"]);
        assert.deepEqual(names(yield* grants.of(principal, { tenant: uniqueTenant() })), ["read"]);
      }),
    );

    test(
      "what is revoked stays so, whatever role has it, until it is granted again",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        const where = { tenant };
        yield* grants.grant(principal, capability("read"), everywhere);
        yield* grants.assign(principal, role("clerk", "submit", "read"), where);
        assert.deepEqual(
          names(yield* grants.revoke(principal, capability("read"), where)),
          ["submit"],
        );
        yield* grants.assign(principal, role("auditor", "read"), where);
        assert.deepEqual(names(yield* grants.of(principal, where)), ["submit"]);
        yield* grants.grant(principal, capability("read"), where);
        assert.deepEqual(names(yield* grants.of(principal, where)), ["read", "submit"]);
        yield* grants.revoke(principal, capability("submit"), everywhere);
        assert.deepEqual(names(yield* grants.of(principal, where)), ["read"]);
      }),
    );

    test(
      "a role is as it was assigned, until it is assigned anew",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        yield* grants.assign(principal, role("clerk", "submit"), { tenant });
        yield* grants.assign(principal, role("clerk", "cancel"), { tenant });
        const rights = yield* grants.of(principal, { tenant });
        assert.deepEqual([rights.roles, names(rights)], [["clerk"], ["cancel"]]);
      }),
    );

    test(
      "nothing is granted in a tenant that nobody created",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const tenant = uniqueTenant();
        const refused = yield* Effect.flip(
          grants.grant(newPrincipal(), capability("read"), { tenant }),
        );
        assert.equal(refused._tag, "TenantNotFound");
        assert.deepEqual(yield* grants.list({ tenant }), []);
      }),
    );

    test(
      "of many changes at once none is lost, and each has one readable record",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const log = yield* Log;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        const granted = Array.from({ length: 12 }, (_, i) => `a${i}`);
        const others = yield* Effect.forEach(granted, () => elsewhere);
        yield* Effect.forEach(
          granted,
          (each, i) => others[i]!.grant(principal, capability(each), { tenant }),
          { concurrency: "unbounded" },
        );
        assert.deepEqual(names(yield* grants.of(principal, { tenant })), [...granted].sort());
        const subject = subjectOf(grantAddress(log.layout, principal, { tenant }), "grant");
        const records = (yield* collect(log.read({ shard: 0, subject })))
          .map(({ body }) => JSON.parse(new TextDecoder().decode(body)));
        assert.deepEqual(
          records.map(({ change }) => change.capability).sort(),
          [...granted].sort(),
        );
        assert.deepEqual(Object.keys(records[0]), [
          "v",
          "kind",
          "principal",
          "tenant",
          "change",
          "roles",
          "granted",
          "revoked",
        ]);
        const [listed, ...rest] = yield* grants.list({ tenant });
        assert.deepEqual(rest, []);
        assert.deepEqual([listed?.principal, listed?.tenant], [principal, tenant]);
        assert.deepEqual(listed?.granted, [...granted].sort());
      }).pipe(Effect.scoped),
    );
  });
};
