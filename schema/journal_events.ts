/**
 * What the engine records of an execution, as events of the event store: each message that reaches
 * it and each record of its owner, at the place where it stands in the log, so that what was once
 * shown never moves. Where the sixteen kinds have no word it is `custom`, its `eventType` beginning
 * with `weir.`. The way back is `told_record.ts`.
 */
import type * as Schema from "effect/Schema";
import { type ExecutionError, ExecutionEvent } from "./execution_event.ts";
import type { Failure } from "./failure.ts";
import type { DoneRecord, JournalRecord, SignalRecord } from "./journal_record.ts";
import type { MailRecord, StartRecord } from "./mail_record.ts";

/** What is remembered of the records before, to give the next one its events. */
export interface JournalContext {
  /** The sequences of the mailbox messages that no owner is known to have taken up. */
  readonly pending: ReadonlyArray<number>;
  /** The steps that failed and are to be tried again. */
  readonly tried: ReadonlySet<string>;
}

export const beforeJournal: JournalContext = { pending: [], tried: new Set() };

/** The events of one record, and what to remember for the next. */
export interface Told {
  readonly events: ReadonlyArray<ExecutionEvent>;
  readonly context: JournalContext;
}

const events = ExecutionEvent.cases;

/** A custom event with the fields that are there. */
const custom = (
  eventType: string,
  fields: Readonly<Record<string, Schema.Json | undefined>>,
): ExecutionEvent =>
  events.custom.make({
    eventType: `weir.${eventType}`,
    data: Object.fromEntries(
      Object.entries(fields).filter((field): field is [string, Schema.Json] =>
        field[1] !== undefined
      ),
    ),
  });

const errorOf = (
  { name, message, code, retryable, data, step }: Failure,
  about: {
    readonly stepId?: string;
    readonly attempt?: number;
    readonly details?: Readonly<Record<string, Schema.Json>>;
  } = {},
): ExecutionError => {
  const details = {
    ...(data === undefined ? {} : { data }),
    ...(step === undefined ? {} : { step }),
    ...about.details,
  };
  return {
    category: name,
    message,
    ...(code === undefined ? {} : { code }),
    ...(retryable === undefined ? {} : { retryPolicy: { retryable } }),
    ...(about.attempt === undefined || about.attempt === 0 ? {} : { attempt: about.attempt }),
    ...(about.stepId === undefined ? {} : { stepId: about.stepId }),
    ...(Object.keys(details).length === 0 ? {} : { details }),
  };
};

const started = ({ parent, input, tags, requires, priority, notBefore, deadline }: StartRecord) =>
  events.executionStarted.make({
    ...(parent === undefined
      ? {}
      : { parent: { executionId: parent.execution, stepId: parent.key } }),
    metadata: {
      ...(parent === undefined ? {} : { parent }),
      ...(input === undefined ? {} : { input }),
      ...(tags === undefined ? {} : { tags }),
      ...(requires === undefined ? {} : { requires }),
      ...(priority === undefined ? {} : { priority }),
      ...(notBefore === undefined ? {} : { notBefore }),
      ...(deadline === undefined ? {} : { deadline }),
    },
  });

const received = (mail: Exclude<MailRecord, StartRecord>, sequence: number): ExecutionEvent => {
  switch (mail.kind) {
    case "pause":
      return events.executionPaused.make({ reason: mail.reason ?? "" });
    case "resume":
      return events.executionResumed.make({});
    default: {
      const { kind, life: _life, route: _route, ...fields } = mail;
      return custom(`mail.${kind}`, kind === "signal" ? { ...fields, sequence } : fields);
    }
  }
};

/** The event of a message that is for this life. */
export const eventsOfMail = (
  context: JournalContext,
  mail: MailRecord,
  sequence: number,
): Told =>
  mail.kind === "start" ? { events: [started(mail)], context } : {
    events: [received(mail, sequence)],
    context: { ...context, pending: [...context.pending, sequence] },
  };

const ended = ({ outcome, startedAt }: DoneRecord, at: number): ReadonlyArray<ExecutionEvent> => {
  switch (outcome.type) {
    case "success": {
      const durationMs = Math.max(0, at - startedAt);
      const output = outcome.value === undefined ? {} : { output: outcome.value };
      return [events.executionCompleted.make({ ...output, durationMs })];
    }
    case "failure":
      return [events.executionFailed.make({ error: errorOf(outcome.failure) })];
    case "cancelled":
      return [events.executionCancelled.make({ reason: outcome.reason ?? "" })];
    case "expired": {
      const error = { category: "timeout", message: "the deadline of the execution has passed" };
      return [custom("expired", {}), events.executionFailed.make({ error })];
    }
    case "skipped": {
      const { reason = "" } = outcome;
      return [custom("skipped", { reason }), events.executionCancelled.make({ reason })];
    }
  }
};

const stepStarted = (key: string) =>
  events.stepStarted.make({ stepId: key, stepType: "run", name: key });

const recorded = (
  record: JournalRecord,
  tried: ReadonlySet<string>,
  at: number,
): ReadonlyArray<ExecutionEvent> => {
  switch (record.kind) {
    case "step": {
      const { key: stepId, result, tries: attempt, durationMs } = record;
      const begun = tried.has(stepId) ? [] : [stepStarted(stepId)];
      if (result.type === "failure") {
        const error = errorOf(result.failure, { stepId, attempt });
        return [...begun, events.stepFailed.make({ stepId, error })];
      }
      const output = result.value === undefined ? {} : { output: result.value };
      return [...begun, events.stepCompleted.make({ stepId, ...output, durationMs })];
    }
    case "stepFailed": {
      const { key: stepId, failure, tries: attempt, retryAt, progress } = record;
      const begun = tried.has(stepId) ? [] : [stepStarted(stepId)];
      const details = { retryAt, ...(progress === undefined ? {} : { progress }) };
      const error = errorOf(failure, { stepId, attempt, details });
      return [...begun, events.stepFailed.make({ stepId, error })];
    }
    case "done":
      return ended(record, at);
    case "claimed": {
      const { kind, ...fields } = record;
      return [custom(kind, fields)];
    }
    case "signal": {
      const { kind, life: _life, index: _index, mail: _mail, effect, ...fields } = record;
      return [
        custom(kind, { ...fields, effect: typeof effect === "string" ? effect : effect.raw }),
      ];
    }
    default: {
      const { kind, life: _life, index: _index, mail: _mail, ...fields } = record;
      return [custom(kind, fields)];
    }
  }
};

/** The steps that are still to be tried again behind a record. */
const triedBehind = (tried: ReadonlySet<string>, record: JournalRecord): ReadonlySet<string> => {
  switch (record.kind) {
    case "stepFailed":
      return new Set([...tried, record.key]);
    case "step":
      return new Set([...tried].filter((key) => key !== record.key));
    case "attemptFailed":
    case "continued":
    case "replayed":
      return new Set();
    default:
      return tried;
  }
};

/** A signal's own record says by itself that it was taken up, and all that came before it. */
const isOwnSignal = (record: JournalRecord, pending: ReadonlyArray<number>) =>
  record.kind === "signal" && pending.includes(record.sequence);

const takenUp = (
  pending: ReadonlyArray<number>,
  record: Exclude<JournalRecord, { readonly kind: "claimed" }>,
): ReadonlyArray<ExecutionEvent> => {
  const own = isOwnSignal(record, pending) ? (record as SignalRecord).sequence : 0;
  const messages = pending.filter((sequence) => sequence > own && sequence <= record.mail).length;
  return messages === 0 ? [] : [custom("mail.takenUp", { messages })];
};

/** The events of a record of the owner, given when it was stored. */
export const eventsOfJournal = (
  { pending, tried }: JournalContext,
  record: JournalRecord,
  at: number,
): Told => {
  const told = recorded(record, tried, at);
  if (record.kind === "claimed") return { events: told, context: { pending, tried } };
  return {
    events: [...takenUp(pending, record), ...told],
    context: {
      pending: pending.filter((sequence) => sequence > record.mail),
      tried: triedBehind(tried, record),
    },
  };
};
