/**
 * Reading executions: where one stands and why, everything that happened to it, and how it ended. All
 * of it is read from the log; nothing is remembered.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import {
  ExecutionCancelled,
  ExecutionExpired,
  ExecutionFailed,
  ExecutionNotFound,
  scopeText,
} from "../../schema/execution_errors.ts";
import type { ExecutionState as Shown } from "../../schema/execution_state.ts";
import { type ExecutionId, executionIdentity } from "../../schema/ids.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import { readMoment } from "../../streams/execution_records.ts";
import { after, beforeStart, type Counted } from "../../streams/journal.ts";
import type { Standing } from "../../streams/engine_control.ts";
import type { LeaseState } from "../../streams/lease.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import type { Sessions } from "../../streams/session.ts";
import { kindOfSubject } from "../../streams/subjects.ts";
import { because, lackIn, publicStatus, shown } from "../core/describe.ts";
import { takeUpRest } from "../core/take_up.ts";
import { readAll, unread } from "../engine/history.ts";
import { makeHolds } from "../engine/holds.ts";
import type { Executions, Named } from "../executions.ts";
import { traced } from "../traced.ts";
import { missingWorker } from "./missing.ts";
import { errandAwaited, whyRemote } from "./remote.ts";
import type { Means, Presence } from "./present.ts";

/** The attempt and epoch of whoever owns it now, which its records may not say yet. */
const numbersOf = ({ attempt, epoch }: Shown, lease: LeaseState | undefined) => ({
  attempt: Math.max(attempt, lease?.record.attempt ?? 0),
  epoch: Math.max(epoch, lease?.record.epoch ?? 0),
  ...(lease === undefined
    ? {}
    : { owner: lease.record.workerInstanceId, leaseExpiresAt: lease.expiresAt }),
});

const valueOf = (execution: ExecutionId, outcome: OutcomeRecord) => {
  switch (outcome.type) {
    case "success":
      return Effect.succeed(outcome.value);
    case "failure":
      return Effect.fail(new ExecutionFailed({ execution, failure: outcome.failure }));
    case "cancelled": {
      const { reason } = outcome;
      return Effect.fail(
        new ExecutionCancelled({ execution, ...(reason === undefined ? {} : { reason }) }),
      );
    }
    case "expired":
    case "skipped":
      return Effect.fail(new ExecutionExpired({ execution, outcome: outcome.type }));
  }
};

/** Why it is not taken up although it could be. */
const paused = ({ revision: _, ...heldBy }: Standing) => {
  const { state, since, by, reason } = heldBy;
  const who = by === undefined ? "" : ` by ${by}`;
  const note = reason === undefined ? "" : `: ${reason}`;
  const when = new Date(since).toISOString();
  return {
    reason: "paused" as const,
    why: `${scopeText(heldBy)} is ${state}${who} since ${when}${note}`,
    heldBy,
  };
};

/** A lease that somebody has erased would never agree with what was recorded under it. */
const mostLooks = 3;

export const makeView = (
  { log, leases, completions, control, post }: Means,
  { addressOf, present }: Presence,
  clock: ServerClock["Service"],
  sessions: Option.Option<Sessions["Service"]>,
) => {
  const { of: holds } = makeHolds(control);

  const result: Executions["Service"]["result"] = Effect.fnUntraced(
    function* (of, { behind } = {}) {
      const life = of.life ?? (yield* present(of)).life;
      const address = addressOf(of);
      const { record: { outcome } } = yield* completions.wait(
        address,
        Math.max(life, behind ?? 0),
      );
      return yield* valueOf(of.execution, outcome);
    },
    traced("Executions.result"),
  );

  const stateOf = Effect.fnUntraced(function* (of: Named) {
    const entries = yield* readMoment(log, addressOf(of));
    const state = takeUpRest((yield* readAll(unread, entries)).state);
    if (state.start === undefined) {
      return yield* new ExecutionNotFound({ execution: of.execution });
    }
    const owned = entries.findLast(({ subject }) => kindOfSubject(subject) !== "mail");
    return { state, start: state.start, journal: owned?.sequence ?? 0 };
  });

  /** Who owns it and where it stands, as both were at one moment. */
  const ownedState = Effect.fnUntraced(function* (of: Named) {
    for (let looks = 1;; looks++) {
      // In this order: whoever let it go had recorded all that is read behind.
      const lease = Option.getOrUndefined(yield* leases.current(addressOf(of)));
      const found = yield* stateOf(of);
      // What was recorded since is of an owner that has come meanwhile.
      const isOneMoment = lease?.held === true || found.state.done !== undefined ||
        found.journal <= (lease?.revision ?? 0);
      if (isOneMoment || looks === mostLooks) return { ...found, lease };
    }
  });

  const describe: Executions["Service"]["describe"] = Effect.fn("Executions.describe")(
    function* (of) {
      const { lease, state, start } = yield* ownedState(of);
      const now = yield* clock.now;
      const isOwned = state.done === undefined && lease?.held === true;
      const status = publicStatus(state, isOwned, now);
      const view = shown(state);
      const lack = lackIn(view);
      const { route, requires, deadline, task } = start.record;
      const lane = route?.slice(route.indexOf("@") + 1);
      const { actor } = executionIdentity(of.execution);
      const isForWorkers = status === "waiting" || status === "suspended";
      const missing = isForWorkers && actor !== undefined && Option.isSome(sessions)
        ? missingWorker(actor, route, yield* sessions.value.list)
        : undefined;
      const errand = status === "suspended" || status === "active"
        ? errandAwaited(view)
        : undefined;
      const remote = errand === undefined
        ? undefined
        : yield* whyRemote(post.errands, { ...of, life: state.life, turn: errand });
      const isAtRest = state.done === undefined && !isOwned && status !== "paused";
      const reasoned = remote ?? because(status, view);
      // Once what it waits for has come, nobody is there to go on with it.
      const unheld = missing === undefined || status === "waiting"
        ? missing ?? reasoned
        : { ...reasoned, why: `${reasoned.why}, and ${missing.why}` };
      const held = isAtRest ? yield* holds(of, start.record) : undefined;
      return {
        ...view,
        ...numbersOf(view, isOwned ? lease : undefined),
        execution: of.execution,
        tenant: of.tenant,
        life: state.life,
        status,
        ...held === undefined ? unheld : paused(held.by),
        ...(lane === undefined || lane === "" ? {} : { lane }),
        ...(requires === undefined ? {} : { requires }),
        ...(deadline === undefined ? {} : { deadline }),
        ...(task?.queue === undefined ? {} : { queue: task.queue.name }),
        ...(lack === undefined ? {} : { budget: { name: lack.budget, dimension: lack.dimension } }),
      };
    },
  );

  const readHistory = (of: Named) =>
    Effect.flatMap(present(of), ({ address }) => readMoment(log, address));

  const history: Executions["Service"]["history"] = (of) =>
    Stream.unwrap(Effect.map(readHistory(of), (entries) =>
      Stream.fromIterable(entries).pipe(
        Stream.mapAccumEffect(() => beforeStart, (position, entry) =>
          Effect.map(after(position, entry), (step) =>
            [
              step.position,
              [{ sequence: entry.sequence, at: entry.at, counted: step.counted }],
            ] as const)),
        Stream.filter((step): step is typeof step & { readonly counted: Counted } =>
          step.counted !== undefined
        ),
        Stream.map(({ sequence, at, counted }) => ({ sequence, at, record: counted.record })),
      )));

  return { result, stateOf, describe, history };
};

export type View = ReturnType<typeof makeView>;
