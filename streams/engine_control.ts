/**
 * Whether work of a tenant, a lane or all is taken up, and whether new work is accepted: one register
 * for each of them that was ever changed, of which each change is one record. It stops nobody; workers
 * ask before they take anything up, and whoever starts something asks before it is stored.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type * as EffectScope from "effect/Scope";
import * as Stream from "effect/Stream";
import { type Cursor, encodeCursor } from "../schema/cursor.ts";
import {
  accepts,
  type ControlRecord,
  controlRecord,
  type EngineState,
  takesUp,
} from "../schema/control_record.ts";
import { type Lane, type Tenant, Timestamp } from "../schema/ids.ts";
import type { Principal } from "../schema/access_names.ts";
import { type RecordedWorkEvent, workEventsAt } from "../schema/work_event.ts";
import { workOfControl } from "../schema/work_events_of_control.ts";
import {
  controlAddress,
  controlFilter,
  type Scope,
  scopeKey,
  scopeOf,
  scopesOf,
  type Standing,
  standingOf,
} from "./engine_control/scope.ts";
import { type Closed, makeView } from "./engine_control/view.ts";
import { type AppendError, type Entry, Log, type ReadError } from "./log.ts";
import * as Register from "./register.ts";

export type { Scope, Standing } from "./engine_control/scope.ts";

export interface ChangeOptions {
  readonly reason?: string;
  /** On whose behalf. */
  readonly by?: Principal;
}

/** Of whom something is to be told: of a tenant and what holds for it with all, or of everybody. */
export type Whose = { readonly tenant: Tenant } | { readonly allTenants: true };

export class EngineControl extends Context.Service<EngineControl, {
  /** Has a scope stand so from now on; nothing is stored if it does already. */
  readonly change: (
    scope: Scope,
    state: EngineState,
    options?: ChangeOptions,
  ) => Effect.Effect<Standing & { readonly changed: boolean }, AppendError | ReadError>;
  /** All that is not open, sorted, as the leader has it; behind a scope, if one is named. */
  readonly list: (whose: Whose, after?: Scope) => Effect.Effect<ReadonlyArray<Standing>, ReadError>;
  /** That work was not taken up any more, and that it was again, in order. */
  readonly history: (whose: Whose) => Effect.Effect<ReadonlyArray<RecordedWorkEvent>, ReadError>;
  /** What keeps work of a lane of a tenant from being taken up, if anything does; the lane, if it is known. */
  readonly holds: (
    tenant: Tenant,
    lane: Lane | undefined,
  ) => Effect.Effect<Standing | undefined, ReadError>;
  /** What keeps new work from a lane of a tenant, if anything does. */
  readonly refuses: (tenant: Tenant, lane: Lane) => Effect.Effect<Standing | undefined, ReadError>;
  /** Calls back after each change until the scope ends; returns when all is known that was before. */
  readonly listen: (listener: () => void) => Effect.Effect<void, never, EffectScope.Scope>;
  /**
   * All that is not open, without a question: nothing, while this process may have missed a change,
   * or does not listen.
   */
  readonly known: () => Closed | undefined;
}>()("@weir/weir/streams/EngineControl") {}

const first = (
  closed: Closed,
  tenant: Tenant,
  lane: Lane | undefined,
  is: (state: EngineState) => boolean,
): Standing | undefined => {
  if (closed.size === 0) return undefined;
  for (const scope of scopesOf(tenant, lane)) {
    const standing = closed.get(scopeKey(scope));
    if (standing !== undefined && is(standing.state)) return standing;
  }
};

/** The largest scope because of which work is not taken up. */
export const holding = (
  closed: Closed,
  tenant: Tenant,
  lane: Lane | undefined,
): Standing | undefined => first(closed, tenant, lane, (state) => !takesUp(state));

/** The largest scope because of which nothing new is accepted. */
export const refusing = (closed: Closed, tenant: Tenant, lane: Lane): Standing | undefined =>
  first(closed, tenant, lane, (state) => !accepts(state));

const concerns = (whose: Whose, { tenant }: Scope): boolean =>
  "allTenants" in whose || tenant === undefined || tenant === whose.tenant;

const byScope = (a: Scope, b: Scope): number => {
  const [left, right] = [scopeKey(a), scopeKey(b)];
  return left < right ? -1 : left === right ? 0 : 1;
};

const make = Effect.gen(function* () {
  const log = yield* Log;
  const register = Register.make(log, "control", controlRecord);
  const { read, closed, listen, known, changed } = yield* makeView(log);

  const change: EngineControl["Service"]["change"] = Effect.fn("EngineControl.change")(
    function* (scope, state, { reason, by } = {}) {
      const address = controlAddress(log.layout, scope);
      const isChanged = yield* register.revise(address, ({ value }) => {
        const before = value?.state ?? "open";
        if (before === state) return Effect.succeed({ result: false });
        const next: ControlRecord = {
          kind: "control",
          ...scopeOf(scope),
          state,
          before,
          ...(reason === undefined ? {} : { reason }),
          ...(by === undefined ? {} : { by }),
        };
        return Effect.succeed({ result: true, next });
      });
      const { value, at, revision } = yield* register.read(address);
      const standing = value === undefined
        ? { ...scopeOf(scope), state, since: 0, revision: 0 }
        : standingOf(value, { at, sequence: revision });
      changed(standing);
      return { ...standing, changed: isChanged };
    },
  );

  const list: EngineControl["Service"]["list"] = (whose, after) =>
    Effect.map(read, (closed) =>
      [...closed.values()]
        .filter((standing) =>
          concerns(whose, standing) && (after === undefined || byScope(after, standing) < 0)
        )
        .sort(byScope));

  const cursorOf = ({ sequence, at }: Entry): Cursor =>
    encodeCursor({
      incarnation: log.incarnation,
      shards: Array.from(
        { length: log.layout.shards },
        (_, shard) => shard === 0 ? { sequence, at } : { sequence: 0, at: 0 },
      ),
    });

  const history: EngineControl["Service"]["history"] = (whose) =>
    log.read(controlFilter(log.layout)).pipe(
      Stream.mapEffect((entry) =>
        Effect.map(controlRecord.decode(entry.body, entry), (record) => {
          const { tenant } = record;
          const place = {
            sequence: entry.sequence,
            at: Timestamp.make(entry.at),
            ...(tenant === undefined ? {} : { tenant }),
            cursor: cursorOf(entry),
          };
          return concerns(whose, record) ? workEventsAt(place, workOfControl(record)) : [];
        })
      ),
      Stream.runCollect,
      Effect.map((told) => Array.from(told).flat()),
    );

  return EngineControl.of({
    change,
    list,
    history,
    holds: (tenant, lane) => Effect.map(closed, (closed) => holding(closed, tenant, lane)),
    refuses: (tenant, lane) => Effect.map(closed, (closed) => refusing(closed, tenant, lane)),
    listen,
    known,
  });
});

export const layer: Layer.Layer<EngineControl, never, Log> = Layer.effect(EngineControl, make);
