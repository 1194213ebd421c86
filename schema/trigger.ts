/**
 * Triggers as callers speak of them: when something happens, something is done. What has happened and
 * what is done are told apart by the one field that names it. What becomes of a trigger is in
 * `trigger_record.ts`.
 */
import * as Schema from "effect/Schema";
import { BudgetName } from "./budget.ts";
import { ActorName, boundedText, ExecutionId } from "./ids.ts";
import { Json } from "./json.ts";
import { MailRecord } from "./mail_record.ts";
import { OutcomeRecord } from "./outcome_record.ts";
import { RunState } from "./run_state.ts";

/** Names one trigger of a tenant, so that creating it again creates nothing. */
export const TriggerId = boundedText(100).pipe(Schema.brand("TriggerId"));
export type TriggerId = typeof TriggerId.Type;

/** What an event of one's own is called. */
export const EventKey = boundedText(128).pipe(Schema.brand("EventKey"));
export type EventKey = typeof EventKey.Type;

/** Names one event, so that emitting it again emits nothing. */
export const EmittedId = boundedText(200).pipe(Schema.brand("EmittedId"));
export type EmittedId = typeof EmittedId.Type;

export const OutcomeType = Schema.Literals(OutcomeRecord.discriminants);
export type OutcomeType = typeof OutcomeType.Type;

const Percent = Schema.Int.check(
  Schema.isBetween({ minimum: 1, maximum: 100 }, { expected: "a percentage from 1 to 100" }),
);

/** What a trigger waits for. */
export const When = Schema.Union([
  /** An execution has ended, or one of an actor has. */
  Schema.Struct({
    completed: Schema.Union([ExecutionId, Schema.Struct({ actor: ActorName })]),
    /** However it ended, if left out. */
    outcome: Schema.optionalKey(OutcomeType),
  }),
  /** An execution has come into this state. */
  Schema.Struct({ state: ExecutionId, is: RunState }),
  /** Usage of a dimension has come to so much of its limit, from below. */
  Schema.Struct({ budget: BudgetName, dimension: Schema.NonEmptyString, percent: Percent }),
  /** Somebody has emitted an event of this key. */
  Schema.Struct({ event: EventKey }),
]);
export type When = typeof When.Type;

/** What a trigger does, as it is stored. */
export const Then = Schema.Union([
  Schema.Struct({ promote: ExecutionId }),
  /** With what has happened as its payload, if that is left out. */
  Schema.Struct({
    signal: ExecutionId,
    name: Schema.NonEmptyString,
    payload: Schema.optionalKey(Json),
  }),
  Schema.Struct({
    submit: ActorName,
    /** The name of the execution; the trigger's, and where in the log it happened, if left out. */
    id: Schema.optionalKey(Schema.NonEmptyString),
    /** Its start, with what has happened as its input if there is none. */
    start: MailRecord.cases.start,
  }),
]);
export type Then = typeof Then.Type;
