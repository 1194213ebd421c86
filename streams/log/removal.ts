/**
 * Deleting records, one by one: the server's own purge makes a consumer that shares the subject lose
 * what it has to deliver again, and move its floor past what nobody acknowledged (ADR 12). Every
 * deletion names the last sequence that it may take, so that a late or repeated one never takes what
 * was stored since. What is deleted here is not known to the object store, and who may delete is not
 * decided here.
 */
import * as Effect from "effect/Effect";
import type { ServerRefused, Unavailable } from "../../schema/errors.ts";
import { Connection } from "../connection.ts";
import type { Log } from "../log.ts";
import { type Layout, streamName } from "../subjects.ts";
import type { Reader } from "./reader.ts";

/** The server has no message with this sequence, or had none any more when it came to it. */
const sequenceNotFound = 10043;
const deletionFailed = 10057;
const noMessage = "no message found";
const deletedAtOnce = 64;

const isGone = (error: Unavailable | ServerRefused): boolean =>
  error._tag === "ServerRefused" &&
  (error.errorCode === sequenceNotFound ||
    (error.errorCode === deletionFailed && error.description === noMessage));

export const make = Effect.fnUntraced(function* (layout: Layout, reader: Reader) {
  const { ask, manager } = yield* Connection;

  const remove: Log["Service"]["remove"] = (shard, sequence) =>
    ask(
      `delete message ${sequence} of ${streamName(layout, shard)}`,
      () => manager.streams.deleteMessage(streamName(layout, shard), sequence, false),
    ).pipe(Effect.catchIf(isGone, () => Effect.succeed(false)));

  const purge: Log["Service"]["purge"] = Effect.fnUntraced(function* (filter, { upTo }) {
    if (!(upTo >= 1)) return 0;
    const sequences = yield* reader.sequencesThrough(filter, upTo);
    const deleted = yield* Effect.forEach(
      sequences,
      (sequence) => remove(filter.shard, sequence),
      { concurrency: deletedAtOnce },
    );
    return deleted.filter((isDeleted) => isDeleted).length;
  });

  return { purge, remove };
});
