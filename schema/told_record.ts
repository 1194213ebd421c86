/**
 * The way back from `journal_events.ts`: the record of the engine that an event tells, with zero for
 * what it does not say, such as its number. Only events that the engine recorded tell one.
 */
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import type { ExecutionError, RecordedEvent } from "./execution_event.ts";
import type { Failure } from "./failure.ts";
import { JournalRecord } from "./journal_record.ts";
import { MailRecord } from "./mail_record.ts";

type Json = Schema.Json;

/** A message, and where in the log it is if it is a signal. */
export interface ToldMail {
  readonly type: "mail";
  readonly record: MailRecord;
  readonly sequence: number;
}

export type ToldRecord =
  | ToldMail
  /** The owner has taken up so many more messages. */
  | { readonly type: "takenUp"; readonly messages: number }
  | { readonly type: "journal"; readonly record: JournalRecord };

const place = { life: 0, index: 0, mail: 0 };
const prefix = "weir.";
const mailPrefix = "weir.mail.";

const decodeMail = Schema.decodeUnknownOption(MailRecord);
const decodeJournal = Schema.decodeUnknownOption(JournalRecord);
const decodeTakenUp = Schema.decodeUnknownOption(Schema.Struct({ messages: Schema.Natural }));
const decodeSequence = Schema.decodeUnknownOption(Schema.Struct({ sequence: Schema.Natural }));
const decodeDetails = Schema.decodeUnknownOption(Schema.Struct({
  data: Schema.optionalKey(Schema.Json),
  step: Schema.optionalKey(Schema.String),
  retryAt: Schema.optionalKey(Schema.Int),
}));

const journal = (fields: object): ToldRecord | undefined =>
  Option.match(decodeJournal({ ...place, ...fields }), {
    onNone: () => undefined,
    onSome: (record) => ({ type: "journal", record }),
  });

const mail = (fields: object, sequence = 0): ToldRecord | undefined =>
  Option.match(decodeMail(fields), {
    onNone: () => undefined,
    onSome: (record) => ({ type: "mail", record, sequence }),
  });

const ended = (outcome: object): ToldRecord | undefined =>
  journal({ kind: "done", outcome, attempt: 0, startedAt: 0 });

const failureOf = ({ category, message, code, retryPolicy, details }: ExecutionError): Failure => {
  const { data, step } = Option.getOrElse(
    decodeDetails(details),
    (): { readonly data?: Json; readonly step?: string } => ({}),
  );
  return {
    name: category,
    message,
    ...(code === undefined ? {} : { code }),
    ...(retryPolicy === undefined ? {} : { retryable: retryPolicy.retryable }),
    ...(step === undefined ? {} : { step }),
    ...(data === undefined ? {} : { data }),
  };
};

/** The record that an event tells; nothing for an event that goes with another. */
export const recordOf = (event: RecordedEvent): ToldRecord | undefined => {
  switch (event.type) {
    case "executionStarted":
      return mail({ ...Object(event.metadata), kind: "start", seed: "" });
    case "executionPaused":
      return mail({ kind: "pause", ...(event.reason === "" ? {} : { reason: event.reason }) });
    case "executionResumed":
      return mail({ kind: "resume" });
    case "stepCompleted": {
      const { stepId: key, output, durationMs } = event;
      const result = { type: "value", ...(output === undefined ? {} : { value: output }) };
      return journal({ kind: "step", key, result, tries: 0, durationMs });
    }
    case "stepFailed": {
      const { stepId: key, error } = event;
      const { attempt: tries = 0, details } = error;
      const retryAt = Option.getOrUndefined(decodeDetails(details))?.retryAt;
      const failure = failureOf(error);
      return journal(
        retryAt === undefined
          ? { kind: "step", key, result: { type: "failure", failure }, tries, durationMs: 0 }
          : { kind: "stepFailed", key, failure, tries, retryAt },
      );
    }
    case "executionCompleted": {
      const { output } = event;
      return ended({ type: "success", ...(output === undefined ? {} : { value: output }) });
    }
    case "executionFailed":
      return ended({ type: "failure", failure: failureOf(event.error) });
    case "executionCancelled":
      return ended({
        type: "cancelled",
        ...(event.reason === "" ? {} : { reason: event.reason }),
      });
    case "custom":
      return customRecordOf(event.eventType, event.data);
    default:
      return undefined;
  }
};

const customRecordOf = (eventType: string, data: Json): ToldRecord | undefined => {
  if (eventType === `${mailPrefix}takenUp`) {
    return Option.match(decodeTakenUp(data), {
      onNone: () => undefined,
      onSome: ({ messages }) => ({ type: "takenUp", messages }),
    });
  }
  if (eventType.startsWith(mailPrefix)) {
    const sequence = Option.getOrUndefined(decodeSequence(data))?.sequence;
    return mail({ ...Object(data), kind: eventType.slice(mailPrefix.length) }, sequence);
  }
  const kind = eventType.slice(prefix.length);
  if (kind === "expired" || kind === "skipped") return ended({ ...Object(data), type: kind });
  return journal({ ...Object(data), kind });
};
