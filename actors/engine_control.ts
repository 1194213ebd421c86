/**
 * Pausing, draining and disabling for callers that use promises: a tenant, a lane of it, or all
 * tenants. It checks plain strings and leaves the rest to the service.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Schema from "effect/Schema";
import { Principal } from "../schema/access_names.ts";
import { ControlReason, type EngineState } from "../schema/control_record.ts";
import { InvalidInput } from "../schema/errors.ts";
import { Lane, parse, Tenant } from "../schema/ids.ts";
import type { RecordedWorkEvent } from "../schema/work_event.ts";
import { EngineControl, type Standing } from "../streams/engine_control.ts";
import { type WhoseInput, whoseOf } from "./whose.ts";

/** A tenant, the connection's if none is named, or all. */
export type EngineWhose = WhoseInput;

/** What is meant of them: one lane, or all; `default` is that of executions which name none. */
export interface EngineWhere extends EngineWhose {
  readonly lane?: string;
}

export interface EngineChangeOptions extends EngineWhere {
  /** Why, for who looks later. */
  readonly reason?: string;
  /** On whose behalf; who acts as a principal always does so for himself. */
  readonly by?: string;
}

/** What holds of a tenant, a lane, or all. */
export interface EngineStanding extends EngineWhere {
  readonly state: EngineState;
  /** When that was last changed, in milliseconds; 0 if it never was. */
  readonly since: number;
  readonly reason?: string;
  readonly by?: string;
}

export interface EngineStatusQuery extends EngineWhose {
  /** How many a page is to hold, from 1 to 1,000; 100 if left out. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly from?: string;
}

/** What is not open, sorted: all tenants and their lanes first, then tenant by tenant. */
export interface EngineStatus {
  readonly scopes: ReadonlyArray<EngineStanding>;
  readonly next?: string;
}

type Change = (
  options?: EngineChangeOptions,
) => Promise<EngineStanding & { readonly changed: boolean }>;

export interface EngineVerbs {
  /** Takes nothing up any more; what has begun goes on until it waits, and starts are kept. */
  readonly pause: Change;
  /** Refuses starts; what is there goes on to its end. */
  readonly drain: Change;
  /** Refuses starts, and takes nothing up any more. */
  readonly disable: Change;
  /** Has everything go on that was kept, and accepts starts. */
  readonly resume: Change;
  /** What is paused, draining or disabled; of a tenant, with what holds for all. */
  status(query?: EngineStatusQuery): Promise<EngineStatus>;
  /** When work was not taken up any more, and when it was again, in the words of work events. */
  history(whose?: EngineWhose): Promise<ReadonlyArray<RecordedWorkEvent>>;
}

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }));

const shown = ({ tenant, lane, state, since, reason, by }: Standing): EngineStanding => ({
  ...(tenant === undefined ? { allTenants: true } : { tenant }),
  ...(lane === undefined ? {} : { lane }),
  state,
  since,
  ...(reason === undefined ? {} : { reason }),
  ...(by === undefined ? {} : { by }),
});

/** Where a page begins: which scope comes before it. */
const PageStart = Schema.Struct({
  tenant: Schema.optionalKey(Tenant),
  lane: Schema.optionalKey(Lane),
});
const decodePage = Schema.decodeUnknownEffect(Schema.fromJsonString(PageStart));

const startOf = (from: string) =>
  decodePage(new TextDecoder().decode(Buffer.from(from, "base64url"))).pipe(
    Effect.mapError(() =>
      new InvalidInput({ what: "from", value: from, rule: "expected the next of an earlier page" })
    ),
  );

const nextOf = ({ tenant, lane }: Standing): string =>
  Buffer.from(JSON.stringify({ tenant, lane })).toString("base64url");

export const makeEngineControl = (
  runtime: ManagedRuntime.ManagedRuntime<EngineControl, unknown>,
  defaultTenant: Tenant,
): EngineVerbs => {
  const ofWhom = whoseOf(defaultTenant);

  const changeTo = (state: EngineState): Change => ({ lane, reason, by, ...whose } = {}) =>
    runtime.runPromise(Effect.gen(function* () {
      const of = yield* ofWhom(whose);
      const scope = {
        ...("tenant" in of ? of : {}),
        ...(lane === undefined ? {} : { lane: yield* parse(Lane, "lane", lane) }),
      };
      const { changed, ...standing } = yield* (yield* EngineControl).change(scope, state, {
        ...(reason === undefined ? {} : { reason: yield* parse(ControlReason, "reason", reason) }),
        ...(by === undefined ? {} : { by: yield* parse(Principal, "principal", by) }),
      });
      return { ...shown(standing), changed };
    }));

  return {
    pause: changeTo("paused"),
    drain: changeTo("draining"),
    disable: changeTo("disabled"),
    resume: changeTo("open"),
    status: ({ limit = 100, from, ...whose } = {}) =>
      runtime.runPromise(Effect.gen(function* () {
        const of = yield* ofWhom(whose);
        const most = yield* parse(Limit, "limit", limit);
        const after = from === undefined ? undefined : yield* startOf(from);
        const { list } = yield* EngineControl;
        const page = yield* list(of, after);
        const scopes = page.slice(0, most);
        return {
          scopes: scopes.map(shown),
          ...(page.length > most ? { next: nextOf(scopes[most - 1]!) } : {}),
        };
      })),
    history: (whose = {}) =>
      runtime.runPromise(Effect.gen(function* () {
        return yield* (yield* EngineControl).history(yield* ofWhom(whose));
      })),
  };
};
