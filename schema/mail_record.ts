/**
 * What reaches an execution from outside, as its mailbox subject holds it. A message is itself the
 * record that it came; the owner's journal says when it was taken up. Each names the life that it is
 * meant for, so that what was meant for an earlier execution of the same id is dropped.
 */
import * as Schema from "effect/Schema";
import { ExecutionId, SignalId, Timestamp } from "./ids.ts";
import { Json } from "./json.ts";
import { OutcomeRecord } from "./outcome_record.ts";
import { ParentReference } from "./parent_reference.ts";
import { record } from "./record.ts";
import { Route } from "./route.ts";
import { Task } from "./task.ts";

const optionalText = Schema.optionalKey(Schema.String);

const message = <const Kind extends string, const Fields extends Schema.Struct.Fields>(
  kind: Kind,
  fields: Fields,
) =>
  Schema.Struct({
    kind: Schema.tag(kind),
    /** The sequence of the start that this is meant for; left out, the start below it. */
    life: Schema.optionalKey(Schema.Natural),
    /** Which workers may take the execution up, if not all of the actor's. */
    route: Schema.optionalKey(Route),
    ...fields,
  });

/** The trigger that sent it, and how many triggers led from one to the next until then. */
export const Cause = Schema.Struct({ trigger: Schema.String, depth: Schema.Natural });
export type Cause = typeof Cause.Type;

/** Names and values of tags that an execution begins with. */
export const Tags = Schema.Record(Schema.String, Schema.String);
export type Tags = typeof Tags.Type;

export const MailRecord = Schema.Union([
  message("start", {
    input: Schema.optionalKey(Json),
    /** Drawn by whoever starts it; `uuid` and `random` derive from it. */
    seed: Schema.String,
    tags: Schema.optionalKey(Tags),
    requires: Schema.optionalKey(Schema.Array(Schema.String)),
    priority: Schema.optionalKey(Schema.Int),
    notBefore: Schema.optionalKey(Timestamp),
    deadline: Schema.optionalKey(Timestamp),
    parent: Schema.optionalKey(ParentReference),
    /** What makes it a task, if it is one. */
    task: Schema.optionalKey(Task),
    cause: Schema.optionalKey(Cause),
  }),
  message("signal", {
    signalId: SignalId,
    name: Schema.String,
    payload: Schema.optionalKey(Json),
    /** The sender's idempotency key. */
    key: optionalText,
    source: optionalText,
    cause: Schema.optionalKey(Cause),
  }),
  message("cancel", {
    reason: optionalText,
    /** Ends it at once, without asking its code. */
    force: Schema.optionalKey(Schema.Boolean),
    /** Only if this is the execution's parent. */
    parent: Schema.optionalKey(ParentReference),
  }),
  message("pause", { reason: optionalText }),
  message("resume", {}),
  /** Has it begin now, or try again now, if it waits for its time alone. */
  message("promote", {
    /** The sender's idempotency key. */
    key: optionalText,
    cause: Schema.optionalKey(Cause),
  }),
  /** Runs a finished execution again: from its first failure, or from the start. */
  message("retry", { from: Schema.Literals(["failure", "start"]) }),
  /** A deadline of the execution has come. */
  message("timer", { key: Schema.String, due: Timestamp }),
  /** A child has ended. */
  message("child", {
    key: Schema.String,
    execution: ExecutionId,
    outcome: OutcomeRecord,
  }),
  /** Somebody wants to be told how this execution ends. */
  message("join", { parent: ParentReference }),
]).pipe(Schema.toTaggedUnion("kind"));
export type MailRecord = typeof MailRecord.Type;
export type StartRecord = typeof MailRecord.cases.start.Type;
export type SignalMail = typeof MailRecord.cases.signal.Type;

/** The body of a mailbox message. */
export const mailRecord = record(1, MailRecord);
