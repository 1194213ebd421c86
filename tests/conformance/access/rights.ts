/** The contract of `Grants.rights`: what is remembered of grants, and for how long. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Stream from "effect/Stream";
import { Grants, layerWith } from "../../../streams/grants.ts";
import { Log } from "../../../streams/log.ts";
import type { Run } from "../subject_matter.ts";
import {
  capability,
  elsewhere,
  eventually,
  everywhere,
  names,
  newPrincipal,
  newTenant,
  type Services,
} from "./matter.ts";

export const rightsSuite = (name: string, run: Run<Services>) => {
  const test = (title: string, effect: Effect.Effect<unknown, unknown, Services>) =>
    it(title, () => run(Effect.asVoid(effect)));

  describe(`rights: ${name}`, () => {
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
