/**
 * What principals may do, remembered for a short while. Word of every change comes from the log
 * itself and ends what is remembered of it, so that a revocation holds within one push; should no
 * word come, it holds when the time is up. Nothing is remembered while nobody listens.
 */
import * as Cache from "effect/Cache";
import * as Data from "effect/Data";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import type { Principal } from "../../schema/access_names.ts";
import type { Tenant } from "../../schema/ids.ts";
import type { Grants, Rights, Where } from "../grants.ts";
import type { Log, ReadError } from "../log.ts";
import { subjectOf } from "../subjects.ts";
import { grantAddress, grantsFilter } from "./subjects.ts";

/** How many rights a process remembers. */
const capacity = 10_000;
const listenAgainAfter = "1 second";

/** Whose rights, and in which tenant, or in all. */
class Asked extends Data.Class<{ readonly principal: Principal; readonly tenant?: Tenant }> {
  get where(): Where {
    return this.tenant === undefined ? { allTenants: true } : { tenant: this.tenant };
  }
}

/** What was read, and whether word of every later change was on its way already. */
interface Looked {
  readonly rights: Rights;
  readonly isWatched: boolean;
}

const askedOf = (principal: Principal, where: Where): Asked =>
  new Asked("tenant" in where ? { principal, tenant: where.tenant } : { principal });

export const makeRights = Effect.fnUntraced(function* (
  log: Log["Service"],
  read: Grants["Service"]["of"],
  remember: Duration.Input,
) {
  const scope = yield* Effect.scope;
  let hasBegun = false;
  let listens = false;

  const cache = yield* Cache.makeWith<Asked, Looked, ReadError>(
    ({ principal, where }) =>
      Effect.suspend(() => {
        const isWatched = listens;
        return Effect.map(read(principal, where), (rights) => ({ rights, isWatched }));
      }),
    {
      capacity,
      timeToLive: (exit) => Exit.isSuccess(exit) && exit.value.isWatched ? remember : Duration.zero,
    },
  );

  const subjectFor = (principal: Principal, where: Where): string =>
    subjectOf(grantAddress(log.layout, principal, where), "grant");

  /** What was granted or revoked for all tenants concerns each. */
  const forget = Effect.fnUntraced(function* (subject: string) {
    for (const asked of yield* Cache.keys(cache)) {
      const { principal, where } = asked;
      const isMeant = subject === subjectFor(principal, where) ||
        subject === subjectFor(principal, { allTenants: true });
      if (isMeant) yield* Cache.invalidate(cache, asked);
    }
  });

  /** Hears of every change behind the tail; whatever is read from then on is at least as new. */
  const listen = Effect.gen(function* () {
    const { sequence } = yield* log.tail(0);
    listens = true;
    yield* Stream.runForEach(
      log.follow(grantsFilter(log.layout), { after: sequence }),
      ({ subject }) => forget(subject),
    );
  }).pipe(
    Effect.ensuring(Effect.suspend(() => {
      listens = false;
      return Cache.invalidateAll(cache);
    })),
    Effect.ignore,
    Effect.repeat(Schedule.spaced(listenAgainAfter)),
  );

  /** A process that asks for nobody's rights listens to nothing. */
  const begin = Effect.suspend(() => {
    if (hasBegun) return Effect.void;
    hasBegun = true;
    return Effect.forkIn(listen, scope);
  });

  const rights: Grants["Service"]["rights"] = (principal, where) =>
    Effect.map(
      Effect.andThen(begin, Cache.get(cache, askedOf(principal, where))),
      ({ rights }) => rights,
    );

  /** For who has just made a change, and need not wait for word of it. */
  const changed = (principal: Principal, where: Where) => forget(subjectFor(principal, where));

  return { rights, changed };
});
