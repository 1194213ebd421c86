/**
 * One record of an execution for who only reads: what counts for the engine, the lease, and what a
 * later release wrote, which is kept as it is and ends no reading. A record that this release knows
 * and that is damaged or missing fails as it does for the engine.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { CorruptRecord } from "../schema/errors.ts";
import { JournalRecord } from "../schema/journal_record.ts";
import { parseStored } from "../schema/json.ts";
import { LeaseRecord, leaseRecord } from "../schema/lease_record.ts";
import { MailRecord } from "../schema/mail_record.ts";
import { nonceOfId } from "./fence.ts";
import { after, type Counted, type JournalError, type JournalPosition } from "./journal.ts";
import type { Entry } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { kindOfSubject } from "./subjects.ts";

/** A record in a format, or of a kind, that a later release has added. */
const Later = Schema.StructWithRest(
  Schema.Struct({
    v: Schema.Natural,
    kind: Schema.String,
    life: Schema.optionalKey(Schema.Natural),
    index: Schema.optionalKey(Schema.Natural),
  }),
  [Schema.JsonObject],
);
export type LaterRecord = typeof Later.Type;

export type ReadableRecord =
  | Counted
  | { readonly type: "lease"; readonly record: LeaseRecord }
  | { readonly type: "unknown"; readonly record: LaterRecord };

/** The position behind one entry, and what it is, if it is anything. */
export interface ReadableStep {
  readonly position: JournalPosition;
  readonly record: ReadableRecord | undefined;
}

const version = 1;
const decodeLater = Schema.decodeUnknownOption(Later);
const decoder = new TextDecoder();

/** What is no record of this release, nor damaged. */
const laterOf = ({ body }: Entry, known: object): LaterRecord | undefined => {
  try {
    const found = Option.getOrUndefined(decodeLater(parseStored(decoder.decode(body))));
    return found === undefined || (found.v <= version && Object.hasOwn(known, found.kind))
      ? undefined
      : found;
  } catch {
    return undefined;
  }
};

const readLease = (position: JournalPosition, entry: Entry): Effect.Effect<ReadableStep> => {
  if (entry.removed) return Effect.succeed({ position, record: undefined });
  return leaseRecord.decode(entry.body, entry).pipe(
    Effect.map((record): ReadableRecord => ({ type: "lease", record })),
    Effect.catch(() => {
      const later = laterOf(entry, LeaseRecord.cases);
      return later === undefined
        ? Effect.as(Metric.update(skippedRecords, 1), undefined)
        : Effect.succeed<ReadableRecord>({ type: "unknown", record: later });
    }),
    Effect.map((record) => ({ position, record })),
  );
};

/** Anybody can write to a mailbox; what is meant for another life is nothing here. */
const laterMail = (position: JournalPosition, entry: Entry): ReadableStep => {
  const record = laterOf(entry, MailRecord.cases);
  const isMeant = position.life !== 0 && (record?.life ?? position.life) === position.life;
  return {
    position,
    record: record === undefined || !isMeant ? undefined : { type: "unknown", record },
  };
};

/** What an owner of a later release has recorded; one without a number is a takeover of its kind. */
const laterJournal = (
  position: JournalPosition,
  entry: Entry,
  error: JournalError,
): Effect.Effect<ReadableStep, JournalError> => {
  const record = laterOf(entry, JournalRecord.cases);
  const nonce = nonceOfId(entry.id ?? "");
  if (record === undefined || nonce === undefined) return Effect.fail(error);
  const step = (position: JournalPosition): ReadableStep => ({
    position,
    record: { type: "unknown", record },
  });
  if (record.index === undefined) return Effect.succeed(step({ ...position, nonce }));
  const isVoid = position.nonce !== undefined && position.nonce !== nonce;
  if (isVoid || record.life !== position.life || record.index <= position.index) {
    return Effect.succeed({ position, record: undefined });
  }
  return record.index === position.index + 1
    ? Effect.succeed(step({ ...position, index: record.index, nonce }))
    : Effect.fail(
      new CorruptRecord({
        subject: entry.subject,
        sequence: entry.sequence,
        reason: `it is record ${record.index}, behind record ${position.index}`,
      }),
    );
};

/** What the next entry, in the order of the stream, is to a reader. */
export const readOn = (
  position: JournalPosition,
  entry: Entry,
): Effect.Effect<ReadableStep, JournalError> => {
  const kind = kindOfSubject(entry.subject);
  if (kind === "lease") return readLease(position, entry);
  const step = after(position, entry).pipe(
    Effect.map(({ position, counted }): ReadableStep => ({ position, record: counted })),
  );
  return kind === "mail"
    ? step.pipe(
      Effect.map((found) => found.record === undefined ? laterMail(position, entry) : found),
      Effect.catchTag("UnsupportedRecordVersion", () => Effect.succeed(laterMail(position, entry))),
    )
    : Effect.catch(step, (error) => laterJournal(position, entry, error));
};
