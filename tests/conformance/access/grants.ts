/** The contract of `Grants`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import type { Principal } from "../../../schema/access_names.ts";
import { grantAddress } from "../../../streams/access/subjects.ts";
import { Grants, layerWith, type Where } from "../../../streams/grants.ts";
import { Log } from "../../../streams/log.ts";
import { subjectOf } from "../../../streams/subjects.ts";
import { collect } from "../../fixtures/log_client.ts";
import { type Run, uniqueTenant } from "../subject_matter.ts";
import { capability, eventually, newPrincipal, newTenant, role, type Services } from "./matter.ts";

const names = ({ capabilities }: { readonly capabilities: ReadonlySet<string> }) =>
  [...capabilities].sort();

const everywhere = { allTenants: true } as const;

export const grantsSuite = (name: string, run: Run<Services>) => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));

  /** Grants as another process has them, which remembers for an hour unless it hears of a change. */
  const elsewhere = Effect.gen(function* () {
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

    test(
      "a revocation ends what others remember, though they would for an hour",
      Effect.gen(function* () {
        const grants = yield* Grants;
        const other = yield* elsewhere;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        const where = { tenant };
        const knows = (...expected: ReadonlyArray<string>) =>
          eventually(Effect.map(
            other.rights(principal, where),
            (rights) => names(rights).join() === expected.join(),
          ));
        for (const place of [where, everywhere]) {
          yield* grants.grant(principal, capability("cancel"), place);
          yield* knows("cancel");
          assert.deepEqual(names(yield* other.remembered(principal, where)), ["cancel"]);
          yield* grants.revoke(principal, capability("cancel"), place);
          yield* knows();
          yield* grants.grant(principal, capability("cancel"), where);
          yield* knows(...place === everywhere ? [] : ["cancel"]);
        }
      }).pipe(Effect.scoped),
    );

    test(
      "who changes a grant knows of it at once",
      Effect.gen(function* () {
        const grants = yield* elsewhere;
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        const where = { tenant };
        for (const place of [where, everywhere]) {
          for (let round = 0; round < 10; round++) {
            yield* grants.grant(principal, capability("read"), place);
            assert.deepEqual(names(yield* grants.rights(principal, where)), ["read"]);
            yield* grants.remembered(principal, where);
            yield* grants.revoke(principal, capability("read"), place);
            assert.deepEqual(names(yield* grants.rights(principal, where)), []);
          }
          yield* grants.grant(principal, capability("read"), where);
        }
      }).pipe(Effect.scoped),
    );

    test(
      "a revocation of which no word comes holds when the time is up",
      Effect.gen(function* () {
        const log = yield* Log;
        const grants = yield* Grants;
        const deaf = Log.of({ ...log, follow: () => Stream.never });
        const context = yield* Layer.build(
          layerWith({ remember: "50 millis" }).pipe(Layer.provide(Layer.succeed(Log, deaf))),
        );
        const other = Context.get(context, Grants);
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        const holds = Effect.map(
          other.rights(principal, { tenant }),
          ({ capabilities }) => capabilities.size > 0,
        );
        yield* grants.grant(principal, capability("read"), { tenant });
        yield* eventually(holds);
        yield* grants.revoke(principal, capability("read"), { tenant });
        // It is still remembered at first, and then not.
        yield* eventually(Effect.map(holds, (still) => !still));
      }).pipe(Effect.scoped),
    );

    test(
      "what cannot be read is not known, however recently it was",
      Effect.gen(function* () {
        const log = yield* Log;
        const grants = yield* Grants;
        let isGone = false;
        const broken = Log.of({
          ...log,
          // Nobody listens, so nothing is remembered.
          tail: () => Effect.die("no tail"),
          last: (...args) => isGone ? Effect.die("the server is gone") : log.last(...args),
        });
        const context = yield* Layer.build(
          layerWith({ remember: "1 hour" }).pipe(Layer.provide(Layer.succeed(Log, broken))),
        );
        const other = Context.get(context, Grants);
        const tenant = yield* newTenant;
        const principal = newPrincipal();
        yield* grants.grant(principal, capability("read"), { tenant });
        assert.deepEqual(names(yield* other.rights(principal, { tenant })), ["read"]);
        isGone = true;
        const exit = yield* Effect.exit(other.rights(principal, { tenant }));
        assert.equal(exit._tag, "Failure");
      }).pipe(Effect.scoped),
    );
  });
};
