/**
 * What the owner of an execution writes, one record per transition, each under its fence. Records
 * are numbered within a life without gaps, and each names the last mailbox message that its owner had
 * taken up, so that replaying both in order repeats what happened. How they change an execution's
 * state is not said here.
 */
import * as Schema from "effect/Schema";
import { Failure } from "./failure.ts";
import { ActorName, ExecutionId, SignalId, Tenant, Timestamp, WorkerInstanceId } from "./ids.ts";
import { Json } from "./json.ts";
import { OutcomeRecord } from "./outcome_record.ts";
import { record } from "./record.ts";
import { Route } from "./route.ts";
import { SignalEffect } from "./signal_delivery.ts";

const optionalText = Schema.optionalKey(Schema.String);

const entry = <const Kind extends string, const Fields extends Schema.Struct.Fields>(
  kind: Kind,
  fields: Fields,
) =>
  Schema.Struct({
    kind: Schema.tag(kind),
    /** The sequence of the start of the life that this belongs to. */
    life: Schema.Natural,
    /** Counts the records of this life from 1. */
    index: Schema.Natural,
    /** The sequence of the last mailbox message taken up before this. */
    mail: Schema.Natural,
    ...fields,
  });

/** What a step gave: a value, or the failure that its caller met. */
export const StepResult = Schema.Union([
  Schema.Struct({ type: Schema.tag("value"), value: Schema.optionalKey(Json) }),
  Schema.Struct({ type: Schema.tag("failure"), failure: Failure }),
]);
export type StepResult = typeof StepResult.Type;

/**
 * Somebody other than the first owner has taken over. It is written before anything is read, so that
 * what is read can be seen to be complete; that is why it has no number.
 */
export const ClaimedRecord = Schema.Struct({
  kind: Schema.tag("claimed"),
  worker: WorkerInstanceId,
  epoch: Schema.Natural,
  attempt: Schema.Natural,
  /** Takeovers from owners that failed, in a row. */
  reclaims: Schema.Natural,
});
export type ClaimedRecord = typeof ClaimedRecord.Type;

/** Records on the subject `log`. */
export const LogRecord = Schema.Union([
  ClaimedRecord,
  entry("step", {
    key: Schema.String,
    result: StepResult,
    tries: Schema.Natural,
    durationMs: Schema.Natural,
  }),
  /** A step failed and will be tried again. */
  entry("stepFailed", {
    key: Schema.String,
    failure: Failure,
    tries: Schema.Natural,
    retryAt: Timestamp,
    /** What the step last said of how far it had come. */
    progress: Schema.optionalKey(Json),
  }),
  entry("sleeping", { key: Schema.String, due: Timestamp }),
  entry("waiting", {
    key: Schema.String,
    signal: Schema.String,
    due: Schema.optionalKey(Timestamp),
  }),
  /** The owner's own clock saw a deadline pass, before the message about it came. */
  entry("elapsed", { key: Schema.String }),
  entry("calling", {
    key: Schema.String,
    /** `join` starts nothing: it awaits the end of an execution that is there. */
    verb: Schema.Literals(["call", "spawn", "join"]),
    actor: ActorName,
    execution: ExecutionId,
    tenant: Tenant,
    route: Schema.optionalKey(Route),
    /** What becomes of the child when the parent ends first. */
    onParentEnd: Schema.Literals(["cancel", "abandon"]),
  }),
  /** The child could not be started, or is not one that can be joined. */
  entry("callFailed", { key: Schema.String, failure: Failure }),
  /** A value from outside that replay must repeat: the time, say. */
  entry("noted", { key: Schema.String, what: Schema.String, value: Json }),
  entry("cell", { key: Schema.String, name: Schema.String, value: Schema.optionalKey(Json) }),
  /** This attempt of the execution failed, and another follows. */
  entry("attemptFailed", { failure: Failure, retryAt: Timestamp }),
  /** The code begins anew with another input; of what it did, waits and cells are left. */
  entry("continued", {
    input: Schema.optionalKey(Json),
    /** The waits whose signals are used up. */
    taken: Schema.Array(Schema.String),
    /** The cells that nobody reads any more. */
    cleared: Schema.Array(Schema.String),
  }),
  /** A finished execution runs again. */
  entry("replayed", { from: Schema.Literals(["failure", "start"]) }),
]).pipe(Schema.toTaggedUnion("kind"));
export type LogRecord = typeof LogRecord.Type;

/** The record on the subject `signal`: what became of one signal. */
export const SignalRecord = entry("signal", {
  signalId: SignalId,
  name: Schema.String,
  effect: SignalEffect,
  /** The mailbox sequence of the signal. */
  sequence: Schema.Natural,
  /** The key of the wait that it satisfied. */
  key: optionalText,
  source: optionalText,
  /** How many signals were taken up since the start, or since it was continued, with this one. */
  count: Schema.Natural,
});
export type SignalRecord = typeof SignalRecord.Type;

/** The record on the subject `tag`: a tag that came or went. */
export const TagRecord = entry("tag", {
  key: Schema.String,
  change: Schema.Literals(["attached", "cleared"]),
  name: Schema.String,
  value: optionalText,
});
export type TagRecord = typeof TagRecord.Type;

/** The record on the subject `done`: how the execution ended. Its owner writes nothing behind it. */
export const DoneRecord = entry("done", {
  outcome: OutcomeRecord,
  attempt: Schema.Natural,
  startedAt: Timestamp,
  /** When its records may go; never, if left out. */
  keepUntil: Schema.optionalKey(Timestamp),
});
export type DoneRecord = typeof DoneRecord.Type;

/** Everything that an owner writes, but snapshots. */
export type JournalRecord = LogRecord | SignalRecord | TagRecord | DoneRecord;

export const JournalRecord = Schema.Union([
  ...LogRecord.members,
  SignalRecord,
  TagRecord,
  DoneRecord,
]).pipe(Schema.toTaggedUnion("kind"));

/** The body of a journal message, whichever its subject. */
export const journalRecord = record(1, JournalRecord);
