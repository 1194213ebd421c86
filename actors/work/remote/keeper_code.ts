/**
 * The code of the executions that keep remote workers, one for each tenant, and where the first word
 * of a tenant's first worker is heard, so that somebody begins to keep them.
 */
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { InvalidInput } from "../../../schema/errors.ts";
import { type ActorName, executionIdentity, Tenant } from "../../../schema/ids.ts";
import { refusal } from "../../../schema/remote_protocol.ts";
import { remoteKeeper } from "../../../streams/errands.ts";
import { remotesSubject, remoteSubject, remoteVerbOf } from "../../../streams/requests.ts";
import { queueTenant } from "../../../streams/seats.ts";
import type { ActorCode } from "../../engine/operations.ts";
import { keepOn, keptAnew } from "../keeping.ts";
import { Keeper, type KeepError, type Means } from "./keeper.ts";
import { Verbs } from "./verbs.ts";

/** Nobody sends it: who keeps remote workers waits for nothing but to be asked to stop. */
const never = "weir.remotes";
const forGood = "for good";

const keeperAnswersWithin = "250 millis";

const decodeTenant = Schema.decodeUnknownOption(Tenant);

/** The code of the executions that keep remote workers. */
export const remotesCode = (means: Means): ActorCode => ({
  name: remoteKeeper as ActorName,
  retry: keptAnew,
  run: (operations) =>
    Effect.gen(function* () {
      const tenant = decodeTenant(executionIdentity(operations.execution).name);
      if (operations.tenant !== queueTenant || Option.isNone(tenant)) {
        return yield* new InvalidInput({
          what: "keeper of remote workers",
          value: `${operations.execution} of ${operations.tenant}`,
          rule: `they are kept for ${queueTenant} alone, under the name of their tenant`,
        });
      }
      const { clock, log, requests } = means;
      const keepOnce = Effect.gen(function* () {
        const fibers = yield* FiberSet.make<void, KeepError>();
        const beside = yield* FiberSet.runtime(fibers)<never>();
        const keeper = new Keeper(means, operations, beside);
        const goOn = yield* keeper.begin;
        const verbs = new Verbs(keeper, clock, operations.isOwned);
        yield* requests.serve(
          remoteSubject(log.layout, tenant.value, "*"),
          ({ subject, body }) =>
            Effect.catch(verbs.answer(remoteVerbOf(subject).verb, body), (error) => {
              beside(Effect.fail(error));
              return Effect.undefined;
            }),
        );
        yield* requests.serve(
          remotesSubject(log.layout, tenant.value, "*"),
          ({ subject, body }) =>
            Effect.catch(verbs.control(remoteVerbOf(subject).verb, body), (error) => {
              beside(Effect.fail(error));
              return Effect.undefined;
            }),
        );
        return yield* Effect.raceFirst(
          goOn,
          Effect.andThen(FiberSet.join(fibers), Effect.never),
        );
      }).pipe(Effect.scoped);
      operations.awaitWhile(forGood, () => false);
      return yield* Effect.raceFirst(
        operations.wait(never, { name: forGood }),
        keepOn(operations, keepOnce),
      );
    }),
});

/**
 * Hears what the workers of all tenants say first, while the scope is open, and has somebody keep
 * those of a tenant. Who keeps them answers; should nobody do so yet, it is to be said again.
 */
export const hearFirst = ({ log, post, requests }: Means) =>
  requests.serve(
    remoteSubject(log.layout, "*", "register"),
    ({ subject }) => {
      const tenant = decodeTenant(remoteVerbOf(subject).tenant);
      if (Option.isNone(tenant)) return Effect.undefined;
      const message = "nobody keeps the remote workers of this tenant yet; say it again";
      return post.keepRemotes(tenant.value).pipe(
        Effect.andThen(Effect.sleep(keeperAnswersWithin)),
        Effect.as(JSON.stringify(refusal("try_again", message))),
        Effect.catch(() => Effect.undefined),
      );
    },
    { group: "first" },
  );
