/**
 * The events of an execution in the order of its records: from each record, which events it tells and
 * where it leaves us. A number is the count of events before it, so the journal of the engine and
 * what is appended share one numbering that never changes. It reads nothing and writes nothing.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import { CorruptRecord, type UnsupportedRecordVersion } from "../../schema/errors.ts";
import type { RecordedEvent } from "../../schema/execution_event.ts";
import type { EventId } from "../../schema/ids.ts";
import {
  beforeJournal,
  eventsOfJournal,
  eventsOfMail,
  type JournalContext,
} from "../../schema/journal_events.ts";
import { type EventRecord, eventRecord } from "../../schema/stored_event.ts";
import * as Journal from "../journal.ts";
import type { Entry } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { kindOfSubject } from "../subjects.ts";
import { type Placement, placementOf } from "./placement.ts";

/** The batch that the last event record belongs to, and whether it counts. */
interface Batch {
  /** The event record before it. */
  readonly after: number;
  /** The sequence of its first record. */
  readonly start: number;
  readonly counts: boolean;
}

/** How far somebody has come. */
export interface Position {
  /** The number of the last event. */
  readonly sequence: number;
  /** The sequence of the last record of the execution, whatever its kind. */
  readonly streamSequence: number;
  /** The sequence of the last record under its event subject, whether it counts or not. */
  readonly eventSequence: number;
  readonly batch: Batch | undefined;
  readonly journal: Journal.JournalPosition;
  readonly context: JournalContext;
}

export const beginning: Position = {
  sequence: 0,
  streamSequence: 0,
  eventSequence: 0,
  batch: undefined,
  journal: Journal.beforeStart,
  context: beforeJournal,
};

/** An event in its place. */
export interface PlacedEvent {
  readonly sequence: number;
  readonly event: RecordedEvent;
  readonly eventId?: EventId;
  readonly recordedBy?: "engine";
}

/** One record, what it tells, and the position behind it. */
export interface Step {
  readonly entry: Entry;
  readonly events: ReadonlyArray<PlacedEvent>;
  readonly position: Position;
}

const passOver = (error: CorruptRecord) =>
  Metric.update(skippedRecords, 1).pipe(
    Effect.andThen(Effect.logWarning(error.message)),
    Effect.as(false as const),
  );

type Verdict = Effect.Effect<boolean, CorruptRecord>;

const corrupt = ({ subject, sequence }: Entry, reason: string) =>
  new CorruptRecord({ subject, sequence, reason });

/**
 * Whether a record of an execution that the engine does not run bears the next number. Where the
 * store's own do not, one is missing; a copy of one was put there by other hands.
 */
const isNext = (
  entry: Entry,
  sequence: number,
  placement: Placement | undefined,
  at: Position,
): Verdict => {
  if (sequence === at.sequence + 1) return Effect.succeed(true);
  const error = corrupt(entry, `it is numbered ${sequence}, behind event ${at.sequence}`);
  const isCopy = sequence <= at.sequence && placement !== undefined &&
    placement.after < at.eventSequence;
  return placement === undefined || isCopy ? passOver(error) : Effect.fail(error);
};

/**
 * Whether a record among those of the engine counts. The store puts each batch behind the last event
 * record, but cannot keep the engine's records from coming between: then what the first of the batch
 * expects does not hold, and none of it counts.
 */
const holds = (
  entry: Entry,
  record: EventRecord,
  placement: Placement | undefined,
  at: Position,
): Verdict => {
  const missing = Effect.fail(corrupt(entry, "an event record before it is missing"));
  const { after, place } = placement ?? { after: 0, place: 0 };
  const { batch, eventSequence, sequence } = at;
  if (place > 0 && batch?.after === after && batch.start + place === entry.sequence) {
    return eventSequence === entry.sequence - 1 ? Effect.succeed(batch.counts) : missing;
  }
  if (record.kind === "event" && place === 0) {
    const isNumbered = record.sequence === sequence + 1;
    return isNumbered || placement !== undefined
      ? Effect.succeed(isNumbered)
      : passOver(corrupt(entry, `it is numbered ${record.sequence}, behind event ${sequence}`));
  }
  if (placement === undefined || after < eventSequence) {
    return passOver(corrupt(entry, "it is not where the event store put it"));
  }
  if (place > 0 || after > eventSequence) return missing;
  const expected = record.kind === "addition" ? record.expected : undefined;
  return Effect.succeed(expected === undefined || expected === sequence);
};

const verdict = (
  entry: Entry,
  record: EventRecord,
  placement: Placement | undefined,
  at: Position,
): Verdict => {
  if (at.journal.life !== 0) return holds(entry, record, placement, at);
  return record.kind === "event"
    ? isNext(entry, record.sequence, placement, at)
    : passOver(corrupt(entry, "the start before it is gone"));
};

const batchWith = (
  entry: Entry,
  placement: Placement | undefined,
  counts: boolean,
  at: Position,
): Batch | undefined => {
  if (placement === undefined) return undefined;
  return placement.place === 0
    ? { after: placement.after, start: entry.sequence, counts }
    : at.batch;
};

const appended = Effect.fnUntraced(function* (entry: Entry, at: Position) {
  const placement = placementOf(entry);
  const record = yield* Effect.catchTag(
    eventRecord.decode(entry.body, entry),
    "CorruptRecord",
    (error) => placement === undefined ? passOver(error) : Effect.fail(error),
  );
  const counts = record !== false && (yield* verdict(entry, record, placement, at));
  const position = {
    ...at,
    eventSequence: entry.sequence,
    batch: batchWith(entry, placement, counts, at),
  };
  if (record === false || !counts) return { events: [], position };
  const sequence = at.sequence + 1;
  const { event, eventId } = record;
  return {
    events: [{ sequence, event, ...(eventId === undefined ? {} : { eventId }) }],
    position: { ...position, sequence },
  };
});

const recorded = Effect.fnUntraced(function* (entry: Entry, at: Position) {
  const { counted, position: journal } = yield* Journal.after(at.journal, entry);
  if (counted === undefined) return { events: [], position: { ...at, journal } };
  const { events, context } = counted.type === "mail"
    ? eventsOfMail(at.context, counted.record, entry.sequence)
    : eventsOfJournal(at.context, counted.record, entry.at);
  const placed = events.map((event, i): PlacedEvent => ({
    sequence: at.sequence + 1 + i,
    event,
    recordedBy: "engine",
  }));
  const sequence = at.sequence + placed.length;
  return { events: placed, position: { ...at, journal, context, sequence } };
});

/** The next record of the execution. */
export const after = (
  at: Position,
  entry: Entry,
): Effect.Effect<Step, CorruptRecord | UnsupportedRecordVersion> =>
  Effect.map(
    kindOfSubject(entry.subject) === "event" ? appended(entry, at) : recorded(entry, at),
    ({ events, position }) => ({
      entry,
      events,
      position: { ...position, streamSequence: entry.sequence },
    }),
  );
