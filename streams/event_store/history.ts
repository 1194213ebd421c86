/**
 * The events of an execution as its subject holds them. A record counts if it bears the next number;
 * what other hands put there is passed over and counted, but where the store's own events are missing
 * or cannot be read, reading fails, so that no history is cut short in silence. It writes nothing.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { CorruptRecord, Unavailable } from "../../schema/errors.ts";
import { type EventRecord, eventRecord } from "../../schema/stored_event.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { type Address, executionFilter } from "../subjects.ts";
import { placementOf } from "./placement.ts";

/** How far somebody has come: the number of the last event, and where the last record stands. */
export interface Position {
  readonly sequence: number;
  /** In the stream, of the last record under the subject, whether it is an event or not. */
  readonly streamSequence: number;
}

/** One record under the subject, and the position behind it. */
export interface Step {
  readonly entry: Entry;
  /** The event that it is, or nothing if it is passed over. */
  readonly record: EventRecord | undefined;
  readonly position: Position;
}

/** A step that met an event. */
export interface EventStep extends Step {
  readonly record: EventRecord;
}

export const isEvent = (step: Step): step is EventStep => step.record !== undefined;

export const beginning: Position = { sequence: 0, streamSequence: 0 };

const passOver = (error: CorruptRecord) =>
  Metric.update(skippedRecords, 1).pipe(
    Effect.andThen(Effect.logWarning(error.message)),
    Effect.as(undefined),
  );

/** Whether the store itself has put an event there, as the next one for all that it knew. */
const isOwn = (entry: Entry, { sequence }: EventRecord, at: Position): boolean => {
  const placement = placementOf(entry);
  const isCopy = sequence <= at.sequence && placement !== undefined &&
    placement.after < at.streamSequence;
  return placement !== undefined && !isCopy;
};

const nextEvent = Effect.fnUntraced(function* (entry: Entry, at: Position) {
  const record = yield* Effect.catchTag(
    eventRecord.decode(entry.body, entry),
    "CorruptRecord",
    (error) => placementOf(entry) === undefined ? passOver(error) : Effect.fail(error),
  );
  if (record === undefined || record.sequence === at.sequence + 1) return record;
  const error = new CorruptRecord({
    subject: entry.subject,
    sequence: entry.sequence,
    reason: `it is numbered ${record.sequence}, behind event ${at.sequence}`,
  });
  return yield* isOwn(entry, record, at) ? Effect.fail(error) : passOver(error);
});

/** With replicas the one that answers may lag behind the leader, and is asked again. */
const readAgain = Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }));

export const make = (log: Log["Service"]) => {
  /** The records of a subject behind one, at least up to another that its leader has. */
  const readThrough = (
    address: Address,
    after: number,
    through: number,
  ): Stream.Stream<Entry, ReadError> => {
    const lagging = new Unavailable({
      operation: `read the events of ${address.label}`,
      reason: "the replica that answers lags behind",
      landed: "no",
    });
    return Stream.suspend(() => {
      let reached = after;
      return Stream.suspend(() => log.read(executionFilter(address, "event"), { after: reached }))
        .pipe(
          Stream.mapArray((entries) => {
            reached = entries[entries.length - 1]!.sequence;
            return entries;
          }),
          Stream.concat(
            Stream.suspend(() => reached < through ? Stream.fail(lagging) : Stream.empty),
          ),
          Stream.retry(readAgain.pipe(Schedule.while(({ input }) => input === lagging))),
        );
    });
  };

  const last = (address: Address) => log.last(address, "event");

  /** What stands behind a position, at least up to a record that the leader has. */
  const steps = (
    address: Address,
    from: Position,
    through: number,
  ): Stream.Stream<Step, ReadError> =>
    readThrough(address, from.streamSequence, through).pipe(
      Stream.mapAccumArrayEffect(() => from, (behind, entries) => {
        let position = behind;
        const step = (entry: Entry) =>
          Effect.map(nextEvent(entry, position), (record): Step => {
            const sequence = record?.sequence ?? position.sequence;
            position = { sequence, streamSequence: entry.sequence };
            return { entry, record, position };
          });
        return Effect.map(Effect.forEach(entries, step), (steps) => [position, steps] as const);
      }),
    );

  /** Everything that the leader has, and perhaps more. */
  const all = (address: Address): Stream.Stream<Step, ReadError> =>
    Stream.unwrap(Effect.map(last(address), (end) =>
      Option.match(end, {
        onNone: () => Stream.empty,
        onSome: ({ sequence }) => steps(address, beginning, sequence),
      })));

  /** Whether a record stands where the store says that it put it, so that its number is right. */
  const isInPlace = Effect.fnUntraced(function* (address: Address, entry: Entry) {
    const placement = placementOf(entry);
    if (placement === undefined) return false;
    const following = yield* log.read(executionFilter(address, "event"), {
      after: placement.after,
      upTo: entry.sequence,
    }).pipe(Stream.runHead);
    const start = entry.sequence - placement.place;
    return Option.exists(following, ({ sequence }) => sequence === start);
  });

  /** The position behind all that is stored, from the last record alone if that can be trusted. */
  const latest = Effect.fnUntraced(function* (address: Address) {
    const found = yield* last(address);
    if (Option.isNone(found)) return beginning;
    const entry = found.value;
    const record = yield* Effect.catchTag(
      eventRecord.decode(entry.body, entry),
      "CorruptRecord",
      () => Effect.undefined,
    );
    if (record !== undefined && (yield* isInPlace(address, entry))) {
      return { sequence: record.sequence, streamSequence: entry.sequence };
    }
    const end = yield* Stream.runLast(steps(address, beginning, entry.sequence));
    return Option.match(end, { onNone: () => beginning, onSome: ({ position }) => position });
  });

  /** Whether there is an event; none of a later number is without the first. */
  const exists = Effect.fnUntraced(function* (address: Address) {
    const found = yield* last(address);
    if (Option.isNone(found)) return false;
    return placementOf(found.value) !== undefined || (yield* latest(address)).sequence > 0;
  });

  return { last, steps, all, latest, exists };
};

export type History = ReturnType<typeof make>;
