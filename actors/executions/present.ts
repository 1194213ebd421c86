/**
 * Finding the execution that a verb means: whether there is one, which life of it, and whether it can
 * still be told something. It writes nothing.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { ExecutionEnded, ExecutionNotFound, IntakeClosed } from "../../schema/execution_errors.ts";
import type { StartRecord } from "../../schema/mail_record.ts";
import { laneOfRoute } from "../../schema/route.ts";
import type { Leases } from "../../streams/lease.ts";
import type { EngineControl } from "../../streams/engine_control.ts";
import type { Log } from "../../streams/log.ts";
import type { Completions } from "../engine/completions.ts";
import type { Post } from "../engine/post.ts";
import type { Named } from "../executions.ts";

/** What the verbs work with. */
export interface Means {
  readonly log: Log["Service"];
  readonly leases: Leases["Service"];
  readonly completions: Completions;
  readonly post: Post;
  readonly control: EngineControl["Service"];
}

export const makePresence = ({ log, leases, completions, post, control }: Means) => {
  const addressOf = ({ execution, tenant }: Named) => post.addressOf(execution, tenant);

  /** The start of an execution that there is. */
  const present = Effect.fnUntraced(function* (of: Named) {
    const address = addressOf(of);
    const start = yield* post.findStart(address);
    if (Option.isNone(start)) return yield* new ExecutionNotFound({ execution: of.execution });
    return { address, life: start.value.sequence, start: start.value.record };
  });

  /** The start of an execution, or of one life of it, that can still be told something. */
  const living = Effect.fnUntraced(function* (of: Named, life?: number) {
    const [found, last] = yield* Effect.all([
      present(of),
      log.lastOfEach(addressOf(of), ["done", "log", "signal"]),
    ], { concurrency: "unbounded" });
    if (life !== undefined && found.life !== life) {
      return yield* new ExecutionNotFound({ execution: of.execution });
    }
    const end = yield* completions.endAmong(last, found.life);
    if (end === undefined) return { ...found, lastSignal: last.get("signal") };
    const current = yield* leases.current(found.address);
    return yield* new ExecutionEnded({
      execution: of.execution,
      outcome: end.record.outcome.type,
      attempt: end.record.attempt,
      epoch: Option.match(current, { onNone: () => 0, onSome: ({ record }) => record.epoch }),
    });
  });

  /** Refuses what would begin something new where somebody has that end. */
  const checkIntake = Effect.fnUntraced(function* (
    { execution, tenant }: Named,
    { route }: Pick<StartRecord, "route">,
  ) {
    const refused = yield* control.refuses(tenant, laneOfRoute(route));
    if (refused === undefined) return;
    const { revision: _, state, ...rest } = refused;
    return yield* new IntakeClosed({
      execution,
      state: state === "disabled" ? state : "draining",
      ...rest,
    });
  });

  /** What every message to an execution names. */
  const meant = ({ life, start }: { readonly life: number; readonly start: StartRecord }) => ({
    life,
    ...(start.route === undefined ? {} : { route: start.route }),
  });

  return { addressOf, present, living, meant, checkIntake };
};

export type Presence = ReturnType<typeof makePresence>;
