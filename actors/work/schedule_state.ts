/**
 * What a schedule knows of itself, and carries on when its code begins anew. Pure: changes follow
 * from what happened, and no clock is read here.
 */
import * as Schema from "effect/Schema";
import type { Failure } from "../../schema/failure.ts";
import { ExecutionId } from "../../schema/ids.ts";
import { Misfire } from "../../schema/misfire.ts";
import { Overlap } from "../../schema/overlap.ts";
import { RunPolicy } from "../../schema/run_policy.ts";
import type { ScheduleControl } from "../../schema/schedule_control.ts";
import type { Schedule } from "../../schema/task.ts";
import { StretchRecord } from "./backfill.ts";

const OpenRunRecord = Schema.Struct({
  execution: ExecutionId,
  /** When its time was; none, if somebody asked for it. */
  at: Schema.optionalKey(Schema.Number),
});
/** A run that has not ended. */
export type OpenRun = typeof OpenRunRecord.Type;

const FailedRunRecord = Schema.Struct({
  execution: ExecutionId,
  name: Schema.String,
  message: Schema.String,
});
/** A run that failed, or could not be started, and why. */
export type FailedRun = typeof FailedRunRecord.Type;

export const KeptRecord = Schema.Struct({
  policy: RunPolicy,
  misfire: Misfire,
  overlap: Overlap,
  graceMs: Schema.optionalKey(Schema.Number),
  /** How far the present policy has come. */
  progress: Schema.Struct({
    base: Schema.Number,
    created: Schema.Natural,
    doneTo: Schema.optionalKey(Schema.Number),
  }),
  /** What is added to the numbers of the present policy, so that no two runs have one name. */
  offset: Schema.Natural,
  created: Schema.Natural,
  skipped: Schema.Natural,
  counts: Schema.Struct({
    completed: Schema.Natural,
    failed: Schema.Natural,
    cancelled: Schema.Natural,
  }),
  lastFailure: Schema.optionalKey(FailedRunRecord),
  open: Schema.Array(OpenRunRecord),
  /** The run that waits for the end of another. */
  buffered: Schema.optionalKey(Schema.Struct({ suffix: Schema.String, at: Schema.Number })),
  /** What it has made up for by request; nothing, if left out. */
  backfilled: Schema.optionalKey(Schema.Array(StretchRecord)),
  paused: Schema.Boolean,
  finishing: Schema.Boolean,
});
export type Kept = typeof KeptRecord.Type;

/** It begins now at the latest: whoever begins it before its time has its times count from now. */
export const beginning = ({ since, ...schedule }: Schedule, now: number): Kept => ({
  ...schedule,
  progress: { base: Math.min(since ?? now, now), created: 0 },
  offset: 0,
  created: 0,
  skipped: 0,
  counts: { completed: 0, failed: 0, cancelled: 0 },
  open: [],
  paused: false,
  finishing: false,
});

/** The numbers that a policy may have given to runs so far. */
const numbered = ({ policy, progress }: Kept): number =>
  policy.type === "repeat" ? policy.count : progress.created;

/** What people asked for, of which no run follows at once. */
export const changed = (
  kept: Kept,
  control: Exclude<ScheduleControl, { readonly type: "trigger" | "backfill" }>,
  now: number,
): Kept => {
  switch (control.type) {
    case "pause":
      return { ...kept, paused: true };
    case "resume":
      return { ...kept, paused: false };
    case "finish": {
      const { buffered: _, ...rest } = kept;
      return { ...rest, finishing: true, paused: false };
    }
    case "change": {
      const { type: _, policy, ...rest } = control;
      const next = { ...kept, ...rest };
      return policy === undefined ? next : {
        ...next,
        policy,
        progress: { base: now, created: 0, doneTo: now },
        offset: kept.offset + numbered(kept),
      };
    }
  }
};

/** What is told of a failure; the run has the whole, if it was started. */
const longestMessage = 500;

/** A run has ended, or could not be started. */
export const ended = (
  kept: Kept,
  run: OpenRun,
  outcome: keyof Kept["counts"],
  failure?: Failure,
): Kept => ({
  ...kept,
  ...(failure === undefined ? {} : {
    lastFailure: {
      execution: run.execution,
      name: failure.name,
      message: failure.message.slice(0, longestMessage).toWellFormed(),
    },
  }),
  open: kept.open.filter(({ execution }) => execution !== run.execution),
  counts: { ...kept.counts, [outcome]: kept.counts[outcome] + 1 },
});

/** Whether nothing follows any more, given that no run is due some day. */
export const isOver = ({ paused, buffered, open }: Kept): boolean =>
  !paused && buffered === undefined && open.length === 0;
