/**
 * Reading the outbox where a payload is no longer in the object store: what lies behind such a record
 * is read all the same, and each one that was passed over is told of. It forgets nothing that comes
 * before, and does not judge what it reads.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { CorruptRecord } from "../../schema/errors.ts";
import type { Entry, ReadError } from "../log.ts";

/** Takes what is read behind a sequence, and goes on behind each record that is lost. */
export const readOn = (
  read: (after: number) => Stream.Stream<Entry, ReadError>,
  options: {
    readonly after: number;
    readonly take: (entry: Entry) => Effect.Effect<void, Exclude<ReadError, CorruptRecord>>;
    readonly lost: (error: CorruptRecord) => Effect.Effect<unknown>;
  },
): Effect.Effect<void, ReadError> =>
  Stream.runForEach(read(options.after), options.take).pipe(
    Effect.catchTag("CorruptRecord", (error) =>
      Effect.andThen(
        options.lost(error),
        readOn(read, { ...options, after: error.sequence }),
      )),
  );
