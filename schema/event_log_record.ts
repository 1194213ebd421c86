/**
 * What is written to a store of an event log. Entries that were written at once are one record, and
 * are the truth; an index says the ids and places of many, so that who comes later need not read all
 * entries. Numbers begin at 1 and have no gaps; payloads are whatever bytes the program gave.
 */
import * as Schema from "effect/Schema";
import { record } from "./record.ts";

/** A number of an entry, which counts within its store. */
const EntryNumber = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1));

export const EventLogEntriesRecord = Schema.Struct({
  kind: Schema.tag("entries"),
  /** The number of the first; each following one has the next. */
  first: EntryNumber,
  entries: Schema.Array(Schema.Struct({
    /** Hexadecimal digits. */
    id: Schema.String,
    event: Schema.String,
    primaryKey: Schema.String,
    /** Base64. */
    payload: Schema.String,
  })),
});
export type EventLogEntriesRecord = typeof EventLogEntriesRecord.Type;

/** The body of a message on a subject `entries` of a store that the server can read. */
export const eventLogEntriesRecord = record(1, EventLogEntriesRecord);

export const EventLogBatchesRecord = Schema.Struct({
  kind: Schema.tag("batches"),
  first: EntryNumber,
  /** Each takes as many numbers as it has ids. */
  batches: Schema.Array(Schema.Struct({
    ids: Schema.NonEmptyArray(Schema.String),
    /** Base64. */
    iv: Schema.String,
    /** Base64. */
    sealed: Schema.String,
  })),
});
export type EventLogBatchesRecord = typeof EventLogBatchesRecord.Type;

/** The body of a message on a subject `entries` of a store whose entries are encrypted. */
export const eventLogBatchesRecord = record(1, EventLogBatchesRecord);

export const EventLogIndexRecord = Schema.Struct({
  kind: Schema.tag("index"),
  first: EntryNumber,
  ids: Schema.Array(Schema.String),
  /** For each id a hash of what its entry is about, where the server can read it. */
  topics: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Of each record of entries the number of its first, and its sequence in the log. */
  places: Schema.Array(Schema.Tuple([EntryNumber, Schema.Natural])),
});
export type EventLogIndexRecord = typeof EventLogIndexRecord.Type;

/** The body of a message on a subject `ids`. */
export const eventLogIndexRecord = record(1, EventLogIndexRecord);
