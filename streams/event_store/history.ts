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
import { randomMessageId } from "../message_id.ts";
import { skippedRecords } from "../metrics.ts";
import { type Address, executionFilter } from "../subjects.ts";

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

export const beginning: Position = { sequence: 0, streamSequence: 0 };

/**
 * The message id of an event: the record of its subject that it was appended behind, and its place
 * in its batch. Where they hold true, the store itself has put the record there, and its number is
 * right; for a record put there by hand, or a copy of one, they do not.
 */
export const eventMessageId = (after: number, place: number): string =>
  `${after}:${place}:${randomMessageId()}`;

const appendedAt = (entry: Entry): { readonly after: number; readonly place: number } | undefined => {
  const [, after, place] = /^(\d+):(\d+):/.exec(entry.id ?? "") ?? [];
  return after === undefined ? undefined : { after: Number(after), place: Number(place) };
};

/** Whether the store appended this record behind all that has been read, which makes it an event. */
const isOwn = (entry: Entry, { streamSequence }: Position): boolean => {
  const at = appendedAt(entry);
  return at !== undefined && (at.place === 0 ? at.after : entry.sequence - 1) >= streamSequence;
};

const nextEvent = (entry: Entry, at: Position) =>
  eventRecord.decode(entry.body, entry).pipe(
    Effect.filterOrFail(
      ({ sequence }) => sequence === at.sequence + 1,
      ({ sequence }) =>
        new CorruptRecord({
          subject: entry.subject,
          sequence: entry.sequence,
          reason: `it is numbered ${sequence}, behind event ${at.sequence}`,
        }),
    ),
    Effect.catchTag("CorruptRecord", (error) =>
      isOwn(entry, at) ? Effect.fail(error) : Metric.update(skippedRecords, 1).pipe(
        Effect.andThen(Effect.logWarning(error.message)),
        Effect.as(undefined),
      )),
  );

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
          Stream.tap((entry) => Effect.sync(() => reached = entry.sequence)),
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
      Stream.mapAccumEffect(() => from, (at, entry) =>
        Effect.map(nextEvent(entry, at), (record) => {
          const sequence = record?.sequence ?? at.sequence;
          const position = { sequence, streamSequence: entry.sequence };
          return [position, [{ entry, record, position }]] as const;
        })),
    );

  /** Whether a record stands where the store says that it put it. */
  const isInPlace = Effect.fnUntraced(function* (address: Address, entry: Entry) {
    const at = appendedAt(entry);
    if (at === undefined) return false;
    const following = yield* log.read(executionFilter(address, "event"), {
      after: at.after,
      upTo: entry.sequence,
    }).pipe(Stream.runHead);
    return Option.exists(following, ({ sequence }) => sequence === entry.sequence - at.place);
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

  return { last, steps, latest };
};

export type History = ReturnType<typeof make>;
