/**
 * The end of an execution: its record, and what follows from it. Each of it is repeated by whoever is
 * offered the mail of an execution that was left in between.
 */
import * as Effect from "effect/Effect";
import { type Tenant, Timestamp } from "../../schema/ids.ts";
import type { DoneRecord } from "../../schema/journal_record.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { AppendError, Log, ReadError } from "../../streams/log.ts";
import { removeLater } from "../../streams/retention.ts";
import { afterEnd, type FollowUp } from "../core/decide.ts";
import type { KeepMs } from "../keep.ts";
import type { AttemptMeterOptions } from "./attempt_meter.ts";
import type { Deadlines } from "./deadlines.ts";
import { failureOfTooLarge } from "./failure_of.ts";
import { executionsEnded } from "./metrics.ts";
import type { Ownership } from "./ownership.ts";

export interface EndOptions {
  readonly engine: {
    readonly log: Log["Service"];
    readonly keepMs: KeepMs;
    readonly count: AttemptMeterOptions["count"];
  };
  readonly tenant: Tenant;
  readonly actor: string;
  readonly ownership: Ownership;
  readonly deadlines: Deadlines;
  readonly follow: (followUps: ReadonlyArray<FollowUp>) => Effect.Effect<void, AppendError>;
  /** Has the children started that are being started, if that takes no longer than it may. */
  readonly started: Effect.Effect<void>;
  /** Whether everything that was recorded as begun has been done. */
  readonly isAtRest: boolean;
}

/** How long its records stay when it ends now. */
const keep = (
  { engine, tenant, actor, deadlines }: EndOptions,
): Effect.Effect<{ readonly keepUntil?: Timestamp }, ReadError> => {
  const keepMs = engine.keepMs(tenant, actor);
  return Number.isFinite(keepMs)
    ? Effect.map(
      deadlines.now,
      (now) => ({ keepUntil: Timestamp.make(Math.ceil(now + keepMs)) }),
    )
    : Effect.succeed({});
};

const removeIt = (
  { engine, ownership }: EndOptions,
  { life, keepUntil: at }: DoneRecord,
): Effect.Effect<void, AppendError> => {
  const { address, lastRecord: end } = ownership;
  return at === undefined ? Effect.void : removeLater(engine.log, address, { life, end, at });
};

/** Records an outcome, tells who waits for it, and gives the execution up. */
export const endWith = Effect.fnUntraced(function* (options: EndOptions, outcome: OutcomeRecord) {
  const { ownership, deadlines, follow, started, isAtRest } = options;
  const before = ownership.state;
  const command = { kind: "done", ...(yield* keep(options)) } as const;
  yield* Effect.catchTag(
    ownership.execute({ ...command, outcome }),
    "PayloadTooLarge",
    (error) =>
      ownership.execute({
        ...command,
        outcome: { type: "failure", failure: failureOfTooLarge(error) },
      }),
  );
  const { done } = ownership.state;
  if (done === undefined) return;
  options.engine.count(executionsEnded(options.actor, done.record.outcome.type), 1);
  // What concerns the execution itself is stored one after another in any case.
  const letGo = started.pipe(
    Effect.andThen(deadlines.takeBackAll(ownership)),
    // It may be run again, and then awaits its children still.
    Effect.andThen(ownership.release(isAtRest)),
    Effect.andThen(removeIt(options, done.record)),
  );
  const followUps = afterEnd(before, done.record.outcome);
  const toStop = followUps.filter(({ type }) => type === "cancelChild");
  const others = followUps.filter(({ type }) => type !== "cancelChild");
  yield* followUps.length === 0 ? letGo : Effect.all([
    follow(others),
    // A child that is started behind the word that it is to stop would not hear it.
    Effect.andThen(started, follow(toStop)),
    letGo,
  ], { concurrency: "unbounded", discard: true });
});
