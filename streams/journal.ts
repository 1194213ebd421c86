/**
 * Which records of an execution count: those of the present life, each once, and of an owner's only
 * what bears the nonce of the last takeover. Everybody who reads an execution's records in the order
 * of the log comes to the same answer. It knows nothing of what they mean, and reads nothing.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import { CorruptRecord, type UnsupportedRecordVersion } from "../schema/errors.ts";
import { type JournalRecord, journalRecord } from "../schema/journal_record.ts";
import { type MailRecord, mailRecord } from "../schema/mail_record.ts";
import { nonceOfId } from "./fence.ts";
import type { Entry } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { kindOfSubject } from "./subjects.ts";

/** How far a reader has come. */
export interface JournalPosition {
  /** The sequence of the start; 0 while there is none. */
  readonly life: number;
  /** How many starts have been met: more than one, if somebody knew an earlier life. */
  readonly starts: number;
  /** The number of the last journal record. */
  readonly index: number;
  /** Whose records count, once there is one. */
  readonly nonce: string | undefined;
}

export const beforeStart: JournalPosition = {
  life: 0,
  starts: 0,
  index: 0,
  nonce: undefined,
};

/** A record that counts. */
export type Counted =
  | { readonly type: "mail"; readonly record: MailRecord }
  | { readonly type: "journal"; readonly record: JournalRecord };

/** The position behind one entry, and what it is, if it counts. */
export interface JournalStep {
  readonly position: JournalPosition;
  readonly counted: Counted | undefined;
}

export type JournalError = CorruptRecord | UnsupportedRecordVersion;

const passOver = (error: CorruptRecord) =>
  Metric.update(skippedRecords, 1).pipe(
    // Everybody who reads the execution meets it again.
    Effect.andThen(Effect.logDebug(error.message)),
    Effect.as(undefined),
  );

/** Anybody can write to a mailbox, so what cannot be read there is passed over. */
const afterMail = Effect.fnUntraced(function* (at: JournalPosition, entry: Entry) {
  const record = yield* Effect.catchTag(
    mailRecord.decode(entry.body, entry),
    "CorruptRecord",
    passOver,
  );
  if (record === undefined) return { position: at, counted: undefined };
  const counted = { type: "mail", record } as const;
  if (record.kind === "start") {
    const position = { ...at, starts: at.starts + 1 };
    return at.life === 0
      ? { position: { ...position, life: entry.sequence }, counted }
      : { position, counted: undefined };
  }
  const isMeant = at.life !== 0 && (record.life ?? at.life) === at.life;
  return { position: at, counted: isMeant ? counted : undefined };
});

/** What bears an owner's id must be readable; what bears none was not written by an owner. */
const afterJournal = Effect.fnUntraced(function* (at: JournalPosition, entry: Entry) {
  const skipped = { position: at, counted: undefined };
  const nonce = entry.id === undefined ? undefined : nonceOfId(entry.id);
  if (at.life === 0 || nonce === undefined) return skipped;
  const record = yield* journalRecord.decode(entry.body, entry);
  const counted = { type: "journal", record } as const;
  if (record.kind === "claimed") {
    return nonce === at.nonce ? skipped : { position: { ...at, nonce }, counted };
  }
  const isVoid = at.nonce !== undefined && at.nonce !== nonce;
  if (isVoid || record.life !== at.life || record.index <= at.index) return skipped;
  if (record.index > at.index + 1) {
    return yield* new CorruptRecord({
      subject: entry.subject,
      sequence: entry.sequence,
      reason: `it is record ${record.index}, behind record ${at.index}`,
    });
  }
  return { position: { ...at, index: record.index, nonce }, counted };
});

/** The next entry of an execution; what is neither mail nor journal changes nothing. */
export const after = (
  at: JournalPosition,
  entry: Entry,
): Effect.Effect<JournalStep, JournalError> => {
  switch (kindOfSubject(entry.subject)) {
    case "mail":
      return afterMail(at, entry);
    case "log":
    case "signal":
    case "tag":
    case "done":
      return afterJournal(at, entry);
    default:
      return Effect.succeed({ position: at, counted: undefined });
  }
};
