/**
 * Reading an output: the frames that an execution gives out while it runs, from the first that is
 * kept or behind a cursor, as they come, until the execution is over. Each reader goes at its own
 * pace and holds up nobody. Which frames count was decided when they were stored.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import type * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import {
  type Cursor,
  encodeCursor,
  parseCursorInput,
  type ShardPosition,
} from "../schema/cursor.ts";
import { InvalidCursor, StreamDisconnected } from "../schema/errors.ts";
import { type FrameRecord, frameRecord } from "../schema/frame_record.ts";
import { Timestamp } from "../schema/ids.ts";
import { nonceOfId } from "./fence.ts";
import type { Entry, Log, ReadError } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { type Address, type Filter, keyedFilter } from "./subjects.ts";

/** One frame of an output. */
export interface OutputFrame {
  readonly frame: Schema.Json;
  readonly attempt: number;
  /** The step that gave it; left out, the actor's own code. */
  readonly step?: string;
  /**
   * Counts what its source, the step or the actor's own code, has given, from 0: the source has begun
   * anew when it is 0 again, and what it gave before counts no more.
   */
  readonly index: number;
  /** Counts the frames of the output from 1; where it leaps, older ones were removed. */
  readonly number: number;
  /** Resumes behind this frame. */
  readonly cursor: Cursor;
  readonly at: Timestamp;
}

export interface ReadOutputOptions {
  /** A cursor, behind which reading begins, or `earliest` or `now`; `earliest`, if left out. */
  readonly after?: string;
}

export type OutputError = InvalidCursor | StreamDisconnected | ReadError;

/** An output of one life of an execution, and when it is closed. */
export interface OutputSource {
  readonly address: Address;
  readonly name: string;
  readonly life: number;
  /** The sequence of the end, if there is one. */
  readonly ended: Effect.Effect<number | undefined, ReadError>;
  /** The sequence of the end, when there is one. */
  readonly end: Effect.Effect<number, ReadError>;
  /** Watches the connection; what it gives fails when that is lost. */
  readonly listen: Effect.Effect<Effect.Effect<never, string>, never, Scope.Scope>;
}

/** What an owner has stored there; nothing for what others have. */
export const frameOf = Effect.fnUntraced(function* (entry: Entry) {
  if (entry.id === undefined || nonceOfId(entry.id) === undefined) return undefined;
  return yield* frameRecord.decode(entry.body, entry);
}, Effect.catchTag("CorruptRecord", () => Effect.as(Metric.update(skippedRecords, 1), undefined)));

const refuse = (reason: InvalidCursor["reason"], detail: string) =>
  Effect.fail(new InvalidCursor({ reason, detail }));

/** Where reading begins; a cursor is refused unless this very log has issued it. */
const positionAfter = Effect.fnUntraced(function* (
  log: Log["Service"],
  filter: Filter,
  after: string,
): Effect.fn.Return<ShardPosition, InvalidCursor | ReadError> {
  const { shard } = filter;
  const input = yield* parseCursorInput(after);
  if (input === "earliest") return { sequence: 0, at: 0 };
  const tail = yield* log.tail(shard);
  if (input === "now") return tail;
  if (input.incarnation !== log.incarnation) {
    return yield* refuse("other-incarnation", "it was issued for a log that is not there any more");
  }
  const count = log.layout.shards;
  const position = input.shards[shard];
  if (position === undefined || input.shards.length !== count) {
    const detail = `it speaks of ${input.shards.length} shards, and there are ${count}`;
    return yield* refuse("shard-mismatch", detail);
  }
  const { sequence, at } = position;
  if (sequence > tail.sequence) {
    const detail = `shard ${shard} ends at ${tail.sequence}, before ${sequence}`;
    return yield* refuse("newer-than-tail", detail);
  }
  const frame = Option.getOrUndefined(yield* log.next(filter, sequence - 1));
  // A position at the end has the server's time, which is later than that of the frame there.
  if (frame?.sequence === sequence && frame.at > at) {
    const detail =
      `shard ${shard} was damaged and has given sequence ${sequence} to another record`;
    return yield* refuse("reissued", detail);
  }
  return position;
});

/** The frames of an output, until the execution is over and all of them are given. */
export const readOutput = (
  log: Log["Service"],
  { address, name, life, ended, end, listen }: OutputSource,
  { after = "earliest" }: ReadOutputOptions = {},
): Stream.Stream<OutputFrame, OutputError> => {
  const { shard } = address;
  const filter = keyedFilter(address, "out", name);
  const cursorOf = (position: ShardPosition): Cursor =>
    encodeCursor({
      incarnation: log.incarnation,
      shards: Array.from(
        { length: log.layout.shards },
        (_, other) => other === shard ? position : { sequence: 0, at: 0 },
      ),
    });

  const shown = (
    { attempt, step, index, number, frame }: FrameRecord,
    { sequence, at }: Entry,
  ): OutputFrame => ({
    frame,
    attempt,
    ...(step === undefined ? {} : { step }),
    index,
    number,
    cursor: cursorOf({ sequence, at }),
    at: Timestamp.make(at),
  });

  return Stream.unwrap(Effect.gen(function* () {
    const lost = yield* listen;
    let last: ShardPosition = yield* positionAfter(log, filter, after);
    let given = cursorOf(last);
    let closedAt = yield* ended;
    const live = log.follow(filter, { after: last.sequence }).pipe(
      // What it takes along when it is stopped has not been seen, and is read again.
      Stream.interruptWhen(
        Effect.raceFirst(end, lost).pipe(
          Effect.map((sequence) => {
            closedAt = sequence;
          }),
        ),
      ),
    );
    const rest = Stream.unwrap(Effect.gen(function* () {
      const through = closedAt ?? (yield* end);
      const entries = yield* log.readThrough(filter, { after: last.sequence, through });
      return Stream.fromIterable(entries.filter(({ sequence }) => sequence <= through));
    }));
    return Stream.concat(closedAt === undefined ? live : Stream.empty, rest).pipe(
      Stream.mapEffect((entry) =>
        Effect.map(frameOf(entry), (record) => {
          last = entry;
          if (record?.life !== life) return undefined;
          const frame = shown(record, entry);
          given = frame.cursor;
          return frame;
        })
      ),
      Stream.filter((found) => found !== undefined),
      Stream.mapError((error): OutputError => {
        if (typeof error === "string") {
          return new StreamDisconnected({ cursor: given, reason: error });
        }
        return error._tag === "Unavailable"
          ? new StreamDisconnected({ cursor: given, reason: error.message, cause: error })
          : error;
      }),
    );
  }));
};
